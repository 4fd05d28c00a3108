"""The short way of `hal9 hook`: read JSON, ask the memory, print JSON; nothing that is not needed is loaded.

An agent waits for it at each of its tool calls. Whatever goes wrong, the agent goes on; the reason
stands in the home's log.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["answer_call", "hook_call"]

_MOST_INPUT = 5_000_000
_MOST_LOG = 1_000_000
_AGENTS = ("claude-code", "codex", "gemini-cli", "cursor")


def hook_call(arguments: Sequence[str]) -> bool:
    """Answer `[--home DIR] hook EVENT [--agent NAME]` on standard input and output.

    Returns:
        Whether it was such a call; anything else is left to the command line, which explains what is wrong.
    """
    words = list(arguments)
    home = os.environ.get("HAL9_HOME") or "."
    if words[:1] == ["--home"] and len(words) > 1:
        home, words = words[1], words[2:]
    agent = "claude-code"
    if len(words) == 4 and words[2] == "--agent":
        agent, words = words[3], words[:2]
    if len(words) != 2 or words[0] != "hook" or words[1].startswith("-") or agent not in _AGENTS:
        return False
    sys.stdout.write(json.dumps(answer_call(Path(home) / ".hal9", agent, words[1], sys.stdin)) + "\n")
    return True


def answer_call(state: Path, agent: str, event: str, stream: Any) -> dict[str, Any]:
    """The answer to one call; an empty object when there is nothing to say or something went wrong.

    Args:
        state: the home's folder of state.
        agent: who asks.
        event: the event's name.
        stream: what the agent wrote, as text.
    """
    try:
        body = json.loads(stream.read(_MOST_INPUT) or "{}")
        return _answered(state, agent, event, body if isinstance(body, dict) else {})
    except Exception as error:  # noqa: BLE001 - a broken memory must never stop another agent
        _log(state, f"hook {event}: {type(error).__name__}: {error}")
        return {}


def _answered(state: Path, agent: str, event: str, body: Mapping[str, Any]) -> dict[str, Any]:
    memory = state / "memory.db"
    if not memory.exists():
        return {}
    from hal9.hooks.session import answer_hook  # noqa: PLC0415 - only when there is a memory
    from hal9.memory.store.store import MemoryStore  # noqa: PLC0415

    with MemoryStore(memory) as store:
        return answer_hook(store, state / "hooks", agent, event, body)  # type: ignore[arg-type] # checked above


def _log(state: Path, text: str) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        log = state / "hooks.log"
        if log.exists() and log.stat().st_size > _MOST_LOG:
            log.replace(log.with_suffix(".log.1"))
        with log.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
    except Exception as error:  # noqa: BLE001 - the last resort is the agent's own log
        sys.stderr.write(f"hal9: {error}\n")
