"""House rules on docstrings. Prints what breaks them and ends with 1.

- In `Args:` and `Attributes:` one line explains one name.
- A public function that takes or returns arrays says their shapes.
- A docstring's paragraph is not broken in the middle of a line (a reflow gone wrong).
"""

import ast
import itertools
import re
import sys
from pathlib import Path

ARRAYS = re.compile(r"\b(NDArray|Array|Floats|Ints|CsrMatrix)\b")
SHAPED = re.compile(r"\bshape|\blength\b|\(n\b|\bscalar\b", re.IGNORECASE)
TWO = re.compile(r"^\s+\w+(?:, \w+)*: [^`(]*; (\w+): ")
SECTIONS = ("Args:", "Attributes:")


def two_in_one(text: str) -> list[str]:
    """Lines of a section that explain two names."""
    found, inside = [], False
    for line in text.split("\n"):
        if line.strip() in SECTIONS:
            inside = True
        elif not line.strip() or (line.strip().endswith(":") and " " not in line.strip()):
            inside = False
        elif inside and TWO.match(line):
            found.append(line.strip())
    return found


def reflowed(text: str) -> list[str]:
    """Short lines inside a paragraph whose next line would have fitted: traces of a reflow gone wrong."""
    found = []
    lines = text.split("\n")
    for line, after in itertools.pairwise(lines):
        plain = line.strip()
        first = after.strip().split(" ")[0]
        if (
            plain
            and first
            and first[0].islower()
            and not plain.endswith((":", ".", "``", ")", "\b"))
            and len(line) < 60
            and len(line) + 1 + len(first) <= 70
            and not re.match(r"[-*|=`>@]|\w+(?:, \w+)*: ", plain)
        ):
            found.append(plain)
    return found


def public_functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods whose names (and classes) do not begin with an underscore."""
    found = []
    bodies: list[list[ast.stmt]] = [tree.body]
    bodies += [n.body for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    for body in bodies:
        found += [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        ]
    return found


def shapeless(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether arrays go in or out and the docstring says nothing of their shapes."""
    parts = [argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs)] + [node.returns]
    arrays = any(part is not None and ARRAYS.search(ast.unparse(part)) for part in parts)
    text = ast.get_docstring(node)
    return arrays and text is not None and not SHAPED.search(text)


def main() -> int:
    """Look at every module of the package."""
    problems: list[str] = []
    for path in sorted(Path("hal9").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node, clean=True) or ""
                line = getattr(node, "lineno", 1)
                problems += [f"{path}:{line} two names in one line: {one}" for one in two_in_one(text)]
                problems += [f"{path}:{line} broken in the middle: {one}" for one in reflowed(text)]
        problems += [
            f"{path}:{node.lineno} {node.name}: says nothing of its arrays' shapes"
            for node in public_functions(tree)
            if shapeless(node)
        ]
    print("\n".join(problems) or "docstrings keep the house rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
