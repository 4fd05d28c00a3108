"""Gathering what an implementing neuron is shown of a repository, within its window."""

from dataclasses import replace

from hal9.errors.base import WorkbenchError
from hal9.neurons.messages.excerpts import Shown, choose_excerpts
from hal9.neurons.messages.likely_bodies import SymbolPlace
from hal9.neurons.messages.prompting import check_files, named_files
from hal9.neurons.turn import Turn
from hal9.signals import CheckReport
from hal9.workbench import Workbench

__all__ = ["also_shown", "exists_any", "explains_itself", "gather_shown", "room_tokens"]

_CHARS_PER_TOKEN = 3.2
_MOST_SYMBOLS = 2000
_QUERY_CHARS = 300
_ONE_FILE_TOKENS = 60_000
_ENOUGH_WORDS = 20
_EVIDENCE_CHARS = 12_000


def room_tokens(turn: Turn, wanted: int) -> int:
    """How many tokens of files fit: as wanted, but never more than half of what the window leaves."""
    window = turn.services.models.window(turn.meta.model)
    return max(0, min(wanted, (window - turn.meta.max_tokens) * 2 // 3))


async def gather_shown(
    turn: Turn,
    bench: Workbench,
    first: CheckReport | None,
    *,
    tokens: int,
    targets: tuple[str, ...],
    map_tool: bool = False,
    check_files_too: bool = True,
) -> Shown:
    """Map, files and failing check for the first prompt.

    Args:
        turn: whose.
        bench: where files are read.
        first: how the check ended before anything was done.
        tokens: most tokens of files.
        targets: files that are to be written; shown whole when they exist and fit.
        map_tool: whether the neuron can ask for a map itself: then none is shown beside the bodies that the
            task or its failing check names.
        check_files_too: whether files that only the check names are shown.
    """
    if not bench.permissions.read:
        return Shown()
    failing = "" if first is None or first.passed else first.output
    workspace = bench.snapshot.workspace
    if targets and failing and not await exists_any(bench, targets):
        failing = ""  # it only says that the file to be made is not there
    query = turn.task.objective
    if failing:
        query += "\n" + failing[-_QUERY_CHARS:]
    map_tokens = turn.settings.repository_map.tokens.get(turn.definition.layer_name, 0)
    drawn, symbols = "", list[SymbolPlace]()
    if map_tokens:
        most = min(map_tokens, max(tokens, 256))
        drawn, symbols = await turn.services.mapper.map_with_symbols(
            workspace, query, tokens=most, symbols=_MOST_SYMBOLS
        )
    given = {file.path: file.content for file in turn.task.files}

    async def read(path: str) -> str:
        if path in given:
            return given[path]
        return (await bench.read_bytes(path)).decode("utf-8")

    by_check = set(check_files(turn.task)) - {*given, *targets}
    named = dict.fromkeys([*given, *targets, *named_files(turn.task)])
    choice = await choose_excerpts(
        read,
        room=int(tokens * _CHARS_PER_TOKEN),
        named=tuple(path for path in named if path not in by_check),
        check_named=tuple(path for path in named if path in by_check and check_files_too),
        task=turn.task.objective,
        evidence=failing[-_EVIDENCE_CHARS:],
        symbols=symbols,
        roots=(str(workspace), str(bench.snapshot.root)),
    )
    if map_tool and choice.named:
        drawn = ""
    return Shown(drawn, choice.excerpts, failing, first is not None and first.passed)


async def also_shown(turn: Turn, bench: Workbench, shown: Shown, path: str) -> Shown:
    """With one more file, whole when the window has room for it."""

    async def read(name: str) -> str:
        return (await bench.read_bytes(name)).decode("utf-8")

    room = int(room_tokens(turn, _ONE_FILE_TOKENS) * _CHARS_PER_TOKEN)
    more = (await choose_excerpts(read, room=room, named=(path,))).excerpts
    whole = {excerpt.path for excerpt in more if excerpt.whole}
    kept = [excerpt for excerpt in shown.excerpts if excerpt.path not in whole]
    return replace(shown, excerpts=(*kept, *more))


async def explains_itself(turn: Turn, bench: Workbench, targets: tuple[str, ...]) -> bool:
    """Whether a task is to make a file that is not there yet, and says in its own words what goes into it.

    A small model that is shown the check's file beside such a task writes the check once more in place of the
    file (measured with the 0.5B on five tasks and two neurons: 3 of 10 right with it, 7 of 10 without).
    """
    told = len(turn.task.objective.split()) >= _ENOUGH_WORDS
    return told and bool(targets) and not await exists_any(bench, targets)


async def exists_any(bench: Workbench, targets: tuple[str, ...]) -> bool:
    """Whether one of these paths is there."""
    for target in targets:
        try:
            if await bench.snapshot.look(target) is not None:
                return True
        except WorkbenchError:
            continue
    return False
