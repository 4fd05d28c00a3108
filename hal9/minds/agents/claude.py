"""Claude Code, run with `--print`; its events come as JSON lines."""

from typing import Any

from hal9.minds.agents.program import Agent, AgentSaid, Answer, Call, added, events_in, plain_text
from hal9.minds.protocol import ActKind, AgentAct

__all__ = ["CLAUDE"]

_KINDS: dict[str, ActKind] = {
    "Bash": "command", "PowerShell": "command", "Edit": "edit", "MultiEdit": "edit", "Write": "edit",
    "NotebookEdit": "edit", "Read": "read", "Grep": "read", "Glob": "read", "LS": "read",
}  # fmt: skip


def _arguments(call: Call) -> list[str]:
    # --print takes stream-json only together with --verbose.
    arguments = ["--print", "--output-format", "stream-json", "--verbose", "--no-session-persistence"]
    if call.acts:
        # Without our sandbox around it, commands stay with what the user's own settings allow.
        mode = "bypassPermissions" if call.confined else "acceptEdits"
        arguments += ["--permission-mode", mode]
    if call.settings.model:
        arguments += ["--model", call.settings.model]
    if call.settings.usd_per_call is not None:
        arguments += ["--max-budget-usd", f"{call.settings.usd_per_call:g}"]
    return arguments


def _read(output: str) -> Answer:
    events = events_in(output)
    result = next((event for event in reversed(events) if event.get("type") == "result"), None)
    if result is None and len(events) == 1 and {"result", "subtype"} & set(events[0]):
        result = events[0]
    if result is None:
        raise KeyError("result")
    usage = result.get("usage") or {}
    prompt = added([usage], "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    cost = result.get("total_cost_usd")
    answer = Answer(
        text=plain_text(result.get("result")),
        prompt_tokens=prompt,
        completion_tokens=added([usage], "output_tokens"),
        cached_tokens=added([usage], "cache_read_input_tokens") or 0,
        usd=float(cost) if isinstance(cost, (int, float)) and cost >= 0 else None,
        acts=_acts(events),
        cut=result.get("subtype") in {"error_max_turns", "error_max_budget_usd"},
    )
    if result.get("is_error") or result.get("subtype", "success") != "success":
        told = result.get("result") or result.get("errors") or result.get("subtype")
        raise AgentSaid(plain_text(told or "an error without a text"), answer)
    return answer


def _acts(events: list[dict[str, Any]]) -> tuple[AgentAct, ...]:
    results: dict[str, tuple[str, bool]] = {}
    for event in events:
        for part in _parts(event, "user"):
            if part.get("type") == "tool_result":
                told = plain_text(part.get("content")), not part.get("is_error", False)
                results[str(part.get("tool_use_id"))] = told
    acts: list[AgentAct] = []
    for event in events:
        for part in _parts(event, "assistant"):
            if part.get("type") == "tool_use":
                name, arguments = str(part.get("name", "")), part.get("input")
                outcome, ok = results.get(str(part.get("id")), ("", None))
                acts.append(
                    AgentAct(
                        kind=_KINDS.get(name, "tool"),
                        name=name,
                        arguments=arguments if isinstance(arguments, dict) else {},
                        outcome=outcome,
                        ok=ok,
                    )
                )
            elif part.get("type") == "text" and str(part.get("text", "")).strip():
                acts.append(AgentAct(kind="words", name="", outcome=plain_text(part["text"])))
    return tuple(acts)


def _parts(event: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    message = event.get("message")
    content = message.get("content") if event.get("type") == kind and isinstance(message, dict) else None
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


CLAUDE = Agent(
    name="claude",
    arguments=_arguments,
    read=_read,
    passed=("ANTHROPIC_", "CLAUDE_", "AWS_", "CLOUD_ML_", "VERTEX_", "GOOGLE_"),
    homes=(".claude", ".claude.json", ".config/claude"),
    # Inside our sandbox the user is root of an empty world; claude asks to be told so.
    confined_variables={"IS_SANDBOX": "1"},
    variables={"DISABLE_AUTOUPDATER": "1"},
    home_variable="CLAUDE_CONFIG_DIR",
)
