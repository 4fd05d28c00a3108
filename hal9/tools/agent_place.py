"""A turn's copy as the place where a command-line agent works."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hal9.workbench.running.sandbox import choose_sandbox, command_environment
from hal9.workbench.snapshot import Snapshot

__all__ = ["SnapshotWorkplace"]


class SnapshotWorkplace:
    """The copy of a workspace; what an agent does in it is judged and carried over like everything else.

    In the sandbox it sees the system, its own installation, its own settings and login, the copy at the
    workspace's path, and the network; nothing else of the home folder.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._sandbox = choose_sandbox(snapshot.settings.isolation)

    @property
    def folder(self) -> Path:
        return self._snapshot.root

    @property
    def confined(self) -> bool:
        return self._sandbox.kind != "none"

    async def confine(
        self, argv: Sequence[str], *, readable: Sequence[Path], writable: Sequence[Path]
    ) -> list[str]:
        """The command line that runs a program in the copy's sandbox."""
        snapshot = self._snapshot
        view = snapshot.view()
        _variables, found = await asyncio.to_thread(
            command_environment, view, snapshot.settings, self._sandbox.kind
        )
        return self._sandbox.confined(
            view, snapshot.settings, found, argv, readable=readable, writable=writable
        )
