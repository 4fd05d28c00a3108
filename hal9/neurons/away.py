"""A turn on a workspace that is on another machine: fetched, worked on here, and what changed given back.

All that is fetched lies in one folder beside the turn's copy, and goes with it.
"""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import SnapshotDamaged, WorkspaceAway
from hal9.neurons.interfaces import WorkspaceAccess
from hal9.signals import TaskPayload
from hal9.signals.labels import BEGINS_WITH, REVIEW, STAGED
from hal9.workbench import ChangeSet, Snapshot, load_changes
from hal9.workbench.upkeep import remove_snapshot

__all__ = ["AwayWorkspace"]

_log = logging.getLogger("hal9.neurons.away")


@dataclass(frozen=True, slots=True)
class AwayWorkspace:
    """The workspace of one turn's task, fetched from the node that has it.

    Attributes:
        access: asks that node.
        task: whose workspace.
        task_id: of the whole task.
        folder: what is fetched and changed lies below it.
        name: under which its changes are kept where the workspace is.
    """

    access: WorkspaceAccess
    task: TaskPayload
    task_id: str
    folder: Path
    name: str

    @property
    def workspace(self) -> Path:
        """The fetched copy, which is what the turn's own copy is made of."""
        return self.folder / "workspace"

    @property
    def changes(self) -> Path:
        """Where what the turn changed is kept until it is given back."""
        return self.folder / "changes"

    @property
    def begins(self) -> Path | None:
        """The change set that the turn begins with, fetched."""
        return self.folder / "begins" if self.task.labels.get(BEGINS_WITH) else None

    async def fetch(self) -> None:
        """Have it here; what is here already is not fetched again.

        Raises:
            WorkspaceAway: it cannot be had.
        """
        if not self.workspace.exists():
            await self.access.fetch(self.task, self.task_id, self.workspace)
        if self.begins is not None and not self.begins.exists():
            name = self.task.labels[BEGINS_WITH]
            await self.access.fetch_changes(self.task, self.task_id, name, self.begins)

    async def carry(self, kept: ChangeSet) -> None:
        """Carry a change set over where the workspace is.

        Raises:
            WorkspaceConflict, WorkspaceAway.
        """
        await self.access.give_back(self.task, self.task_id, kept, self.name, carry=True)

    async def find_accepted(self, snapshot: Snapshot) -> None:
        """A process that died may have carried its changes over, and not have noted it."""
        kept = self._kept()
        if kept is None or not snapshot.continued or snapshot.accepted is not None:
            return
        if await self.access.was_carried(self.task, self.task_id, self.name):
            await snapshot.note_accepted(kept)

    async def was_accepted(self) -> bool:
        """Whether what is kept here was carried over where the workspace is.

        Raises:
            TurnFailed: nobody answers.
        """
        if self._kept() is None:
            return True
        try:
            return await self.access.was_carried(self.task, self.task_id, self.name)
        except WorkspaceAway as error:
            raise TurnFailed(reason="workspace_unreachable", detail=str(error)) from error

    async def settle(self, *, accepted: bool) -> None:
        """After the turn: what it changed is kept where the workspace is, and nothing stays here.

        Raises:
            TurnFailed: what is to be looked at or merged there could not be given back.
        """
        kept = self._kept()
        if kept is not None and kept.changes and not accepted:
            try:
                await self.access.give_back(self.task, self.task_id, kept, self.name, carry=False)
            except WorkspaceAway as error:
                if self.task.labels.get(REVIEW) == "yes" or self.task.labels.get(STAGED):
                    raise TurnFailed(reason="workspace_unreachable", detail=str(error)) from error
                _log.warning("the diff of a turn that came to nothing is lost: %s", error)
        await self.remove()

    async def remove(self) -> None:
        """Nothing of it stays here."""
        await asyncio.to_thread(remove_snapshot, self.folder)

    def _kept(self) -> ChangeSet | None:
        try:
            return load_changes(self.changes)
        except (FileNotFoundError, SnapshotDamaged):
            return None
