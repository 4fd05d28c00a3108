; Captures: see python.scm.

(class_declaration name: (identifier) @name superclass: (_)? @bases interfaces: (_)? @bases) @def.class
(interface_declaration name: (identifier) @name (extends_interfaces)? @bases) @def.interface
(enum_declaration name: (identifier) @name) @def.enum
(record_declaration name: (identifier) @name) @def.class
(annotation_type_declaration name: (identifier) @name) @def.interface
(method_declaration name: (identifier) @name) @def.method
(constructor_declaration name: (identifier) @name) @def.method
(field_declaration declarator: (variable_declarator name: (identifier) @name)) @def.field
(enum_constant name: (identifier) @name) @def.field

(method_invocation !object name: (identifier) @ref.call)
(method_invocation object: (_) @receiver name: (identifier) @ref.call)
(object_creation_expression type: (type_identifier) @ref.call)
(field_access object: (_) @receiver field: (identifier) @ref.attribute)
(method_reference (identifier) @ref.name)
(type_identifier) @ref.type
(argument_list (identifier) @ref.name)
(marker_annotation name: (identifier) @ref.name)
(annotation name: (identifier) @ref.name)

(local_variable_declaration type: (_) @var.type declarator: (variable_declarator name: (identifier) @var))
(formal_parameter type: (_) @var.type name: (identifier) @var)
(field_declaration type: (_) @var.type declarator: (variable_declarator name: (identifier) @var))

(import_declaration) @import

(string_literal) @string
