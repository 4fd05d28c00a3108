; Captures: see python.scm.

(function_definition declarator: (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier) (destructor_name) (operator_name)] @name)) @def.function
(function_definition declarator: (pointer_declarator declarator: (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier)] @name))) @def.function
(function_definition declarator: (reference_declarator (function_declarator declarator: [(identifier) (field_identifier) (qualified_identifier) (operator_name)] @name))) @def.function
(declaration declarator: (function_declarator declarator: (identifier) @name)) @def.function
(field_declaration declarator: (function_declarator declarator: (field_identifier) @name)) @def.method
(field_declaration declarator: (pointer_declarator declarator: (function_declarator declarator: (field_identifier) @name))) @def.method
(field_declaration declarator: (field_identifier) @name) @def.field
(class_specifier name: (_) @name (base_class_clause)? @bases body: (_)) @def.class
(struct_specifier name: (_) @name (base_class_clause)? @bases body: (_)) @def.struct
(union_specifier name: (_) @name body: (_)) @def.struct
(enum_specifier name: (_) @name body: (_)) @def.enum
(enumerator name: (identifier) @name) @def.field
(namespace_definition name: (_) @name) @def.module
(type_definition declarator: (type_identifier) @name) @def.type
(alias_declaration name: (type_identifier) @name) @def.type
(concept_definition name: (identifier) @name) @def.type
(preproc_function_def name: (identifier) @name) @def.macro
(preproc_def name: (identifier) @name value: (_)) @def.macro
(translation_unit (declaration declarator: (init_declarator declarator: (identifier) @name)) @def.variable)

(call_expression function: (identifier) @ref.call)
(call_expression function: (field_expression argument: (_) @receiver field: (field_identifier) @ref.call))
(call_expression function: (qualified_identifier scope: (_) @receiver name: (identifier) @ref.call))
(call_expression function: (template_function name: (identifier) @ref.call))
(call_expression function: (qualified_identifier scope: (_) @receiver name: (template_function name: (identifier) @ref.call)))
(call_expression function: (field_expression argument: (_) @receiver field: (template_method name: (field_identifier) @ref.call)))
(new_expression type: (type_identifier) @ref.call)
(field_expression argument: (_) @receiver field: (field_identifier) @ref.attribute)
(qualified_identifier scope: (namespace_identifier) @ref.name)
(type_identifier) @ref.type
(argument_list (identifier) @ref.name)

(parameter_declaration type: (_) @var.type declarator: [(identifier) @var (pointer_declarator (identifier) @var) (reference_declarator (identifier) @var)])
(declaration type: (_) @var.type declarator: [(identifier) @var (pointer_declarator (identifier) @var) (init_declarator declarator: (identifier) @var)])
(field_declaration type: (_) @var.type declarator: [(field_identifier) @var (pointer_declarator (field_identifier) @var)])

(preproc_include) @import
(using_declaration) @import

[(string_literal) (raw_string_literal)] @string
