#!/usr/bin/env bash
# tree-sitter-typescript 0.23.2: `using x = …` and `await using x = …` declare nothing: they are read as assignments to a variable that exists.
#
# Expected: TypeScript has had them since 5.2 as block-scoped constants; they are declarations like const, or (in an older grammar) an error.
# Seen:     "using" is an unnamed word in front of an assignment_expression, no error anywhere; `await using a = f()` is an await_expression
#           around it, so what is awaited and what is declared are both wrong. tree-sitter-javascript 0.25.0 reads the same text as
#           a using_declaration with declarators. Whoever collects definitions or scopes from the tree misses these names, finds writes
#           to unknown (global) ones, and two grammars that are used side by side disagree about one file.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tree-sitter==0.26.1 tree-sitter-typescript==0.23.2 tree-sitter-javascript==0.25.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Parser

GRAMMARS = {
    "javascript": Language(tree_sitter_javascript.language()),
    "typescript": Language(tree_sitter_typescript.language_typescript()),
    "tsx": Language(tree_sitter_typescript.language_tsx()),
}
TEXTS = {
    "const": "async function f() { const file = open(); const data = await connect(); }",
    "using": "async function f() { using file = open(); await using data = connect(); }",
}


def named(node):
    yield node
    for child in node.named_children:
        yield from named(child)


for name in ("tree-sitter-javascript", "tree-sitter-typescript"):
    print(name, version(name))
seen = {}
for word, text in TEXTS.items():
    for grammar, language in GRAMMARS.items():
        root = Parser(language).parse(text.encode()).root_node
        nodes = list(named(root))
        declared = [one.child_by_field_name("name").text.decode() for one in nodes if one.type == "variable_declarator"]
        assigned = [one.child_by_field_name("left").text.decode() for one in nodes if one.type == "assignment_expression"]
        seen[word, grammar] = declared, assigned, root.has_error
        print(f"{word} in {grammar:10}: declared {declared}, assigned to {assigned}, an error: {root.has_error}")
both = ["file", "data"]
right = all(seen["const", one] == (both, [], False) for one in GRAMMARS) and seen["using", "javascript"] == (both, [], False)
wrong = all(seen["using", one] == ([], both, False) for one in ("typescript", "tsx"))
sys.exit(0 if right and wrong else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
