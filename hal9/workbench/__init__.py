"""Files and commands of a task: a copy of the workspace per turn, commands in a sandbox."""

from typing import TYPE_CHECKING

from hal9.lazy import lazy_names

if TYPE_CHECKING:
    from hal9.workbench.changes import ChangeSet, load_changes
    from hal9.workbench.running.commands import CommandResult
    from hal9.workbench.running.sandbox import Sandbox, choose_sandbox
    from hal9.workbench.secrets import check_workspace
    from hal9.workbench.snapshot import Place, Snapshot
    from hal9.workbench.workbench import FileEdit, Workbench

__all__ = [
    "ChangeSet",
    "CommandResult",
    "FileEdit",
    "Place",
    "Sandbox",
    "Snapshot",
    "Workbench",
    "check_workspace",
    "choose_sandbox",
    "load_changes",
]

__getattr__ = lazy_names(
    __name__,
    {
        "changes": ("ChangeSet", "load_changes"),
        "running.commands": ("CommandResult",),
        "running.sandbox": ("Sandbox", "choose_sandbox"),
        "secrets": ("check_workspace",),
        "snapshot": ("Place", "Snapshot"),
        "workbench": ("FileEdit", "Workbench"),
    },
)
