"""Files and commands of a task: a jailed workspace, atomic edits with diffs, sandboxed subprocesses."""

from hal9.workbench.commands import CommandResult, Limits, run_command
from hal9.workbench.sandbox import Sandbox, choose_sandbox
from hal9.workbench.workbench import Workbench
from hal9.workbench.workspace import FileEdit, Workspace

__all__ = [
    "CommandResult",
    "FileEdit",
    "Limits",
    "Sandbox",
    "Workbench",
    "Workspace",
    "choose_sandbox",
    "run_command",
]
