"""House limits on size: files, functions, parameters. Prints what is over and ends with 1."""

import ast
import sys
from pathlib import Path

FILE_LINES = 440
FUNCTION_LINES = 60
PARAMETERS = 9
# A table's schema is one statement however long; `propagate` has the parameters its algorithms have.
LONG_FUNCTIONS = (
    "hal9/journal/task_schema.py",
    "hal9/memory/store/migrations.py",
    "hal9/passing/propagate.py",
)


def main() -> int:
    """Look at every module of the package."""
    problems: list[str] = []
    for path in sorted(Path("hal9").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > FILE_LINES:
            problems.append(f"{path}: {lines} lines (limit {FILE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if path.as_posix() in LONG_FUNCTIONS:
                continue
            if length > FUNCTION_LINES:
                problems.append(f"{path}:{node.lineno} {node.name}: {length} lines (limit {FUNCTION_LINES})")
            arguments = node.args
            count = len(arguments.args) + len(arguments.kwonlyargs) + len(arguments.posonlyargs)
            if arguments.args and arguments.args[0].arg in ("self", "cls"):
                count -= 1
            if count > PARAMETERS:
                problems.append(f"{path}:{node.lineno} {node.name}: {count} parameters (limit {PARAMETERS})")
    print("\n".join(problems) or "sizes are within the house limits")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
