"""Errors of workbench."""

from dataclasses import dataclass

from hal9.errors.base import WorkbenchError

__all__ = [
    "ActionNotPermitted",
    "BranchFailed",
    "ChangesMissing",
    "CommandNotFound",
    "CommandsUnavailable",
    "FileNotText",
    "FileTooLarge",
    "MarkUnknown",
    "NotRegularFile",
    "PathOutsideWorkspace",
    "SandboxUnavailable",
    "SnapshotDamaged",
    "WorkspaceAway",
    "WorkspaceBusy",
    "WorkspaceConflict",
    "WorkspaceMissing",
    "WorkspaceRefused",
    "WorkspaceTooLarge",
    "WorkspaceUnwritable",
]


@dataclass(eq=False, kw_only=True)
class WorkspaceMissing(WorkbenchError):
    """The task's workspace is not a directory here."""

    path: str

    def message(self) -> str:
        return f"workspace {self.path} is not a directory; create it or name another with --workspace."


@dataclass(eq=False, kw_only=True)
class WorkspaceAway(WorkbenchError):
    """The task's workspace is on another machine, and could not be had from there or given back."""

    path: str
    node: str
    detail: str

    def message(self) -> str:
        return f"workspace {self.path} is on the machine of node {self.node!r}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class PathOutsideWorkspace(WorkbenchError):
    """A path leads out of the workspace."""

    path: str
    root: str

    def message(self) -> str:
        return (
            f"{self.path!r} is not a path inside the workspace {self.root}; use a relative path without '..'."
        )


@dataclass(eq=False, kw_only=True)
class FileTooLarge(WorkbenchError):
    """A file is larger than the workbench reads or writes."""

    path: str
    size: int
    limit: int

    def message(self) -> str:
        return f"{self.path} has {self.size} bytes, the limit is {self.limit} (workbench.file_mb)."


@dataclass(eq=False, kw_only=True)
class FileNotText(WorkbenchError):
    """A file is not UTF-8 text."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path} is not UTF-8 text: {self.detail}"


@dataclass(eq=False, kw_only=True)
class WorkspaceUnwritable(WorkbenchError):
    """An edit failed; all edits of its group were undone."""

    path: str
    detail: str

    def message(self) -> str:
        return f"cannot write {self.path}: {self.detail}. No file of this group was changed."


@dataclass(eq=False, kw_only=True)
class ActionNotPermitted(WorkbenchError):
    """The layer's permissions forbid it."""

    layer: str
    action: str
    what: str

    def message(self) -> str:
        return f"layer {self.layer} may not {self.action} ({self.what}); see workbench.layers in hal9.yaml."


@dataclass(eq=False, kw_only=True)
class CommandNotFound(WorkbenchError):
    """The program of a command does not exist."""

    command: str

    def message(self) -> str:
        return f"command not found: {self.command}"


@dataclass(eq=False, kw_only=True)
class SandboxUnavailable(WorkbenchError):
    """Isolation is required, but impossible on this machine."""

    detail: str

    def message(self) -> str:
        return (
            f"workbench.isolation is 'bubblewrap', but {self.detail}. "
            "Install it, or set workbench.isolation to 'auto'."
        )


@dataclass(eq=False, kw_only=True)
class NotRegularFile(WorkbenchError):
    """A path of the workspace is a link, a FIFO, a device, a folder: nothing that is read or written."""

    path: str
    kind: str

    def message(self) -> str:
        return f"{self.path} is a {self.kind}, not a regular file; it is neither read nor written."


@dataclass(eq=False, kw_only=True)
class WorkspaceRefused(WorkbenchError):
    """A directory that no task may work in."""

    path: str
    why: str
    remedy: str = "Name the folder of one project instead."

    def message(self) -> str:
        return f"{self.path} cannot be a workspace: {self.why}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class WorkspaceTooLarge(WorkbenchError):
    """A workspace cannot be copied within its limits."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"workspace {self.path} is too large to work in a copy of it: {self.detail}. Name a smaller folder, "
            "list big folders in workbench.shared_folders (seen read-only, not copied), or raise the limit."
        )


@dataclass(eq=False, kw_only=True)
class WorkspaceBusy(WorkbenchError):
    """Another process has been changing the workspace for too long."""

    path: str
    seconds: float

    def message(self) -> str:
        return f"workspace {self.path} has been locked by another task for {self.seconds:.0f} s; try again."


@dataclass(eq=False, kw_only=True)
class WorkspaceConflict(WorkbenchError):
    """Files that a task changed were changed by somebody else meanwhile; nothing was carried over."""

    root: str
    conflicts: tuple[tuple[str, str], ...]

    def message(self) -> str:
        named = "; ".join(f"{path}: {why}" for path, why in self.conflicts[:8])
        more = f" and {len(self.conflicts) - 8} more" if len(self.conflicts) > 8 else ""
        return f"nothing was changed in {self.root}, because of conflicts: {named}{more}."


@dataclass(eq=False, kw_only=True)
class SnapshotDamaged(WorkbenchError):
    """The records of a task's copy of the workspace cannot be read."""

    path: str
    detail: str

    def message(self) -> str:
        return f"the task's copy of the workspace in {self.path} is damaged ({self.detail}); the turn begins anew."


@dataclass(eq=False, kw_only=True)
class MarkUnknown(WorkbenchError):
    """There is no mark of this name in a task's copy of the workspace."""

    path: str
    label: str

    def message(self) -> str:
        return f"the copy of the workspace in {self.path} has no mark {self.label!r}."


@dataclass(eq=False, kw_only=True)
class CommandsUnavailable(WorkbenchError):
    """The process that runs a task's commands did not start, or ended."""

    detail: str

    def message(self) -> str:
        return f"commands cannot be run: {self.detail}"


@dataclass(eq=False, kw_only=True)
class ChangesMissing(WorkbenchError):
    """Nothing is kept of what a task changed."""

    task_id: str
    detail: str

    def message(self) -> str:
        return f"there are no changes of task {self.task_id}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class BranchFailed(WorkbenchError):
    """A task's changes cannot be committed to a branch."""

    path: str
    detail: str

    def message(self) -> str:
        return f"no branch was made in {self.path}: {self.detail}"
