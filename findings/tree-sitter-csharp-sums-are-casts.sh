#!/usr/bin/env bash
# tree-sitter-c-sharp 0.23.5: (width) * height is a cast of a pointer, and F(a < b, c > d) has one argument.
#
# Expected: by C#'s rules for such cases a name in parentheses in front of + - * & is no cast, and `a < b, c > d` in an argument list
#           is two comparisons, since no name may follow the type arguments there; the grammars of Java and C read the first as
#           arithmetic. Or the tree says that it is not sure.
# Seen:     no error, but (width) * height is a cast_expression of *height to the type width, (total) - used one of -used to the type total,
#           also with a dotted name; the operator and its left operand are gone. F(a < b, c > d) declares a variable d of the type a<b, c>
#           as the only argument. (width) / height and F(a < b, c < d) are read rightly. Counts of arguments, uses of variables, types
#           used and rewrites by kind of node are wrong there.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tree-sitter==0.26.1 tree-sitter-c-sharp==0.23.5 tree-sitter-java==0.23.5 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

import tree_sitter_c_sharp
import tree_sitter_java
from tree_sitter import Language, Parser

GRAMMARS = {"C#": Language(tree_sitter_c_sharp.language()), "Java": Language(tree_sitter_java.language())}
KINDS = ("binary_expression", "cast_expression", "declaration_expression")


def named(node):
    yield node
    for child in node.named_children:
        yield from named(child)


def read(grammar, statement):
    """Kinds and texts of the outermost expressions that matter, how many arguments the call has, whether there is an error."""
    root = Parser(GRAMMARS[grammar]).parse(f"class A {{ void F() {{ {statement} }} }}".encode()).root_node
    nodes = list(named(root))
    kinds = [(one.type, one.text.decode()) for one in nodes if one.type in KINDS]
    arguments = [len(one.named_children) for one in nodes if one.type == "argument_list"]
    return kinds, arguments[:1], root.has_error


for name in ("tree-sitter-c-sharp", "tree-sitter-java"):
    print(name, version(name))
wrong = 0
for statement in ("x = (total) - used;", "x = (a) + b;", "x = (width) * height;", "x = (a) & b;", "x = (box.Width) * height;", "x = (width) / height;"):
    seen = {grammar: read(grammar, statement) for grammar in GRAMMARS}
    print(f"{statement:27} C#: {seen['C#'][0][0]}, Java: {seen['Java'][0][0]}, an error: {seen['C#'][2]}")
    right = seen["Java"][0][0][0] == "binary_expression"
    wrong += right and not seen["C#"][2] and seen["C#"][0][0][0] == "cast_expression"
two, one = read("C#", "F(a < b, c < d);"), read("C#", "F(a < b, c > d);")
print(f"F(a < b, c < d);            C#: {two[1][0]} arguments {two[0]}")
print(f"F(a < b, c > d);            C#: {one[1][0]} argument {one[0]}, an error: {one[2]}")
print("expected: arithmetic six times, two arguments twice")
lost = two[1] == [2] and one[1] == [1] and not one[2] and one[0][0][0] == "declaration_expression"
sys.exit(0 if wrong == 5 and lost else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
