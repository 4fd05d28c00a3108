"""Names that were given up for the field's terms do not come back. Prints where one stands and ends with 1.

Left is the name given up, right the term (see docs/glossary.md). Only what the package itself defines is
looked at:
modules, classes, functions, arguments and attributes.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

GIVEN_UP = {
    "carrier|carrying|carry_over": "applying, apply_changes",
    "task_?book": "scheduler",
    "cartographer|recaller|thinker": "mapper, memory, models",
    "chronicle": "commit_index",
    "desk": "learning operations",
    "furnish|house": "services",
    "hosted_?inbox": "inbox runner",
    "kin|coupled": "similar_commits, cochange",
    "largest_odds": "best_arm_probability",
    "lesson|mitigation": "rule",
    "levers?": "tunable",
    "lexicon": "postings",
    "seams?": "interfaces, protocol",
    "sleep_policy|sleep_report": "consolidation",
    "survey(ed)?": "merge_postings, map_with_symbols",
    "switches": "key_values",
    "terrain": "index_data",
}
PATTERN = re.compile("|".join(f"(?:{name})" for name in GIVEN_UP), re.IGNORECASE)


def defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names of classes, functions and arguments, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def main() -> int:
    """Look at every module of the package."""
    problems = []
    for path in sorted(Path("hal9").rglob("*.py")):
        names = [(path.stem, 1), *defined(ast.parse(path.read_text(encoding="utf-8")))]
        for name, line in names:
            snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")
            if PATTERN.fullmatch(snake):
                term = next(term for old, term in GIVEN_UP.items() if re.fullmatch(old, snake))
                problems.append(f"{path}:{line} {name}: it is called {term} now")
    print("\n".join(problems) or "no name that was given up is back")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
