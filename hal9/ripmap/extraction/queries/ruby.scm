; Captures: see python.scm.

(class name: [(constant) (scope_resolution)] @name superclass: (superclass)? @bases) @def.class
(module name: [(constant) (scope_resolution)] @name) @def.module
(method name: (_) @name) @def.function
(singleton_method name: (_) @name) @def.function
(assignment left: (constant) @name) @def.constant
(call method: (identifier) @_attr arguments: (argument_list (simple_symbol) @name)
  (#any-of? @_attr "attr_accessor" "attr_reader" "attr_writer")) @def.field

(call receiver: (_) @receiver method: (identifier) @ref.call)
(call !receiver method: (identifier) @ref.call)
(body_statement (identifier) @ref.name)
(constant) @ref.type
(argument_list (identifier) @ref.name)

(assignment left: [(identifier) (instance_variable)] @var right: (call receiver: (constant) @var.type method: (identifier) @_new (#eq? @_new "new")))

(call !receiver method: (identifier) @_load (#any-of? @_load "require" "require_relative" "load" "autoload")) @import

(string) @string
