"""What a neuron is about to do, in the terms that policies and guards decide on, and the gate they form."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from hal9.tools.shell import parse_command

__all__ = [
    "Action",
    "ActionContext",
    "ActionGate",
    "ActionKind",
    "ActionOutcome",
    "Decision",
    "OpenGate",
    "answer_action",
    "command_action",
    "file_action",
    "tool_action",
]

ActionKind = Literal["command", "write", "edit", "read", "answer", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing about to be done.

    Attributes:
        kind: `command` for a shell command, `write` for a whole file, `edit` for a part of one, `read` for
            anything that only looks, `answer` for the turn's result, `tool` for any other tool.
        tool: the tool's name, such as `bash`, `edit` or `git.git_commit` of an MCP server.
        text: the command, the new text of a file or of its part, or the answer.
        language: of `text`: `bash` for commands, the suffix of the path for files, empty when unknown.
        programs: the programs a command starts, in order, without their folders.
        paths: the files or folders concerned, as they were written; for an answer the changed files.
        arguments: the tool's arguments as the model gave them.
    """

    kind: ActionKind
    tool: str = ""
    text: str = ""
    language: str = ""
    programs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """Where an action would take place.

    Attributes:
        step: how many actions this turn has carried out before.
        workspace: the user's folder, empty when the task has none. Files are changed in a copy of it.
        objective: the task's text.
        check: the task's check command, empty when there is none.
    """

    task_id: str
    signal_id: str = ""
    neuron: str = ""
    layer: int = 2
    step: int = 0
    workspace: str = ""
    objective: str = ""
    check: str = ""
    task_family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a gate says to an action.

    Attributes:
        verdict: `allow`; `remind`, allowed, and the reason is added to what the model sees; `refuse`, not
            done, and the model sees the reason; `ask`, a person decides; `rewrite`, `action` is done instead.
        reason: one or two sentences for whoever acted (empty only with `allow`).
        source: what decided, such as `policy:rm` or `rule:17`; kept with the step.
        action: what is done instead, for `rewrite`.
    """

    verdict: Literal["allow", "remind", "refuse", "ask", "rewrite"] = "allow"
    reason: str = ""
    source: str = ""
    action: Action | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOutcome:
    """How an action ended: what the model saw of it, and whether it failed."""

    ok: bool
    exit_code: int | None = None
    observation: str = ""
    seconds: float = 0.0


class ActionGate(Protocol):
    """Decides before an action is carried out, and learns how it ended. Must be quick and never raise."""

    async def before(self, action: Action, context: ActionContext) -> Decision:
        """What to do about the action; also called for the turn's answer before it is accepted."""
        ...

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        """How an action ended that was allowed, reminded of, rewritten or approved."""
        ...


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Allows everything."""

    async def before(self, action: Action, context: ActionContext) -> Decision:
        return Decision()

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        return None


def command_action(command: str, *, tool: str = "bash", arguments: Mapping[str, Any] | None = None) -> Action:
    """The action of a shell command."""
    parsed = parse_command(command)
    paths = dict.fromkeys(path for one in parsed for path in one.written)
    return Action(
        kind="command",
        tool=tool,
        text=command,
        language="bash",
        programs=tuple(one.program for one in parsed),
        paths=tuple(paths),
        arguments=arguments if arguments is not None else {"command": command},
    )


def file_action(
    kind: Literal["write", "edit", "read"],
    path: str,
    *,
    text: str = "",
    tool: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> Action:
    """The action of reading, writing or editing one file."""
    suffix = path.rsplit(".", 1)[1] if "." in path.rsplit("/", 1)[-1] else ""
    return Action(
        kind=kind,
        tool=tool or kind,
        text=text,
        language=suffix,
        paths=(path,) if path else (),
        arguments=arguments if arguments is not None else {},
    )


def answer_action(answer: str, *, changed: tuple[str, ...] = ()) -> Action:
    """The action of giving the turn's result."""
    return Action(kind="answer", tool="finish", text=answer, paths=changed, arguments={"answer": answer})


def tool_action(tool: str, arguments: Mapping[str, Any]) -> Action:
    """The action of any other tool; what looks like a path in its arguments counts as one."""
    action = Action(kind="tool", tool=tool, arguments=dict(arguments))
    named = [
        value
        for key, value in arguments.items()
        if isinstance(value, str) and ("path" in key.lower() or "file" in key.lower()) and value
    ]
    return replace(action, paths=tuple(named))
