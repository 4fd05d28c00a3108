; Captures: see python.scm.

(class_declaration name: (_) @name (class_heritage)? @bases) @def.class
(class name: (_) @name (class_heritage)? @bases) @def.class
(function_declaration name: (identifier) @name) @def.function
(generator_function_declaration name: (identifier) @name) @def.function
(method_definition name: [(property_identifier) (private_property_identifier)] @name) @def.method
(field_definition property: [(property_identifier) (private_property_identifier)] @name) @def.field
(program (lexical_declaration (variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)])) @def.function)
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)])) @def.function))
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @def.variable)
(program (variable_declaration (variable_declarator name: (identifier) @name)) @def.variable)
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name)) @def.variable))
(expression_statement (assignment_expression
  left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function) (function_expression)])) @def.function
(pair key: (property_identifier) @name value: [(arrow_function) (function_expression)]) @def.function

(call_expression function: (identifier) @ref.call)
(call_expression function: (member_expression object: (_) @receiver property: (property_identifier) @ref.call))
(new_expression constructor: (identifier) @ref.call)
(new_expression constructor: (member_expression object: (_) @receiver property: (property_identifier) @ref.call))
(member_expression object: (_) @receiver property: (property_identifier) @ref.attribute)
(class_heritage (identifier) @ref.type)
(arguments (identifier) @ref.name)
(assignment_expression right: (identifier) @ref.name)
(return_statement (identifier) @ref.name)
(pair value: (identifier) @ref.name)
(shorthand_property_identifier) @ref.name
(variable_declarator value: (identifier) @ref.name)

(variable_declarator name: (identifier) @var value: (new_expression constructor: (_) @var.type))
(assignment_expression left: (member_expression) @var right: (new_expression constructor: (_) @var.type))

(import_statement) @import
(export_statement source: (string)) @import
(lexical_declaration (variable_declarator value: (call_expression function: (identifier) @_require (#eq? @_require "require")))) @import
(variable_declaration (variable_declarator value: (call_expression function: (identifier) @_require (#eq? @_require "require")))) @import

[(string) (template_string)] @string
