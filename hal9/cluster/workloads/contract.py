"""What a workload is, and whether there is one where a task says so; nothing of it runs to find that out."""

import ast
import difflib
import os
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import yaml

from hal9.errors.cluster import TaskInvalid

__all__ = ["NEURONS", "WORKLOADS", "Workload", "find_workload", "workload_options"]

NEURONS = "neurons"
WORKLOADS = {"ripmap-train": "hal9.trainer.workload:run_workload"}
_GIVEN = 3
_CONTRACT = "a workload is `async def NAME(options, progress, cancelled)` in a module (see hal9.Workload)"


class Workload(Protocol):
    """A long work that runs as a task: `hal9 submit --workload MODULE:FUNCTION 'name: value, …'`.

    It runs in a process of its own and is begun again with the same options when that process was killed, so
    it keeps on disk what it has done and goes on from there.
    """

    async def __call__(
        self,
        options: dict[str, Any],
        progress: Callable[[Mapping[str, Any]], None],
        cancelled: Callable[[], bool],
        /,
    ) -> Mapping[str, Any]:
        """Do the work.

        Args:
            options: the task's text, read as YAML; besides `run_name` and `root` (a folder for what is kept),
                and `limits` (tokens, usd) when the task has a budget.
            progress: shows a mapping with `line` (what goes on), `fraction` (0 to 1), and `tally` (what was
                spent since the last one: calls, prompt_tokens, completion_tokens, usd, seconds).
            cancelled: asked now and then; True means: keep what is done and return.

        Returns:
            What the task answers with; it must be JSON.
        """
        ...


def workload_options(workload: str, text: str) -> dict[str, Any]:
    """The options a workload's task text holds.

    Raises:
        TaskInvalid: no such workload, or the text is no YAML mapping.
    """
    if workload not in WORKLOADS and ":" not in workload:
        known = ", ".join(sorted({NEURONS, *WORKLOADS}))
        raise TaskInvalid(
            problem=f"there is no workload {workload!r}; there are: {known}, and MODULE:FUNCTION of your own"
        )
    try:
        options = _mapping(text)
    except yaml.YAMLError as error:
        raise TaskInvalid(problem=f"options of {workload} are no YAML: {error}") from error
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise TaskInvalid(problem=f"{workload} takes options such as 'strategy: tpe, budget: 50'")
    return options


def _mapping(text: str) -> Any:
    """YAML in lines or braces; one line needs no braces."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        if "\n" in text.strip():
            raise
        return yaml.safe_load(f"{{{text}}}")


def find_workload(entry: str) -> str | None:
    """Find a workload's module and function, from this process and the folder it works in.

    Args:
        entry: MODULE:FUNCTION.

    Returns:
        The folder that must be on the path to import it, or None when the interpreter finds it by itself.

    Raises:
        TaskInvalid: there is none; says what is missing.
    """
    module, _, function = entry.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise TaskInvalid(problem=f"{entry!r} is not MODULE:FUNCTION; {_CONTRACT}")
    here = _working_folder()
    spec, folder = _found(module, None), None
    if isinstance(spec, str) and here is not None:
        there = _found(module, [here])
        if not isinstance(there, str):
            spec, folder = there, here
    if isinstance(spec, str):
        at = f" or in {here}" if here else ""
        raise TaskInvalid(
            problem=f"there is no module {spec!r} for workload {entry!r} in the Python of HAL9 "
            f"({sys.executable}){at}; install it there, or give the task in its folder. {_CONTRACT}"
        )
    _check_function(entry, spec, function)
    return folder


def _working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - it may be gone
    except OSError:
        return None


def _found(module: str, path: Sequence[str] | None) -> ModuleSpec | str:
    """The module's spec, or the name of the first package on the way to it that is not there.

    `importlib.util.find_spec` would run the packages above the module.
    """
    finders: Sequence[Any] = sys.meta_path if path is None else [PathFinder]
    for name in accumulate(module.split("."), "{}.{}".format):
        spec = _looked_up(finders, name, path)
        if spec is None:
            return name
        if name == module:
            return spec
        if spec.submodule_search_locations is None:
            break  # a module that is no package
        finders, path = sys.meta_path, list(spec.submodule_search_locations)
    return module


def _looked_up(finders: Sequence[Any], name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    try:
        looked = (one.find_spec(name, path) for one in finders)
        return next((one for one in looked if one is not None), None)
    except KeyError:
        # A folder without __init__.py inside of another one: importlib asks for the outer one, imported.
        found = ModuleSpec(name, None, is_package=True)
        part = name.rpartition(".")[2]
        found.submodule_search_locations = [
            str(Path(one, part)) for one in path or () if Path(one, part).is_dir()
        ]
        return found


def _check_function(entry: str, spec: ModuleSpec, function: str) -> None:
    """Whether the source binds a name that can be a workload.

    Raises:
        TaskInvalid: it does not.
    """
    source = Path(spec.origin or "")
    if source.suffix != ".py":
        if spec.origin in (None, "built-in", "frozen"):
            what = "a folder without __init__.py" if spec.origin is None else "a part of Python"
            raise TaskInvalid(problem=f"the module of workload {entry!r} is {what}; {_CONTRACT}")
        return  # compiled: what is in it shows when it runs
    try:
        with tokenize.open(source) as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError) as error:
        raise TaskInvalid(problem=f"the module of workload {entry!r} cannot be read: {error}") from error
    bound = dict(_bindings(tree.body))
    if function not in bound:
        if "*" in bound or "__getattr__" in bound:
            return
        offered = [name for name, node in bound.items() if isinstance(node, ast.AsyncFunctionDef)]
        near = difflib.get_close_matches(function, offered, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise TaskInvalid(problem=f"{source} has no {function!r} for workload {entry!r}; {hint}{_CONTRACT}")
    node = bound[function]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
        if isinstance(node, ast.FunctionDef):
            raise TaskInvalid(problem=f"{function!r} in {source} is no async function; {_CONTRACT}")
        if not _takes_three(node.args):
            raise TaskInvalid(problem=f"{function!r} in {source} does not take three arguments; {_CONTRACT}")


def _takes_three(given: ast.arguments) -> bool:
    positional = len(given.posonlyargs) + len(given.args)
    needed = positional - len(given.defaults)
    return needed <= _GIVEN and (positional >= _GIVEN or given.vararg is not None) and all(given.kw_defaults)


def _bindings(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Names that a module binds, with the statement that does it; also inside of `if`, `try` and the like."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((one.asname or one.name.partition(".")[0], node) for one in node.names)
        else:
            names = (one for one in ast.walk(node) if isinstance(one, ast.Name))
            yield from ((one.id, node) for one in names if isinstance(one.ctx, ast.Store))
            inside = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
            for handler in getattr(node, "handlers", []):
                inside += handler.body
            yield from _bindings(inside)
