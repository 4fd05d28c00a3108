; Captures: see python.scm.

(struct_item name: (type_identifier) @name) @def.struct
(union_item name: (type_identifier) @name) @def.struct
(enum_item name: (type_identifier) @name) @def.enum
(enum_variant name: (identifier) @name) @def.field
(trait_item name: (type_identifier) @name bounds: (trait_bounds)? @bases) @def.trait
(type_item name: (type_identifier) @name) @def.type
(function_item name: (identifier) @name) @def.function
(function_signature_item name: (identifier) @name) @def.function
(mod_item name: (identifier) @name body: (_)) @def.module
(macro_definition name: (identifier) @name) @def.macro
(const_item name: (identifier) @name) @def.constant
(static_item name: (identifier) @name) @def.constant
(field_declaration name: (field_identifier) @name) @def.field
(impl_item type: (type_identifier) @name) @scope
(impl_item type: (generic_type type: (type_identifier) @name)) @scope

(call_expression function: (identifier) @ref.call)
(call_expression function: (field_expression value: (_) @receiver field: (field_identifier) @ref.call))
(call_expression function: (scoped_identifier path: (_) @receiver name: (identifier) @ref.call))
(call_expression function: (generic_function function: (identifier) @ref.call))
(call_expression function: (generic_function function: (scoped_identifier path: (_) @receiver name: (identifier) @ref.call)))
(call_expression function: (generic_function function: (field_expression value: (_) @receiver field: (field_identifier) @ref.call)))
(macro_invocation macro: (identifier) @ref.call)
(macro_invocation macro: (scoped_identifier name: (identifier) @ref.call))
(field_expression value: (_) @receiver field: (field_identifier) @ref.attribute)
(struct_expression name: (type_identifier) @ref.call)
(type_identifier) @ref.type
(arguments (identifier) @ref.name)

(let_declaration pattern: (identifier) @var type: (_) @var.type)
(let_declaration pattern: (identifier) @var value: (call_expression function: (scoped_identifier path: (_) @var.type)))
(let_declaration pattern: (identifier) @var value: (struct_expression name: (_) @var.type))
(parameter pattern: (identifier) @var type: (_) @var.type)

(use_declaration) @import
(mod_item !body) @import
(extern_crate_declaration) @import

[(string_literal) (raw_string_literal)] @string
