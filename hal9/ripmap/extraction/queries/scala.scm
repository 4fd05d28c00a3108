; Captures: see python.scm.

(class_definition name: (identifier) @name extend: (_)? @bases) @def.class
(object_definition name: (identifier) @name extend: (_)? @bases) @def.class
(trait_definition name: (identifier) @name extend: (_)? @bases) @def.trait
(enum_definition name: (identifier) @name) @def.enum
(simple_enum_case name: (identifier) @name) @def.field
(type_definition name: (type_identifier) @name) @def.type
(function_definition name: [(identifier) (operator_identifier)] @name) @def.function
(function_declaration name: [(identifier) (operator_identifier)] @name) @def.function
(template_body (val_definition pattern: (identifier) @name) @def.field)
(template_body (var_definition pattern: (identifier) @name) @def.field)
(compilation_unit (val_definition pattern: (identifier) @name) @def.variable)
(given_definition name: (identifier) @name) @def.variable

(call_expression function: (identifier) @ref.call)
(call_expression function: (field_expression value: (_) @receiver field: (identifier) @ref.call))
(call_expression function: (generic_function function: (identifier) @ref.call))
(instance_expression (type_identifier) @ref.call)
(field_expression value: (_) @receiver field: (identifier) @ref.attribute)
(type_identifier) @ref.type
(arguments (identifier) @ref.name)

(parameter name: (identifier) @var type: (_) @var.type)
(class_parameter name: (identifier) @var type: (_) @var.type)
(val_definition pattern: (identifier) @var type: (_) @var.type)
(val_definition pattern: (identifier) @var value: (instance_expression (type_identifier) @var.type))

(import_declaration) @import

(string) @string
