"""A perfect model as a server's replies: it knows every fix, and gives one only once the wrong line
stood in its prompt. Until then it reads the file when it has heard of it, or lists the files.

The style of the asker decides the form: tools of HAL9, a SEARCH/REPLACE block, one bash command.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from benchmarks.repair.faults import FAULTS, Fault

__all__ = ["Oracle", "Usage"]

_AROUND = 40
_ESCAPED = {"n": "\n", "t": "\t"}


@dataclass
class Usage:
    """What one task cost: calls, and tokens estimated alike for everybody (four characters each)."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class Oracle:
    """Its replies; `line_of` tells where each wrong line stands."""

    line_of: dict[str, int]
    usage: dict[str, Usage] = field(default_factory=dict)

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        given = "\n".join(_text(message) for message in messages if message["role"] != "assistant")
        # mini-swe-agent shows what a command printed as JSON, as its templates write it: lines, quotes, < and >
        # stand there escaped.
        given += "\n" + re.sub(
            r"\\(?:u([0-9a-f]{4})|(.))",
            lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]),
            given,
        )
        fault = next((one for one in FAULTS if one.symptom in given), None)
        prompt = len(json.dumps(messages)) + len(json.dumps(body.get("tools") or []))
        if fault is None:
            text, calls = "ok", []
        else:
            text, calls = self._step(fault, body, given)
        said = len(text) + len(json.dumps(calls))
        spent = {"prompt_tokens": prompt // 4, "completion_tokens": max(said // 4, 1)}
        if fault is not None:
            usage = self.usage.setdefault(fault.name, Usage())
            usage.calls += 1
            usage.prompt_tokens += spent["prompt_tokens"]
            usage.completion_tokens += spent["completion_tokens"]
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = calls
        return {
            "id": "oracle", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": {**spent, "total_tokens": sum(spent.values())},
        }  # fmt: skip

    def _step(self, fault: Fault, body: dict[str, Any], given: str) -> tuple[str, list[dict[str, Any]]]:
        tools = {tool["function"]["name"] for tool in body.get("tools") or []}
        fixed = any(_fixes(message, fault) for message in body["messages"] if message["role"] == "assistant")
        seen = fault.line in given
        if "edit" in tools:
            calls = [self._hal9(fault, given, seen=seen, fixed=fixed)]
            if calls[0][0] == "edit":  # HAL9's prompt says that both may stand in one reply
                calls.append(("finish", {"answer": "repaired"}))
            return "", [_call(body, *call, at=index) for index, call in enumerate(calls)]
        if "bash" in tools or "bash command" in given or "mswea" in given:
            command = self._bash(fault, given, seen=seen, fixed=fixed)
            if tools:
                return "Next step.", [_call(body, "bash", {"command": command})]
            fence = "mswea_bash_command" if "mswea_bash_command" in given else "bash"
            return f"THOUGHT: next step\n\n```{fence}\n{command}\n```", []
        if seen:
            block = f"<<<<<<< SEARCH\n{fault.bad}\n=======\n{fault.good}\n>>>>>>> REPLACE"
            return f"{fault.path}\n```python\n{block}\n```\n", []
        if fault.path in given:
            return f"Please add {fault.path} to the chat, so that I can see it.", []
        return "I do not know where that is.", []

    def _hal9(self, fault: Fault, given: str, *, seen: bool, fixed: bool) -> tuple[str, dict[str, Any]]:
        if fixed:
            return "finish", {"answer": "repaired"}
        if seen:
            return "edit", {"path": fault.path, "old": fault.bad, "new": fault.good}
        if fault.path in given:
            line = self.line_of[fault.name]
            return "read", {"path": fault.path, "start": max(line - _AROUND, 1), "end": line + _AROUND}
        return "bash", {"command": "git ls-files '*.py'"}

    def _bash(self, fault: Fault, given: str, *, seen: bool, fixed: bool) -> str:
        if fixed:
            return "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        if seen:
            return (
                f"python3 - <<'EOF'\nfrom pathlib import Path\np = Path({fault.path!r})\n"
                f"p.write_text(p.read_text().replace({fault.bad!r}, {fault.good!r}))\nEOF"
            )
        if re.search(rf"(?<![\w/]){re.escape(fault.path)}", given):
            line = self.line_of[fault.name]
            return f"nl -ba {fault.path} | sed -n '{max(line - _AROUND, 1)},{line + _AROUND}p'"
        return "git ls-files '*.py'"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _fixes(message: dict[str, Any], fault: Fault) -> bool:
    whole = _text(message) + json.dumps(message.get("tool_calls") or [])
    return "write_text" in whole or '"new' in json.dumps(
        [c["function"]["arguments"] for c in message.get("tool_calls") or []]
    ).replace("\\", "")


def _call(body: dict[str, Any], name: str, arguments: dict[str, Any], at: int = 0) -> dict[str, Any]:
    number = len(body["messages"])
    return {
        "id": f"call_{number}_{at}",
        "type": "function",
        "index": at,
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
