#!/usr/bin/env bash
# tree-sitter-kotlin 1.1.0: break and continue are names of variables, and `break@outer` is a label in front of the variable "outer".
#
# Expected: jumps have a kind of their own, as return, throw and return@map have (return_expression, throw_expression) and as break has in
#           the grammars of Java and other languages.
# Seen:     `break` is an (identifier), the same node as a variable; `continue@outer` is a labeled_expression that declares a label "continue@"
#           for the expression `outer`. No error anywhere. Whoever follows control flow finds loops that nothing leaves; lists of labels
#           have continue@ in them, and searches for uses find variables called break, continue and outer.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tree-sitter==0.26.1 tree-sitter-kotlin==1.1.0 tree-sitter-java==0.23.5 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

import tree_sitter_java
import tree_sitter_kotlin
from tree_sitter import Language, Parser

JAVA = "class A { void f() { outer: while (a) { while (b) { if (c) break; if (d) continue outer; } } } }"
KOTLIN = """fun f() {
    outer@ while (a) {
        while (b) {
            if (c) break
            if (d) continue@outer
            g { return@g }
        }
    }
}
"""


def named(node):
    yield node
    for child in node.named_children:
        yield from named(child)


def read(grammar, text):
    root = Parser(Language(grammar.language())).parse(text.encode()).root_node
    return root.has_error, [(one.type, one.text.decode()) for one in named(root)]


for name in ("tree-sitter-kotlin", "tree-sitter-java"):
    print(name, version(name))
java_error, java = read(tree_sitter_java, JAVA)
print("Java:  ", [one for one in java if one[0] in ("break_statement", "continue_statement")])
error, kotlin = read(tree_sitter_kotlin, KOTLIN)
jumps = [one for one in kotlin if one[0] == "return_expression"]
as_names = [text for kind, text in kotlin if kind == "identifier" and text in ("break", "outer")]
labels = [text for kind, text in kotlin if kind == "label"]
print("Kotlin:", jumps, "an error:", error)
print("        names of variables:", as_names, "labels:", labels)
print("expected: two more jumps, break and continue@outer; one label, outer@")
right = not java_error and {kind for kind, _ in java} >= {"break_statement", "continue_statement"}
jump_kinds = {kind for kind, _ in kotlin if "break" in kind or "continue" in kind or "jump" in kind}
seen = not error and not jump_kinds and jumps == [("return_expression", "return@g")]
sys.exit(0 if right and seen and as_names == ["break", "outer"] and "continue@" in labels else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
