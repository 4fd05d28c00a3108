; Captures: @def.KIND with @name (and @doc, @bases, @parent), @ref.KIND with @receiver,
; @var with @var.type, @import, @string, @doc.file, @scope with @name.

(module . (comment)* . (expression_statement (string) @doc.file))

(class_definition
  name: (identifier) @name
  superclasses: (argument_list)? @bases
  body: (block . (expression_statement (string) @doc)?)) @def.class
(function_definition
  name: (identifier) @name
  body: (block . (expression_statement (string) @doc)?)) @def.function

(module (expression_statement (assignment left: (identifier) @name) @def.variable))
(module (expression_statement (assignment left: (pattern_list (identifier) @name)) @def.variable))
(class_definition body: (block (expression_statement (assignment left: (identifier) @name) @def.field)))
(type_alias_statement left: (type (identifier) @name)) @def.type

(call function: (identifier) @ref.call)
(call function: (attribute object: (_) @receiver attribute: (identifier) @ref.call))
(attribute object: (_) @receiver attribute: (identifier) @ref.attribute)
(type (identifier) @ref.type)
(type (attribute attribute: (identifier) @ref.type))
(type (generic_type (identifier) @ref.type))
(type (binary_operator (identifier) @ref.type))
(class_definition superclasses: (argument_list (identifier) @ref.type))
(except_clause (identifier) @ref.type)
(raise_statement (identifier) @ref.name)
(decorator (identifier) @ref.name)
(argument_list (identifier) @ref.name)
(keyword_argument value: (identifier) @ref.name)
(assignment right: (identifier) @ref.name)
(return_statement (identifier) @ref.name)
(subscript value: (identifier) @ref.name)

(typed_parameter (identifier) @var type: (type) @var.type)
(typed_default_parameter name: (identifier) @var type: (type) @var.type)
(assignment left: [(identifier) (attribute)] @var type: (type) @var.type)
(assignment left: [(identifier) (attribute)] @var right: (call function: [(identifier) (attribute)] @var.type))
(with_item value: (as_pattern
  (call function: [(identifier) (attribute)] @var.type)
  alias: (as_pattern_target (identifier) @var)))

(import_statement) @import
(import_from_statement) @import
(future_import_statement) @import

(string) @string
