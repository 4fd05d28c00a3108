"""What one layer may touch: the workspace and the commands, behind that layer's permissions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hal9.errors.workbench import ActionNotPermitted
from hal9.settings import LayerPermissions, WorkbenchSettings
from hal9.signals import CheckReport, FileChange
from hal9.workbench.commands import CommandResult, Limits, run_command
from hal9.workbench.sandbox import Sandbox, choose_sandbox
from hal9.workbench.workspace import FileEdit, Workspace

__all__ = ["Workbench"]

LayerName = Literal["L4", "L3", "L2"]


@dataclass(slots=True)
class Workbench:
    """Files and commands of one task, for one layer.

    Raises:
        WorkspaceMissing: the directory does not exist.
        SandboxUnavailable: isolation is required and impossible here.
    """

    root: Path
    layer: LayerName
    settings: WorkbenchSettings = field(default_factory=WorkbenchSettings)
    hidden: tuple[Path, ...] = ()
    undo_file: Path | None = None
    workspace: Workspace = field(init=False)
    sandbox: Sandbox = field(init=False)

    def __post_init__(self) -> None:
        self.workspace = Workspace(
            root=self.root, max_file_bytes=self.settings.file_mb * 1024 * 1024, undo_file=self.undo_file
        )
        self.sandbox = choose_sandbox(self.settings.isolation)

    @property
    def permissions(self) -> LayerPermissions:
        """What this layer may do."""
        return self.settings.layers.get(self.layer, LayerPermissions(read=False))

    def read(self, path: str) -> str:
        """Text of a file in the workspace."""
        self._require("read", path)
        return self.workspace.read(path)

    def apply(self, edits: Sequence[FileEdit]) -> list[FileChange]:
        """Carry out all file edits or none."""
        self._require("write", ", ".join(edit.path for edit in edits))
        return self.workspace.apply(edits)

    async def run(
        self, command: str | Sequence[str], *, on_output: Callable[[str], None] | None = None
    ) -> CommandResult:
        """Run a command in the workspace."""
        self._require("run", command if isinstance(command, str) else " ".join(command))
        return await run_command(
            command,
            root=self.workspace.root,
            limits=self._limits(),
            sandbox=self.sandbox,
            network=self.permissions.network,
            hidden=self.hidden,
            on_output=on_output,
        )

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

    def _limits(self) -> Limits:
        mega = 1024 * 1024
        return Limits(
            timeout_seconds=self.settings.timeout_seconds,
            output_bytes=self.settings.output_kb * 1024,
            memory_bytes=self.settings.memory_mb * mega,
            file_bytes=self.settings.file_mb * mega,
            processes=self.settings.processes,
        )

    def _require(self, action: Literal["read", "write", "run"], what: str) -> None:
        if not getattr(self.permissions, action):
            raise ActionNotPermitted(layer=self.layer, action=action, what=what)
