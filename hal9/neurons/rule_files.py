"""AGENTS.md and CLAUDE.md of a task's folders, read by handle and put before the task."""

import asyncio
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.memory import repository_of
from hal9.memory.rules.place import Repository
from hal9.memory.rules.rule_files import (
    IMPORTING,
    MOST_BYTES,
    MOST_HOPS,
    RULE_FILES,
    ChosenRules,
    RuleFile,
    choose_rules,
    imported_files,
    rule_file_names,
)
from hal9.minds.protocol import Message
from hal9.neurons.messages.prompting import infer_targets, named_files
from hal9.neurons.turn import Turn
from hal9.ripmap.files.git_ignored import ignores_folder
from hal9.tools.action import Action, ActionContext, ActionGate, ActionOutcome, Decision
from hal9.workbench import Workbench
from hal9.workbench.handles import FolderHandle

__all__ = ["FolderRules", "read_rule_files", "with_rule_files"]

_SHARE_OF_WINDOW = 8
_SHARE_OF_FOLDER = 3
_MOST_IMPORTED = 20
"""Files that one file of rules may import, those imported by others included."""


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


class FolderRules:
    """A gate that reminds of a folder's rules at the first look into it, besides what another gate says.

    Args:
        gate: the other gate; it alone refuses, asks and rewrites.
        turn: whose actions these are.
        bench: the copy in which they are done.
    """

    def __init__(self, gate: ActionGate, turn: Turn, bench: Workbench) -> None:
        self._gate = gate
        self._turn = turn
        self._bench = bench
        self._told: set[str] | None = None
        self._repository = Repository("", "")

    async def before(self, action: Action, context: ActionContext) -> Decision:
        """What the other gate says, and the rules of folders that were not told yet."""
        decision = await self._gate.before(action, context)
        if decision.verdict not in ("allow", "remind") or action.kind not in ("read", "edit", "write"):
            return decision
        if self._told is None:
            self._repository = await asyncio.to_thread(_repository, Path(context.workspace))
            self._told = set(rule_file_names(_paths(self._repository, _touched(self._turn))))
        seen_at = f"{self._bench.snapshot.seen_at}/"
        touched = [path.removeprefix(seen_at) for path in action.paths]
        named = rule_file_names(_paths(self._repository, touched))
        new = [name for name in named if name not in self._told]
        most = _room(self._turn) // _SHARE_OF_FOLDER
        if not new or most <= 0:
            return decision
        self._told.update(new)
        found = await asyncio.to_thread(
            read_rule_files, Path(context.workspace), touched, copy=self._bench.snapshot.root
        )
        chosen = choose_rules(
            [one for one in found if (one.by or one.file) in new], tokens=most, task=self._turn.task.objective
        )
        if not chosen.text:
            return decision
        self._turn.rule_files += chosen.shown
        return Decision(
            verdict="remind",
            reason="\n\n".join(text for text in (decision.reason, chosen.text) if text),
            source=decision.source or f"rules:{chosen.shown[0]}",
        )

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        """Told to the other gate."""
        await self._gate.after(action, context, decision, outcome)


async def _chosen(turn: Turn, bench: Workbench | None) -> ChosenRules:
    most = _room(turn)
    if turn.task.workspace is None or most <= 0:
        return ChosenRules()
    copy = None if bench is None else bench.snapshot.root
    files = await asyncio.to_thread(read_rule_files, Path(turn.task.workspace), _touched(turn), copy=copy)
    return choose_rules(files, tokens=most, task=turn.task.objective)


def _room(turn: Turn) -> int:
    """Most tokens of rules; none where the layer may not read."""
    allowed = turn.settings.workbench.layers.get(turn.definition.layer_name)
    window = turn.services.models.window(turn.meta.model)
    wanted = turn.settings.memory.rule_file_tokens
    return min(wanted, window // _SHARE_OF_WINDOW) if allowed is not None and allowed.read else 0


def _touched(turn: Turn) -> list[str]:
    return [*infer_targets(turn.task), *turn.task.scope.paths, *named_files(turn.task)]


def _repository(workspace: Path) -> Repository:
    """The repository whose rules hold in a workspace; the workspace itself where git ignores it.

    Scratch and build folders, and projects below a home folder under git, are no part of what surrounds them.
    """
    around = repository_of(str(workspace))
    if around.inside and ignores_folder(Path(around.root), around.inside):
        return Repository(str(workspace), str(workspace))
    return around


def _paths(repository: Repository, touched: Sequence[str]) -> list[str]:
    """As the repository names them, with the workspace itself where it is a folder of the repository."""
    inside = [f"{repository.inside}/"] if repository.inside else []
    return [
        *(f"{named}{'/' * path.endswith('/')}" for path in touched if (named := repository.path(path))),
        *inside,
    ]


def read_rule_files(workspace: Path, touched: Sequence[str], *, copy: Path | None = None) -> list[RuleFile]:
    """Files of rules that speak for what a task touches, the nearest first, each before what it imports.

    Links are not followed. Imports stay inside the repository.

    Args:
        workspace: a folder, in a repository or not; what lies above it, up to the repository's root, counts,
            unless the repository ignores it.
        touched: paths as the workspace names them; folders end with a slash.
        copy: a copy of the workspace, to be read in its place.
    """
    repository = _repository(workspace)
    inside = f"{repository.inside}/" if repository.inside else ""

    def read(name: str) -> RuleFile | None:
        here = name.startswith(inside)
        root = copy if here and copy is not None else Path(repository.root)
        told = name.removeprefix(inside) if here and copy is not None else name
        return _read(root, told, name)

    names = rule_file_names(_paths(repository, touched))
    known = {name: one for name in names if (one := read(name)) is not None}
    found: dict[str, RuleFile] = {}
    for name, one in known.items():
        found.setdefault(name, one)
        if posixpath.basename(name) == IMPORTING:
            for more in _imports(one, known, read):
                found.setdefault(more.file, more)
    return list(found.values())


def _imports(
    rules: RuleFile, known: Mapping[str, RuleFile], read: Callable[[str], RuleFile | None]
) -> list[RuleFile]:
    """What a file of rules imports, and what that imports, each once, without what is known already."""
    seen, found = {rules.file}, list[RuleFile]()
    level = [rules]
    for _ in range(MOST_HOPS):
        named = [path for one in level for path in imported_files(one.file, one.text)]
        level = []
        for path in dict.fromkeys(named):
            if path in seen or len(found) == _MOST_IMPORTED:
                continue
            seen.add(path)
            if path in known:
                level.append(known[path])
                continue
            one = read(path) or RuleFile(path, problem="is imported, and is not there")
            level.append(replace(one, by=rules.file))
            found.append(level[-1])
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
