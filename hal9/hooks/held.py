"""One plain file of what holds, beside the memory: most tool calls of other agents are answered out of it.

It says which guards are in force and in which repositories earlier runs foretell any failure at all. A call
that no guard can stop, in a repository where nothing is foretold, needs no database. The file carries the
size and time of the memory file (and of its write-ahead log) that it was made from: after any write, by
whatever process, it is stale, the memory is asked, and the file is made anew.
"""

import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hal9.memory import MemoryStore
    from hal9.tools.action import Action

__all__ = ["HELD", "Held", "read_held", "write_held"]

HELD = "held.json"
_VERSION = 1
_MOST_BYTES = 2_000_000
_ANYWHERE = "*"
Stamp = list[int]


@dataclass(frozen=True, slots=True)
class Held:
    """What held when the memory was last asked.

    Attributes:
        guards: workspace and content of each guard in force.
        foretold: repositories in which earlier runs foretell failures; `*` for all.
    """

    guards: tuple[tuple[str, dict[str, Any]], ...]
    foretold: frozenset[str]

    def may_stop(self, action: "Action", repository: str) -> bool:
        """Whether the memory must be asked about an action in this repository."""
        if action.kind == "command" and ({_ANYWHERE, repository} & self.foretold):
            return True
        own = [content for workspace, content in self.guards if workspace in (_ANYWHERE, repository)]
        if not own:
            return False
        from hal9.learning.guards.predicate import commands_of, fires, guard_of  # noqa: PLC0415 - only where there are any

        commands = commands_of(action)
        return any(fires(guard_of(content), action, commands) for content in own)


def _stamp(memory: Path) -> Stamp:
    """Size and time of the memory file and of its log; zeros for what is not there."""
    found: Stamp = []
    for path in (memory, memory.with_name(memory.name + "-wal")):
        try:
            seen = path.stat()
            found += [seen.st_ino, seen.st_size, seen.st_mtime_ns]
        except OSError:
            found += [0, 0, 0]
    return found


def read_held(state: Path) -> Held | None:
    """What holds, out of the file; None when it is missing, damaged, of another version, or stale.

    Args:
        state: the home's folder of state.
    """
    try:
        raw = (state / "hooks" / HELD).read_bytes()
        head, _, body = raw.partition(b"\n")
        version, check = (int(word) for word in head.split())
        if version != _VERSION or zlib.crc32(body) != check or len(raw) > _MOST_BYTES:
            return None
        kept = json.loads(body)
        if kept["stamp"] != _stamp(state / "memory.db"):
            return None
        return Held(
            tuple((workspace, content) for workspace, content in kept["guards"]), frozenset(kept["foretold"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_held(state: Path, opened: "Callable[[], MemoryStore]") -> bool:
    """Make the file anew, unless the memory is written to meanwhile; returns whether it was made.

    Args:
        state: the home's folder of state.
        opened: opens the memory file; nobody in this process may have it open.
    """
    memory = state / "memory.db"
    before = _stamp(memory)
    with opened() as store:
        kept = {"stamp": before, "guards": _guards(store), "foretold": _foretold(store)}
    if _stamp(memory) != before:
        return False  # the next call tries again
    body = json.dumps(kept).encode()
    if len(body) > _MOST_BYTES:
        return False
    folder = state / "hooks"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = folder / f".{HELD}.{os.getpid()}"
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(b"%d %d\n" % (_VERSION, zlib.crc32(body)) + body)
        beside.replace(folder / HELD)
    finally:
        with suppress(OSError):
            beside.unlink()
    return True


def _guards(store: "MemoryStore") -> list[tuple[str, dict[str, Any]]]:
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT workspace, content FROM guards WHERE state IN ('holds', 'reminds') ORDER BY id"
        ).fetchall()
    return [(row["workspace"], json.loads(row["content"])) for row in rows]


def _foretold(store: "MemoryStore") -> list[str]:
    """Repositories where some evidence is strong enough to stop an action, as `GuardMiner` judges it."""
    from hal9.learning.runs.guard_miner import GuardPolicy  # noqa: PLC0415 - the memory has been asked already

    policy, found = GuardPolicy(), set[str]()
    with store.reading() as connection:
        cells = connection.execute(
            'SELECT repos FROM guard_cells WHERE ("right" >= ? * cases AND cases >= ?) '
            'OR ("right" = cases AND cases >= ?)',
            (policy.precision, policy.least, policy.least_clean),
        ).fetchall()
        own = connection.execute(
            "SELECT DISTINCT repo FROM guard_evidence WHERE blamed >= ? AND well = 0", (policy.own_runs,)
        ).fetchall()
    for cell in cells:
        repos = json.loads(cell["repos"])
        found |= set(repos) if len(repos) < 2 else {_ANYWHERE}
    return sorted(found | {row["repo"] for row in own if row["repo"] != _ANYWHERE})
