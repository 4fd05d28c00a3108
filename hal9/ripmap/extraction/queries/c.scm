; Captures: see python.scm.

(function_definition declarator: (function_declarator declarator: (identifier) @name)) @def.function
(function_definition declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))) @def.function
(declaration declarator: (function_declarator declarator: (identifier) @name)) @def.function
(declaration declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))) @def.function
(struct_specifier name: (type_identifier) @name body: (_)) @def.struct
(union_specifier name: (type_identifier) @name body: (_)) @def.struct
(enum_specifier name: (type_identifier) @name body: (_)) @def.enum
(enumerator name: (identifier) @name) @def.field
(field_declaration declarator: (field_identifier) @name) @def.field
(type_definition declarator: (type_identifier) @name) @def.type
(preproc_function_def name: (identifier) @name) @def.macro
(preproc_def name: (identifier) @name value: (_)) @def.macro
(translation_unit (declaration declarator: (init_declarator declarator: (identifier) @name)) @def.variable)

(call_expression function: (identifier) @ref.call)
(call_expression function: (field_expression argument: (_) @receiver field: (field_identifier) @ref.call))
(field_expression argument: (_) @receiver field: (field_identifier) @ref.attribute)
(type_identifier) @ref.type
(argument_list (identifier) @ref.name)
(init_declarator value: (identifier) @ref.name)

(parameter_declaration type: (_) @var.type declarator: [(identifier) @var (pointer_declarator (identifier) @var)])
(declaration type: (_) @var.type declarator: [(identifier) @var (pointer_declarator (identifier) @var)])

(preproc_include) @import

(string_literal) @string
