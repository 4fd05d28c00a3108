"""Features of a Python script about to be run: read with `ast`, never executed."""

import ast
import functools
import re
import sys
import warnings
from collections.abc import Iterator

from hal9.learning.runs.run_state import FileView

__all__ = ["script_features"]

Found = tuple[str, str, tuple[str, ...]]
_NAME = re.compile(r"[A-Za-z]\w*")
_UNREADABLE = ("SyntaxError", "IndentationError", "TabError")
_MOST_CHARS = 100_000
_MOST_FOUND = 400
_MAKERS = ("ModuleType", "makedirs", "mkdir", "Path")


def script_features(text: str, view: FileView) -> list[Found]:
    """Kind, value and subjects of what a script would do.

    Args:
        text: the script.
        view: the files it would find.
    """
    facts = _facts(text)
    if facts is None:
        return [("unreadable-script", "python", _UNREADABLE)]
    fixed, listed, strings = facts
    found = list(fixed)
    for name, value in listed:
        known = view.presence(f"{value}.py") == "there" or view.presence(value) == "there"
        if not known and value not in strings:
            found.append(("unknown-name-in-list", name, (f"'{value}'",)))
    return found


@functools.lru_cache(maxsize=512)
def _facts(text: str) -> tuple[tuple[Found, ...], tuple[tuple[str, str], ...], frozenset[str]] | None:
    """What hangs on no files; names in lists; names the script makes itself. None: it does not parse."""
    if len(text) > _MOST_CHARS:
        return (), (), frozenset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    except (RecursionError, MemoryError):
        return (), (), frozenset()
    fixed: dict[Found, None] = {}
    listed: dict[tuple[str, str], None] = {}
    if not text.isascii():
        fixed["non-ascii-script", "python", ("codec",)] = None
    for node in ast.walk(tree):
        for found in _imports(node):
            fixed[found] = None
        for pair in _lists(node):
            listed[pair] = None
        if len(fixed) > _MOST_FOUND:
            break
    return tuple(fixed), tuple(listed), _made(tree)


def _imports(node: ast.AST) -> Iterator[Found]:
    if isinstance(node, ast.Import):
        for name in node.names:
            top = name.name.split(".")[0]
            yield "import", top, (f"No module named '{top}'",)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for module in dict.fromkeys((node.module.split(".")[0], node.module)):
            yield "import", module, (f"No module named '{module}'",)
        for name in node.names:
            yield "import-name", f"{node.module} {name.name}", (f"cannot import name '{name.name}'",)


def _lists(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Plain names in lists of strings that are given to a keyword or assigned to a name."""
    named: list[tuple[str, ast.expr]] = []
    if isinstance(node, ast.Call):
        named = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
    elif isinstance(node, ast.Assign):
        named = [(target.id, node.value) for target in node.targets if isinstance(target, ast.Name)]
    for name, value in named:
        for element in value.elts if isinstance(value, ast.List | ast.Tuple) else ():
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                text = element.value
                if _NAME.fullmatch(text) and text not in sys.stdlib_module_names:
                    yield name, text


def _made(tree: ast.Module) -> frozenset[str]:
    """Names that the script makes itself: folders it writes to, modules it puts into `sys.modules`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "/" in node.value:
            found.add(node.value.split("/")[0])
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found |= {str(node.slice.value)} if ast.unparse(node.value) == "sys.modules" else set()
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            maker = ast.unparse(node.func).rsplit(".", 1)[-1] in _MAKERS
            found |= {str(node.args[0].value)} if maker else set()
    return frozenset(found)
