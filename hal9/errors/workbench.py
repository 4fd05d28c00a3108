"""Errors of workbench."""

from dataclasses import dataclass

from hal9.errors.base import WorkbenchError

__all__ = [
    "ActionNotPermitted",
    "CommandNotFound",
    "FileNotText",
    "FileTooLarge",
    "PathOutsideWorkspace",
    "SandboxUnavailable",
    "WorkspaceMissing",
    "WorkspaceUnwritable",
]


@dataclass(eq=False, kw_only=True)
class WorkspaceMissing(WorkbenchError):
    """The task's workspace is not a directory here."""

    path: str

    def message(self) -> str:
        return f"workspace {self.path} is not a directory; create it or name another with --workspace."


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
