; Captures: see python.scm.

(function_declaration name: (identifier) @name) @def.function
(method_declaration receiver: (parameter_list (parameter_declaration type: (_) @parent)) name: (field_identifier) @name) @def.method
(type_declaration (type_spec name: (type_identifier) @name type: (struct_type))) @def.struct
(type_declaration (type_spec name: (type_identifier) @name type: (interface_type))) @def.interface
(type_declaration (type_spec name: (type_identifier) @name)) @def.type
(type_declaration (type_alias name: (type_identifier) @name)) @def.type
(method_elem name: (field_identifier) @name) @def.method
(field_declaration name: (field_identifier) @name) @def.field
(source_file (const_declaration (const_spec name: (identifier) @name)) @def.constant)
(source_file (var_declaration (var_spec name: (identifier) @name)) @def.variable)
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @name))) @def.variable)

(call_expression function: (identifier) @ref.call)
(call_expression function: (selector_expression operand: (_) @receiver field: (field_identifier) @ref.call))
; A call with type arguments, or of what a map holds, is read as a call of an index or, with one argument, as a conversion.
(call_expression function: (index_expression operand: (identifier) @ref.call))
(call_expression function: (index_expression operand: (selector_expression operand: (_) @receiver field: (field_identifier) @ref.call)))
(type_conversion_expression type: (generic_type type: (type_identifier) @ref.call))
(type_conversion_expression type: (generic_type type: (qualified_type package: (_) @receiver name: (type_identifier) @ref.call)))
(selector_expression operand: (_) @receiver field: (field_identifier) @ref.attribute)
(composite_literal type: (type_identifier) @ref.call)
(type_identifier) @ref.type
(argument_list (identifier) @ref.name)

(parameter_declaration name: (identifier) @var type: (_) @var.type)
(var_spec name: (identifier) @var type: (_) @var.type)
(short_var_declaration
  left: (expression_list . (identifier) @var)
  right: (expression_list . (composite_literal type: (_) @var.type)))
(short_var_declaration
  left: (expression_list . (identifier) @var)
  right: (expression_list . (unary_expression operand: (composite_literal type: (_) @var.type))))

(import_declaration) @import

[(interpreted_string_literal) (raw_string_literal)] @string
