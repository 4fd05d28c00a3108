"""The workbench of one turn: a copy of the task's workspace, continued after a crash."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import (
    ChangesMissing,
    SandboxUnavailable,
    SnapshotDamaged,
    WorkspaceConflict,
    WorkspaceMissing,
    WorkspaceRefused,
    WorkspaceTooLarge,
)
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
    services = turn.services
    with _snapshots_folder(turn) as snapshots:
        folder = snapshots / turn.signal.id
        kept = services.changes
        staged = Path(turn.task.labels.get(STAGED, "")).name
        changes = change_folder(kept, turn.signal.task_id, turn.signal.id, staged=staged) if kept else None
        permissions = turn.settings.workbench.layers.get(turn.definition.layer_name)
        try:
            choose_sandbox(turn.settings.workbench.isolation)
            place = place_of(turn.task, folder, changes=changes, hidden=services.hidden)
            snapshot = await _opened(
                Snapshot(
                    replace(place, begins=begins or _begins(turn)),
                    turn.settings.workbench,
                    network=permissions is not None and permissions.network,
                    mark=mark,
                )
            )
        except WorkspaceConflict as error:
            raise TurnFailed(reason="conflict", detail=str(error)) from error
        except (WorkspaceMissing, WorkspaceRefused, WorkspaceTooLarge) as error:
            raise TurnFailed(reason="workspace_unreachable", detail=str(error)) from error
        except (SandboxUnavailable, WorkbenchError, OSError) as error:
            raise TurnFailed(reason="tool_failed", detail=str(error)) from error
        try:
            yield Workbench(snapshot, turn.definition.layer_name, turn.settings.workbench)
        finally:
            await snapshot.__aexit__(None, None, None)


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
            done = ResultPayload.model_validate_json(accepted.note) if accepted else None
            return done, kept.shown()
    except (TurnFailed, WorkbenchError, OSError) as error:
        _log.warning("the copy of task %s's workspace is left in %s: %s", turn.signal.task_id, folder, error)
        return None, []


async def remove_copy(turn: Turn) -> None:
    """End the copy of a turn whose result is recorded; that there is none is fine."""
    if turn.services.snapshots is not None:
        await asyncio.to_thread(remove_snapshot, turn.services.snapshots / turn.signal.id)


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
