"""The hook events of other agents as actions, and our answer in the words each agent reads.

Formats as of November 2025: Claude Code 2.x (`PreToolUse`, `PostToolUse`, `SessionStart`,
`UserPromptSubmit`), Codex CLI and Gemini CLI 0.1x (`BeforeTool`, `AfterTool`, `SessionStart`), Cursor 1.7
(`beforeShellExecution`, `afterFileEdit`). An event that is not known is answered with nothing, so the agent
goes on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hal9.learning.guards.advised import Advised
from hal9.tools.action import Action, command_action, file_action

__all__ = ["AGENTS", "HookEvent", "answer", "read_event"]

Agent = Literal["claude-code", "codex", "gemini-cli", "cursor"]
AGENTS: tuple[Agent, ...] = ("claude-code", "codex", "gemini-cli", "cursor")
Moment = Literal["before", "after", "start", "prompt", "other"]

_MOMENTS: dict[str, Moment] = {
    "PreToolUse": "before",
    "BeforeTool": "before",
    "beforeShellExecution": "before",
    "PostToolUse": "after",
    "PostToolUseFailure": "after",
    "AfterTool": "after",
    "afterShellExecution": "after",
    "SessionStart": "start",
    "sessionStart": "start",
    "UserPromptSubmit": "prompt",
    "BeforeAgent": "prompt",
    "beforeSubmitPrompt": "prompt",
}
_SHELL_TOOLS = frozenset({"Bash", "bash", "shell", "run_shell_command", "exec_command", "local_shell"})
_WRITE_TOOLS = frozenset({"Write", "write_file", "create_file"})
_EDIT_TOOLS = frozenset({"Edit", "MultiEdit", "NotebookEdit", "replace", "apply_patch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """One call of a hook.

    Attributes:
        moment: before or after a tool call, at a session's start, or when the user has said something.
        name: the agent's own name of the event.
        session: the session's id.
        folder: where the agent works.
        action: what is about to be done, or was.
        prompt: what the user said.
        exit_code: of an action that was done, where the agent tells it.
        output: what came of it.
    """

    moment: Moment
    name: str
    session: str
    folder: str
    action: Action | None = None
    prompt: str = ""
    exit_code: int | None = None
    output: str = ""


def read_event(name: str, body: Mapping[str, Any]) -> HookEvent:
    """An event out of what the agent writes to the hook.

    Args:
        name: the event, as the hook was installed for; the body's own name stands above it.
        body: the JSON object.
    """
    own = str(body.get("hook_event_name") or name)
    code, output = _result(body.get("tool_response", body.get("tool_result", body.get("output"))))
    if own.endswith("Failure") and not code:
        code = 1
        output = output or str(body.get("error") or "")
    return HookEvent(
        moment=_MOMENTS.get(own, "other"),
        name=own,
        session=str(body.get("session_id") or body.get("conversation_id") or body.get("thread_id") or ""),
        folder=str(body.get("cwd") or _first(body.get("workspace_roots")) or ""),
        action=_action(body),
        prompt=str(body.get("prompt") or body.get("user_prompt") or ""),
        exit_code=code,
        output=output,
    )


def _first(value: Any) -> str:
    return str(value[0]) if isinstance(value, list) and value else ""


def _action(body: Mapping[str, Any]) -> Action | None:
    tool = str(body.get("tool_name") or "")
    given = body.get("tool_input")
    given = given if isinstance(given, Mapping) else {}
    if not tool and "command" in body:
        return command_action(_command(body["command"]))
    if tool in _SHELL_TOOLS:
        return command_action(_command(given.get("command") or given.get("cmd")), arguments=dict(given))
    path = str(given.get("file_path") or given.get("path") or "")
    if tool in _WRITE_TOOLS and path:
        return file_action(
            "write", path, text=str(given.get("content") or ""), tool=tool, arguments=dict(given)
        )
    if tool in _EDIT_TOOLS and path:
        text = str(given.get("new_string") or given.get("content") or "")
        return file_action("edit", path, text=text, tool=tool, arguments=dict(given))
    if not tool:
        return None
    return Action(kind="tool", tool=tool, text=json.dumps(dict(given))[:20_000], arguments=dict(given))


def _command(value: Any) -> str:
    if isinstance(value, list):
        words = [str(word) for word in value]
        return words[2] if len(words) == 3 and words[1].startswith("-") else " ".join(words)
    return str(value or "")


def _result(value: Any) -> tuple[int | None, str]:
    """Exit code and output of a finished call, as far as the agent tells them."""
    if isinstance(value, str):
        return None, value
    if not isinstance(value, Mapping):
        return None, ""
    code = value.get("exit_code", value.get("exitCode", value.get("returncode")))
    if code is None and ("stdout" in value or "stderr" in value):
        code = 1 if value.get("is_error") or value.get("interrupted") else 0
    parts = [str(value.get(name) or "") for name in ("stdout", "stderr", "output", "llmContent", "error")]
    return (code if isinstance(code, int) else None), "\n".join(part for part in parts if part)


def answer(agent: Agent, event: HookEvent, advised: Advised, context: str = "") -> dict[str, Any]:
    """What to print; an empty object lets the agent go on as if nothing had been asked.

    Args:
        agent: who asks.
        event: what about.
        advised: what is to happen to the action.
        context: what is to be added to what the model sees.
    """
    if agent == "cursor":
        if event.moment == "before":
            allowed = "deny" if advised.effect == "refuse" else "allow"
            told = {"agent_message": advised.reason, "user_message": advised.reason} if advised.reason else {}
            return {"permission": allowed, **told}
        return {}
    if agent == "gemini-cli":
        if event.moment == "before" and advised.effect == "refuse":
            return {"decision": "deny", "reason": advised.reason}
        return _context(event.name, _joined(advised, context))
    if event.moment == "before" and advised.effect == "refuse":
        decision = {"permissionDecision": "deny", "permissionDecisionReason": advised.reason}
        return {"hookSpecificOutput": {"hookEventName": event.name, **decision}}
    return _context(event.name, _joined(advised, context))


def _joined(advised: Advised, context: str) -> str:
    return "\n".join(part for part in (advised.reason if advised.effect == "remind" else "", context) if part)


def _context(name: str, text: str) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": name, "additionalContext": text}} if text else {}
