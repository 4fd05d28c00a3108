"""Codex, run with `exec --json`; its events come as JSON lines."""

from typing import Any

from hal9.minds.agents.program import Agent, AgentSaid, Answer, Call, added, events_in, plain_text
from hal9.minds.protocol import AgentAct

__all__ = ["CODEX"]


def _arguments(call: Call) -> list[str]:
    model = ["--model", call.settings.model] if call.settings.model else []
    if call.acts and call.confined:
        # Its own sandbox cannot be built inside of ours, which takes its place.
        how = ["--dangerously-bypass-approvals-and-sandbox"]
    else:
        how = ["--sandbox", "workspace-write" if call.acts else "read-only"]
    return ["exec", "--json", "--skip-git-repo-check", *how, *model, "-"]


def _read(output: str) -> Answer:
    events = events_in(output)
    items = [
        event["item"]
        for event in events
        if event.get("type") == "item.completed" and isinstance(event.get("item"), dict)
    ]
    texts = [plain_text(item.get("text")) for item in items if item.get("type") == "agent_message"]
    # Each turn tells what the whole conversation has used so far.
    usages = [event.get("usage") or {} for event in events if event.get("type") == "turn.completed"][-1:]
    answer = Answer(
        text=texts[-1] if texts else "",
        prompt_tokens=added(usages, "input_tokens"),
        completion_tokens=added(usages, "output_tokens"),
        cached_tokens=added(usages, "cached_input_tokens") or 0,
        acts=tuple(act for item in items for act in _acts(item)),
    )
    failures = [
        event.get("error") or event for event in events if event.get("type") in {"turn.failed", "error"}
    ]
    # A lost connection is told as an error too, and made good; only an end without a turn counts.
    if failures and not (texts and usages):
        last = failures[-1]
        raise AgentSaid(str(last.get("message", last) if isinstance(last, dict) else last), answer)
    if not texts:
        raise KeyError("agent_message")
    return answer


def _acts(item: dict[str, Any]) -> list[AgentAct]:
    kind = item.get("type")
    failed = item.get("status") in {"failed", "declined"}
    if kind == "command_execution":
        code = item.get("exit_code")
        return [
            AgentAct(
                kind="command",
                name="command_execution",
                arguments={"command": str(item.get("command", ""))},
                outcome=plain_text(item.get("aggregated_output")),
                ok=code == 0 if isinstance(code, int) else not failed,
            )
        ]
    if kind == "file_change":
        changes = item.get("changes")
        return [
            AgentAct(
                kind="edit",
                name=str(change.get("kind", "update")),
                arguments={"path": str(change.get("path", ""))},
                ok=not failed,
            )
            for change in (changes if isinstance(changes, list) else [])
            if isinstance(change, dict)
        ]
    if kind == "mcp_tool_call":
        name = f"{item.get('server', '')}.{item.get('tool', '')}"
        arguments = item.get("arguments")
        outcome = plain_text(item.get("error") or (item.get("result") or {}))
        given = arguments if isinstance(arguments, dict) else {}
        return [AgentAct(kind="tool", name=name, arguments=given, outcome=outcome, ok=not failed)]
    if kind == "web_search":
        query = {"query": str(item.get("query", ""))}
        return [AgentAct(kind="read", name="web_search", arguments=query, ok=True)]
    if kind in {"agent_message", "reasoning"}:
        return [AgentAct(kind="words", name="", outcome=plain_text(item.get("text")))]
    return []


CODEX = Agent(
    name="codex",
    arguments=_arguments,
    read=_read,
    passed=("OPENAI_", "CODEX_", "AZURE_OPENAI_"),
    homes=(".codex",),
    home_variable="CODEX_HOME",
)
