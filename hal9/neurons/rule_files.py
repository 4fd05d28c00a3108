"""AGENTS.md and CLAUDE.md of a task's folders, read by handle and put before the task."""

import asyncio
import posixpath
from collections.abc import Sequence
from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.memory import repository_of
from hal9.memory.rules.rule_files import (
    MOST_BYTES,
    RULE_FILES,
    ChosenRules,
    RuleFile,
    choose_rules,
    rule_file_names,
)
from hal9.minds.protocol import Message
from hal9.neurons.messages.prompting import infer_targets, named_files
from hal9.neurons.turn import Turn
from hal9.workbench import Workbench
from hal9.workbench.handles import FolderHandle

__all__ = ["read_rule_files", "with_rule_files"]

_SHARE_OF_WINDOW = 8


async def with_rule_files(
    turn: Turn, bench: Workbench | None, messages: tuple[Message, ...]
) -> tuple[Message, ...]:
    """The messages, what the files of rules say before the last one; the same when they say nothing.

    Args:
        turn: whose; its later steps name the files.
        bench: the copy of the workspace; without one the workspace itself is read, where it is here.
        messages: the last one is the task.
    """
    chosen = await _chosen(turn, bench)
    turn.rule_files = chosen.shown
    if not chosen.text:
        return messages
    task = messages[-1]
    return (*messages[:-1], Message(task.role, f"{chosen.text}\n\nThe task:\n{task.content}"))


async def _chosen(turn: Turn, bench: Workbench | None) -> ChosenRules:
    window = turn.services.models.window(turn.meta.model)
    most = min(turn.settings.memory.rule_file_tokens, window // _SHARE_OF_WINDOW)
    allowed = turn.settings.workbench.layers.get(turn.definition.layer_name)
    if turn.task.workspace is None or most <= 0 or allowed is None or not allowed.read:
        return ChosenRules()
    touched = [*infer_targets(turn.task), *turn.task.scope.paths, *named_files(turn.task)]
    copy = None if bench is None else bench.snapshot.root
    files = await asyncio.to_thread(read_rule_files, Path(turn.task.workspace), touched, copy=copy)
    return choose_rules(files, tokens=most, task=turn.task.objective)


def read_rule_files(workspace: Path, touched: Sequence[str], *, copy: Path | None = None) -> list[RuleFile]:
    """Files of rules that speak for what a task touches, the nearest first; links are not followed.

    Args:
        workspace: a folder, in a repository or not; what lies above it, up to the repository's root, counts.
        touched: paths as the workspace names them; folders end with a slash.
        copy: a copy of the workspace, to be read in its place.
    """
    repository = repository_of(str(workspace))
    inside = f"{repository.inside}/" if repository.inside else ""
    paths = [named + "/" * path.endswith("/") for path in touched if (named := repository.path(path))]
    found = []
    for name in rule_file_names([*paths, inside] if inside else paths):
        here = name.startswith(inside)
        root = copy if here and copy is not None else Path(repository.root)
        told = name.removeprefix(inside) if here and copy is not None else name
        one = _read(root, told, name)
        if one is not None:
            found.append(one)
    return found


def _read(root: Path, path: str, name: str) -> RuleFile | None:
    try:
        with FolderHandle(root) as folder:
            entry = folder.look(path)
            if entry is None or (entry.kind == "link" and posixpath.basename(entry.target) in RULE_FILES):
                return None  # a link to the other name beside it
            data = folder.read(path, limit=MOST_BYTES)
    except FileNotFoundError:
        return None
    except (WorkbenchError, OSError) as error:
        return RuleFile(name, problem=f"not read: {error}")
    return RuleFile(name, data.decode("utf-8-sig", "replace"))
