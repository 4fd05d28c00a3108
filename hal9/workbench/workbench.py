"""What one layer may touch: a turn's copy of the workspace, behind that layer's permissions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hal9.errors.workbench import ActionNotPermitted, FileNotText
from hal9.settings import LayerPermissions, WorkbenchSettings
from hal9.signals import CheckReport
from hal9.workbench.running.commands import CommandResult
from hal9.workbench.snapshot import Snapshot

__all__ = ["FileEdit", "Workbench"]

LayerName = Literal["L4", "L3", "L2"]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What should become of one file; `content` None deletes it."""

    path: str
    content: str | None


@dataclass(slots=True)
class Workbench:
    """Files and commands of one turn, for one layer."""

    snapshot: Snapshot
    layer: LayerName
    settings: WorkbenchSettings = field(default_factory=WorkbenchSettings)

    @property
    def permissions(self) -> LayerPermissions:
        """What this layer may do."""
        return self.settings.layers.get(self.layer, LayerPermissions(read=False))

    async def read_bytes(self, path: str, *, limit: int | None = None) -> bytes:
        """Content of a file.

        Raises:
            ActionNotPermitted, PathOutsideWorkspace, FileNotFoundError, NotRegularFile, FileTooLarge.
        """
        self._require("read", path)
        return await self.snapshot.read_bytes(path, limit=limit)

    async def read(self, path: str) -> str:
        """Text of a file.

        Raises:
            ActionNotPermitted, PathOutsideWorkspace, FileNotFoundError, NotRegularFile, FileTooLarge.
            FileNotText: it is not UTF-8.
        """
        try:
            return (await self.read_bytes(path)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileNotText(path=path, detail=str(error)) from error

    async def write(self, path: str, data: bytes) -> None:
        """Replace or create a file.

        Raises:
            ActionNotPermitted, PathOutsideWorkspace, NotRegularFile, FileTooLarge, WorkspaceUnwritable.
        """
        self._require("write", path)
        await self.snapshot.write(path, data)

    async def delete(self, path: str) -> None:
        """Remove a file.

        Raises:
            ActionNotPermitted, PathOutsideWorkspace, NotRegularFile, WorkspaceUnwritable.
        """
        self._require("write", path)
        await self.snapshot.delete(path)

    async def apply(self, edits: Sequence[FileEdit]) -> None:
        """Carry out file edits. One that cannot be made ends it; the turn's copy holds those before it.

        Raises:
            ActionNotPermitted, PathOutsideWorkspace, NotRegularFile, FileTooLarge, WorkspaceUnwritable.
        """
        for edit in edits:
            if edit.content is None:
                await self.delete(edit.path)
            else:
                await self.write(edit.path, edit.content.encode("utf-8", "replace"))

    async def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_seconds: float | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CommandResult:
        """Run a command.

        Raises:
            ActionNotPermitted, CommandNotFound, CommandsUnavailable.
        """
        self._require("run", command if isinstance(command, str) else " ".join(command))
        return await self.snapshot.run(command, timeout_seconds=timeout_seconds, on_output=on_output)

    async def check(self, command: str) -> CheckReport:
        """Run the task's check."""
        done = await self.run(command)
        return CheckReport(
            command=command,
            passed=done.ok,
            exit_code=done.exit_code,
            output=done.output,
            seconds=done.seconds,
            timed_out=done.timed_out,
        )

    def _require(self, action: Literal["read", "write", "run"], what: str) -> None:
        if not getattr(self.permissions, action):
            raise ActionNotPermitted(layer=self.layer, action=action, what=what)
