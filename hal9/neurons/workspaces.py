"""The workbench of one turn: a copy of the task's workspace, continued after a crash."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from hal9.errors.base import WorkbenchError, is_disk_full
from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import (
    ChangesMissing,
    SandboxUnavailable,
    SnapshotDamaged,
    WorkspaceAway,
    WorkspaceConflict,
    WorkspaceMissing,
    WorkspaceRefused,
    WorkspaceTooLarge,
)
from hal9.neurons.away import AwayWorkspace
from hal9.neurons.turn import Turn
from hal9.signals import FileChange, ResultPayload, TaskPayload
from hal9.signals.labels import ALLOW_HOME, BEGINS_WITH, ENVIRONMENT, REVIEW, SEEN_AS, STAGED
from hal9.workbench import Place, Snapshot, Workbench, check_workspace, choose_sandbox
from hal9.workbench.patches import PARTS, find_changes
from hal9.workbench.upkeep import remove_snapshot

__all__ = [
    "abandon_bench",
    "change_folder",
    "open_bench",
    "place_of",
    "remove_copy",
    "with_folder",
    "without_earlier_parts",
]

_log = logging.getLogger("hal9.neurons.workspaces")


def place_of(task: TaskPayload, folder: Path, *, changes: Path | None, hidden: tuple[Path, ...]) -> Place:
    """Where a turn on this task works.

    Raises:
        WorkspaceRefused: no task may work in the task's workspace.
    """
    workspace = Path(task.workspace or "")
    seen_as = Path(task.labels[SEEN_AS]) if SEEN_AS in task.labels else None
    check_workspace(seen_as or workspace, allow_home=task.labels.get(ALLOW_HOME) == "yes")
    return Place(
        workspace=workspace,
        folder=folder,
        changes=changes,
        hidden=hidden,
        environment=task.labels.get(ENVIRONMENT, ""),
        seen_as=seen_as,
    )


def change_folder(changes: Path, task_id: str, signal_id: str, *, staged: str = "") -> Path:
    """Where what one turn changed is kept; of a part, apart from what the whole task changed."""
    return changes / task_id / PARTS / staged if staged else changes / task_id / signal_id


def _begins(turn: Turn) -> Path | None:
    """The change set that a part begins with.

    Raises:
        TurnFailed: it is not kept here.
    """
    name, changes = turn.task.labels.get(BEGINS_WITH, ""), turn.services.changes
    if not name:
        return None
    folder = changes / turn.signal.task_id / name if changes is not None else None
    if folder is None or ".." in Path(name).parts or not (folder / "changes.json").exists():
        detail = (
            "what this part builds on is not kept here; the neurons of a divided task work in one home "
            "(or set cluster.max_children: 1)"
        )
        raise TurnFailed(reason="workspace_unreachable", detail=detail)
    return folder


def with_folder(turn: Turn) -> TaskPayload:
    """The task, with an empty folder to work in when it has no workspace and the neuron has tools of its own.

    Nothing is carried over into that folder: what is written there is kept as the task's changes.

    Raises:
        TurnFailed: the folder is somebody else's.
    """
    task = turn.task
    if task.workspace is not None or not turn.definition.functions:
        return task
    empty = Path(tempfile.gettempdir()) / f"hal9-empty-{os.getuid()}"
    empty.mkdir(mode=0o700, exist_ok=True)
    if empty.is_symlink() or empty.stat().st_uid != os.getuid():
        raise TurnFailed(reason="workspace_unreachable", detail=f"{empty} is somebody else's; remove it")
    return task.model_copy(update={"workspace": str(empty), "labels": {**task.labels, REVIEW: "yes"}})


@asynccontextmanager
async def open_bench(
    turn: Turn, *, mark: str | None = "", begins: Path | None = None
) -> AsyncIterator[Workbench | None]:
    """The turn's workbench; None for a task without a workspace.

    Left by an error or a cancellation, the copy stays and is continued when the turn is taken up again.

    Args:
        turn: whose.
        mark: what a continued copy goes back to: "" its base, None its last mark, else a mark's label.
        begins: the change set it begins with; by default what the task's labels say.

    Raises:
        TurnFailed: the workspace cannot be used; says why.
    """
    if turn.task.workspace is None:
        yield None
        return
    with _snapshots_folder(turn) as snapshots:
        folder = snapshots / turn.signal.id
        away = await _away(turn, folder)
        try:
            snapshot = await _opened_bench(turn, folder, away, mark=mark, begins=begins)
        except TurnFailed:
            if away is not None:
                await away.remove()
            raise
        try:
            yield Workbench(snapshot, turn.definition.layer_name, turn.settings.workbench)
        finally:
            await snapshot.__aexit__(None, None, None)
            if away is not None and not folder.exists():
                await away.settle(accepted=snapshot.accepted is not None)


async def _opened_bench(
    turn: Turn, folder: Path, away: AwayWorkspace | None, *, mark: str | None, begins: Path | None
) -> Snapshot:
    """The turn's copy, open; fetched before when the workspace is elsewhere.

    Raises:
        TurnFailed: the workspace cannot be used; says why.
    """
    try:
        choose_sandbox(turn.settings.workbench.isolation)
        place = _bench_place(turn, folder, away, begins)
        if away is not None:
            await away.fetch()
        snapshot = await _opened(_snapshot(turn, place, mark, away))
        if away is not None:
            await away.find_accepted(snapshot)
    except WorkspaceConflict as error:
        raise TurnFailed(reason="conflict", detail=str(error)) from error
    except (WorkspaceAway, WorkspaceMissing, WorkspaceRefused, WorkspaceTooLarge) as error:
        raise TurnFailed(reason="workspace_unreachable", detail=str(error)) from error
    except (SandboxUnavailable, WorkbenchError, OSError) as error:
        if is_disk_full(error):
            raise  # the turn waits for room
        raise TurnFailed(reason="tool_failed", detail=str(error)) from error
    return snapshot


async def _away(turn: Turn, folder: Path) -> AwayWorkspace | None:
    """The task's workspace on another machine; None when it is here."""
    access = turn.services.workspaces
    if access is None or not await access.is_away(turn.task):
        return None
    staged = Path(turn.task.labels.get(STAGED, "")).name
    name = f"{PARTS}/{staged}" if staged else turn.signal.id
    return AwayWorkspace(
        access, turn.task, turn.signal.task_id, folder.with_name(f"{folder.name}.away"), name
    )


def _bench_place(turn: Turn, folder: Path, away: AwayWorkspace | None, begins: Path | None) -> Place:
    """Where the turn works.

    Raises:
        WorkspaceRefused: no task may work there.
        TurnFailed: what it begins with is not kept here.
    """
    kept, hidden = turn.services.changes, turn.services.hidden
    if away is not None:
        place = place_of(turn.task, folder, changes=away.changes, hidden=hidden)
        seen_as = place.seen_as or place.workspace
        return replace(place, workspace=away.workspace, seen_as=seen_as, begins=begins or away.begins)
    staged = Path(turn.task.labels.get(STAGED, "")).name
    changes = change_folder(kept, turn.signal.task_id, turn.signal.id, staged=staged) if kept else None
    place = place_of(turn.task, folder, changes=changes, hidden=hidden)
    return replace(place, begins=begins or _begins(turn))


def _snapshot(turn: Turn, place: Place, mark: str | None, away: AwayWorkspace | None) -> Snapshot:
    permissions = turn.settings.workbench.layers.get(turn.definition.layer_name)
    return Snapshot(
        place,
        turn.settings.workbench,
        network=permissions is not None and permissions.network,
        mark=mark,
        carrier=away.carry if away is not None else None,
    )


@contextmanager
def _snapshots_folder(turn: Turn) -> Iterator[Path]:
    """Where the turn's copy is made: kept for after a crash, or a folder that goes with the block."""
    if turn.services.snapshots is not None:
        yield turn.services.snapshots
        return
    with tempfile.TemporaryDirectory(prefix="hal9-turn-", dir=turn.services.scratch) as folder:
        yield Path(folder)


async def abandon_bench(turn: Turn) -> tuple[ResultPayload | None, list[FileChange]]:
    """End the copy of a turn that was stopped from outside.

    Returns:
        The turn's result, when its changes had been carried over before it was stopped; and what it had
        changed so far, which is kept.
    """
    folder = turn.services.snapshots / turn.signal.id if turn.services.snapshots else None
    if folder is None or not (folder / "base.json").exists():
        return None, []
    try:
        async with open_bench(turn, mark=None) as bench:
            if bench is None:
                return None, []
            accepted = bench.snapshot.accepted
            kept = accepted or await bench.snapshot.keep()
            await bench.snapshot.discard()
            done = turn.taken_up(accepted.note) if accepted else None
            return done, kept.shown()
    except (TurnFailed, WorkbenchError, OSError) as error:
        _log.warning("the copy of task %s's workspace is left in %s: %s", turn.signal.task_id, folder, error)
        return None, []


async def remove_copy(turn: Turn) -> None:
    """End the copy of a turn whose result is recorded; that there is none is fine."""
    if turn.services.snapshots is None:
        return
    folder = turn.services.snapshots / turn.signal.id
    await asyncio.to_thread(remove_snapshot, folder)
    away = await _away(turn, folder)
    if away is not None:
        await away.settle(accepted=await away.was_accepted())


async def without_earlier_parts(turn: Turn, failed: ResultPayload) -> ResultPayload:
    """The result of a task that failed in one of its parts, once what earlier parts changed is taken back.

    What cannot be taken back, since somebody changed it meanwhile, is said in the result.
    """
    if turn.task.workspace is None or turn.services.changes is None or failed.error is None:
        return failed
    try:
        found = await asyncio.to_thread(find_changes, turn.services.changes, turn.signal.task_id)
        if found.carried == "none":
            return failed
        await asyncio.to_thread(found.take_back)
    except ChangesMissing:
        return failed
    except (WorkbenchError, OSError) as error:
        said = f"{failed.error.message}; what earlier parts changed stays in the workspace: {error}"
        return failed.model_copy(update={"error": failed.error.model_copy(update={"message": said})})
    return failed


async def _opened(snapshot: Snapshot) -> Snapshot:
    try:
        return await snapshot.__aenter__()
    except SnapshotDamaged:
        # Only a turn's own records are lost: it begins anew, on a fresh copy.
        await snapshot.discard()
        return await snapshot.__aenter__()
