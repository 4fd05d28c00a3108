; Captures: see python.scm.

(class_declaration name: (name) @name (base_clause)? @bases (class_interface_clause)? @bases) @def.class
(interface_declaration name: (name) @name (base_clause)? @bases) @def.interface
(trait_declaration name: (name) @name) @def.trait
(enum_declaration name: (name) @name) @def.enum
(enum_case name: (name) @name) @def.field
(function_definition name: (name) @name) @def.function
(method_declaration name: (name) @name) @def.method
(property_declaration (property_element name: (variable_name (name) @name))) @def.field
(property_promotion_parameter name: (variable_name (name) @name)) @def.field
(const_element (name) @name) @def.constant

(function_call_expression function: (name) @ref.call)
(member_call_expression object: (_) @receiver name: (name) @ref.call)
(nullsafe_member_call_expression object: (_) @receiver name: (name) @ref.call)
(scoped_call_expression scope: (_) @receiver name: (name) @ref.call)
(object_creation_expression (name) @ref.call)
(object_creation_expression (qualified_name (name) @ref.call))
(member_access_expression object: (_) @receiver name: (name) @ref.attribute)
(class_constant_access_expression (name) @ref.attribute)
(named_type (name) @ref.type)
(base_clause (name) @ref.type)
(class_interface_clause (name) @ref.type)

(simple_parameter type: (_) @var.type name: (variable_name) @var)
(assignment_expression left: (variable_name) @var right: (object_creation_expression (name) @var.type))
(assignment_expression left: (member_access_expression) @var right: (object_creation_expression (name) @var.type))

(namespace_use_declaration) @import
[(require_expression) (require_once_expression) (include_expression) (include_once_expression)] @import

[(string) (encapsed_string)] @string
