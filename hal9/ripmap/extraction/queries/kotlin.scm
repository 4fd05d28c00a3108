; Captures: see python.scm.

(class_declaration "interface" name: (identifier) @name (delegation_specifiers)? @bases) @def.interface
(class_declaration (modifiers (class_modifier "enum")) name: (identifier) @name) @def.enum
(class_declaration name: (identifier) @name (delegation_specifiers)? @bases) @def.class
(object_declaration name: (identifier) @name (delegation_specifiers)? @bases) @def.class
(companion_object) @scope
(type_alias (identifier) @name) @def.type
(function_declaration name: (identifier) @name) @def.function
(source_file (property_declaration (variable_declaration (identifier) @name)) @def.variable)
(class_body (property_declaration (variable_declaration (identifier) @name)) @def.field)
(class_parameter (identifier) @name) @def.field
(enum_entry (identifier) @name) @def.field

(call_expression (identifier) @ref.call)
(call_expression (navigation_expression (_) @receiver (identifier) @ref.call .))
; A call with one type argument and one argument is read as two comparisons.
(binary_expression left: (binary_expression left: (identifier) @ref.call "<" right: (identifier)) ">" right: [(parenthesized_expression) (lambda_literal)])
(binary_expression left: (binary_expression left: (navigation_expression (_) @receiver (identifier) @ref.call .) "<" right: (identifier)) ">" right: [(parenthesized_expression) (lambda_literal)])
(navigation_expression (_) @receiver (identifier) @ref.attribute .)
(user_type (identifier) @ref.type)
(value_argument (identifier) @ref.name)

(property_declaration (variable_declaration (identifier) @var (user_type) @var.type))
(parameter (identifier) @var (user_type) @var.type)
(class_parameter (identifier) @var (user_type) @var.type)
(property_declaration (variable_declaration (identifier) @var) (call_expression (identifier) @var.type))

(import) @import

[(string_literal) (multiline_string_literal)] @string
