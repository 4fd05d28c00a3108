#!/usr/bin/env bash
# tree-sitter-go 0.25.0 and tree-sitter-kotlin 1.1.0: whether a call with type arguments is a call depends on how many arguments it has.
#
# Expected: load<Int>(x) in Kotlin and Map[int](xs) or handlers[name](w) in Go are calls, as load<Int>() and handlers[name](w, r) are; or the
#           tree says that it is not sure.
# Seen:     no error anywhere, but with exactly one argument Go's is a conversion to a generic type (of s.handlers[name](w) the variable s becomes
#           a package, the field a type, the index a type argument), and Kotlin's with one type name is two comparisons: (load < Int) > (x),
#           also in front of a lambda. Who looks for calls misses them, and formatting or renaming by kind of node goes wrong.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-go==0.25.0 tree-sitter-kotlin==1.1.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

import tree_sitter
import tree_sitter_go
import tree_sitter_kotlin

print(", ".join(f"{one} {version(one)}" for one in ("tree-sitter", "tree-sitter-go", "tree-sitter-kotlin")))
LANGUAGES = {"go": tree_sitter.Language(tree_sitter_go.language()), "kotlin": tree_sitter.Language(tree_sitter_kotlin.language())}
AROUND = {"go": "package p\nfunc f() { %s }\n", "kotlin": "fun f() { %s }\n"}
EXPRESSIONS = {
    "go": ["New[int]()", "Map[int](xs, g)", "Map[int](xs)", "handlers[name](w, r)", "handlers[name](w)", "s.handlers[name](w)"],
    "kotlin": ["load<Int>()", "load<Int>(x, y)", "load<Int?>(x)", "load<Int>(x)", "store.load<Int>(x)", "launch<Int> { work() }"],
}


def read_as(language, expression):
    """The kind of the outermost node that is the expression, and whether the tree holds an error."""
    code = AROUND[language] % expression
    begin = code.encode().index(expression.encode())
    node = tree_sitter.Parser(LANGUAGES[language]).parse(code.encode()).root_node
    kinds = []

    def look(one):
        if (one.start_byte, one.end_byte) == (begin, begin + len(expression)):
            kinds.append(one.type)
        for child in one.children:
            look(child)

    look(node)
    plain = [kind for kind in kinds if kind not in ("statement_list", "expression_statement", "statements")]
    return plain[0] + (" (with an error)" if node.has_error else "")


seen = {}
for language, expressions in EXPRESSIONS.items():
    for expression in expressions:
        seen[expression] = read_as(language, expression)
        print(f"{language:7} {expression:24} {seen[expression]}")
calls = [one for one, kind in seen.items() if kind == "call_expression"]
other = {one: kind for one, kind in seen.items() if kind != "call_expression"}
same = calls == ["New[int]()", "Map[int](xs, g)", "handlers[name](w, r)", "load<Int>()", "load<Int>(x, y)", "load<Int?>(x)"] and set(
    other.values()
) == {"type_conversion_expression", "binary_expression"}
sys.exit(0 if same else 1)
PY
"$folder/venv/bin/python" "$folder/try.py"
