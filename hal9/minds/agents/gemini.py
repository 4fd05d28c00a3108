"""Gemini CLI, run without a terminal; its events come as JSON lines."""

from collections.abc import Mapping
from typing import Any

from hal9.minds.agents.program import Agent, AgentSaid, Answer, Call, added, events_in, plain_text
from hal9.minds.protocol import ActKind, AgentAct

__all__ = ["GEMINI"]

_KINDS: dict[str, ActKind] = {
    "run_shell_command": "command", "replace": "edit", "write_file": "edit", "edit": "edit",
    "read_file": "read", "read_many_files": "read", "list_directory": "read", "glob": "read",
    "search_file_content": "read", "grep_search": "read", "web_fetch": "read", "google_web_search": "read",
}  # fmt: skip


def _arguments(call: Call) -> list[str]:
    arguments = ["--output-format", "stream-json"]
    if call.acts:
        # Without our sandbox around it, only edits are approved.
        arguments += ["--approval-mode", "yolo" if call.confined else "auto_edit"]
    return [*arguments, *(["--model", call.settings.model] if call.settings.model else [])]


def _read(output: str) -> Answer:
    events = events_in(output)
    if len(events) == 1 and ("response" in events[0] or "error" in events[0]) and "type" not in events[0]:
        return _read_single(events[0])
    result = next((event for event in reversed(events) if event.get("type") == "result"), None)
    stats = (result or {}).get("stats") or {}
    answer = Answer(text=_last_words(events), acts=_acts(events), **_tokens(stats))
    if result is None or result.get("status") == "error":
        error = (result or {}).get("error") or next(
            (event for event in reversed(events) if event.get("type") == "error"), None
        )
        if error is None:
            raise KeyError("result")
        raise AgentSaid(str(error.get("message", error) if isinstance(error, Mapping) else error), answer)
    return answer


def _tokens(stats: Mapping[str, Any]) -> dict[str, Any]:
    prompt, total = added([stats], "input_tokens"), added([stats], "total_tokens")
    written = added([stats], "output_tokens")
    if prompt is not None and total is not None:
        # `output_tokens` leaves the thinking out, which is paid for like the rest.
        written = max(total - prompt, written or 0)
    cached = added([stats], "cached") or 0
    return {"prompt_tokens": prompt, "completion_tokens": written, "cached_tokens": cached}


def _last_words(events: list[dict[str, Any]]) -> str:
    """What was said after the last tool; while it works it says what it is about to do."""
    said: list[str] = []
    for event in events:
        if event.get("type") == "tool_use":
            said = []
        elif event.get("type") == "message" and event.get("role") in {"assistant", "model"}:
            said.append(plain_text(event.get("content")))
    return "".join(said)


def _acts(events: list[dict[str, Any]]) -> tuple[AgentAct, ...]:
    results = {str(event.get("tool_id")): event for event in events if event.get("type") == "tool_result"}
    acts: list[AgentAct] = []
    for event in events:
        if event.get("type") != "tool_use":
            continue
        name, arguments = str(event.get("tool_name", "")), event.get("parameters")
        result = results.get(str(event.get("tool_id")), {})
        error = result.get("error")
        outcome = plain_text(result.get("output"))
        if isinstance(error, Mapping):
            outcome = plain_text(error.get("message")) or outcome
        acts.append(
            AgentAct(
                kind=_KINDS.get(name, "tool"),
                name=name,
                arguments=arguments if isinstance(arguments, dict) else {},
                outcome=outcome,
                ok=result.get("status") == "success" if result else None,
            )
        )
    return tuple(acts)


def _read_single(data: Mapping[str, Any]) -> Answer:
    """The one object of ``--output-format json``, which older versions have alone."""
    if data.get("error"):
        error = data["error"]
        raise AgentSaid(str(error.get("message", error) if isinstance(error, Mapping) else error))
    models = (data.get("stats") or {}).get("models") or {}
    tokens = [model.get("tokens") or {} for model in models.values()]
    return Answer(
        text=plain_text(data["response"]),
        prompt_tokens=added(tokens, "prompt"),
        completion_tokens=added(tokens, "candidates", "thoughts"),
        cached_tokens=added(tokens, "cached") or 0,
    )


GEMINI = Agent(
    name="gemini",
    arguments=_arguments,
    read=_read,
    passed=("GEMINI_", "GOOGLE_"),
    homes=(".gemini",),
    # It refuses to work in a folder nobody has trusted by hand; older versions do not know the flag.
    variables={"GEMINI_CLI_TRUST_WORKSPACE": "true"},
)
