; Captures: see python.scm.

(namespace_declaration name: (_) @name) @def.module
(class_declaration name: (identifier) @name (base_list)? @bases) @def.class
(record_declaration name: (identifier) @name (base_list)? @bases) @def.class
(struct_declaration name: (identifier) @name (base_list)? @bases) @def.struct
(interface_declaration name: (identifier) @name (base_list)? @bases) @def.interface
(enum_declaration name: (identifier) @name) @def.enum
(enum_member_declaration name: (identifier) @name) @def.field
(delegate_declaration name: (identifier) @name) @def.type
(method_declaration name: (identifier) @name) @def.method
(constructor_declaration name: (identifier) @name) @def.method
(local_function_statement name: (identifier) @name) @def.function
(property_declaration name: (identifier) @name) @def.field
(field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @def.field
(event_field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @def.field

(invocation_expression function: (identifier) @ref.call)
(invocation_expression function: (generic_name (identifier) @ref.call))
(invocation_expression function: (member_access_expression expression: (_) @receiver name: (identifier) @ref.call))
(invocation_expression function: (member_access_expression expression: (_) @receiver name: (generic_name (identifier) @ref.call)))
(object_creation_expression type: (identifier) @ref.call)
(member_access_expression expression: (_) @receiver name: (identifier) @ref.attribute)
(base_list (identifier) @ref.type)
(base_list (generic_name (identifier) @ref.type))
(parameter type: (identifier) @ref.type)
(variable_declaration type: (identifier) @ref.type)
(method_declaration returns: (identifier) @ref.type)
(property_declaration type: (identifier) @ref.type)
(type_argument_list (identifier) @ref.type)
(argument (identifier) @ref.name)
(attribute name: (identifier) @ref.name)

(parameter type: (_) @var.type name: (identifier) @var)
(variable_declaration type: (_) @var.type (variable_declarator name: (identifier) @var))
(property_declaration type: (_) @var.type name: (identifier) @var)

(using_directive) @import

[(string_literal) (interpolated_string_expression) (verbatim_string_literal) (raw_string_literal)] @string
