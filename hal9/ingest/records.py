"""What an agent's run consists of, whatever program wrote it down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Run", "RunStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """One action of an agent and what it saw of it.

    Attributes:
        command: the shell command; empty when another tool was called.
        exit_code: its exit code; None when it is not known or nothing was run.
        output: what the agent saw, possibly shortened.
        executed: False when the agent's program refused to run the step.
        tool: the tool's name, `bash` for shell commands.
        arguments: the tool's arguments where there are any.
        path: the file that was read or written by a tool other than the shell.
        text: what was written there.
        call_id: the agent's own id of the call, the same in every copy of its session; may be empty.
    """

    command: str = ""
    exit_code: int | None = None
    output: str = ""
    executed: bool = True
    tool: str = "bash"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    text: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of an agent on one task.

    Attributes:
        id: unique among the runs of its source.
        repo: the repository's name, or the working folder where nothing better is known; may be empty.
        root: the folder in which the agent worked, as its commands name it; may be empty.
        task: what it was asked.
        agent: the program that ran it, such as `mini-swe-agent` or `claude-code`.
        steps: in order.
        resolved: whether the task was solved, where somebody judged it.
        known_steps: places of steps that were read before: the session has grown since, or began as a copy of
            another one. They tell where the others begin and teach nothing again.
    """

    id: str
    repo: str = ""
    root: str = ""
    task: str = ""
    agent: str = ""
    steps: tuple[RunStep, ...] = ()
    resolved: bool | None = None
    known_steps: frozenset[int] = frozenset()
