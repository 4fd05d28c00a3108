; Captures: see python.scm.

(function_definition name: (word) @name) @def.function
(program (variable_assignment name: (variable_name) @name) @def.variable)
(program (declaration_command (variable_assignment name: (variable_name) @name)) @def.variable)

(command name: (command_name (word) @ref.call))
(simple_expansion (variable_name) @ref.name)
(expansion (variable_name) @ref.name)

(command name: (command_name (word) @_source) (#any-of? @_source "source" ".")) @import

[(string) (raw_string)] @string
