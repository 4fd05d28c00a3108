"""The short way of `hal9 hook` without a daemon: read JSON, ask the memory file, print JSON.

Nothing that is not needed is loaded; where a daemon runs, its socket is asked first (`client`). An agent
waits for it at each of its tool calls. Whatever goes wrong, the agent goes on; the reason stands in the
home's log.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hal9.hooks.plain_settings import guards_effect, names_database

if TYPE_CHECKING:
    from hal9.hooks.held import Held

__all__ = ["answer_call", "log_hook"]

_MOST_LOG = 1_000_000


def answer_call(state: Path, agent: str, event: str, text: bytes) -> dict[str, Any]:
    """The answer to one call; an empty object when there is nothing to say or something went wrong.

    Args:
        state: the home's folder of state.
        agent: who asks.
        event: the event's name.
        text: what the agent wrote.
    """
    try:
        body = json.loads(text or b"{}")
        return _answered(state, agent, event, body if isinstance(body, dict) else {})
    except Exception as error:  # noqa: BLE001 - a broken memory must never stop another agent
        log_hook(state, f"hook {event}: {type(error).__name__}: {error}")
        return {}


def _answered(state: Path, agent: str, event: str, body: Mapping[str, Any]) -> dict[str, Any]:
    memory = state / "memory.db"
    settings = state.parent / "config" / "hal9.yaml"
    if names_database(settings):
        log_hook(state, f"hook {event}: the memory is a database (state.url); only a running daemon asks it")
        return {}
    if not memory.exists():
        return {}
    from hal9.hooks.held import read_held, write_held  # noqa: PLC0415

    held = read_held(state)
    if held is not None and _nothing_to_say(held, event, body):
        return {}
    from hal9.hooks.session import answer_hook  # noqa: PLC0415 - only when there is a memory
    from hal9.learning.guards.advisor import ActionAdvisor  # noqa: PLC0415
    from hal9.memory.store.store import MemoryStore  # noqa: PLC0415

    with MemoryStore(memory) as store:
        advisor = ActionAdvisor(store, effect=guards_effect(settings))
        said = answer_hook(store, state / "hooks", agent, event, body, advisor=advisor)  # type: ignore[arg-type] # checked above
    if read_held(state) is None:  # this very call may have written to the memory
        write_held(state, lambda: MemoryStore(memory))
    return said


def _nothing_to_say(held: "Held", event: str, body: Mapping[str, Any]) -> bool:
    """Whether no guard and no earlier run can have anything against the action that a call is about."""
    from hal9.hooks.events import read_event  # noqa: PLC0415
    from hal9.memory.rules.repository import repository_of  # noqa: PLC0415

    known = read_event(event, body)
    if known.moment != "before" or known.action is None:
        return known.moment == "other"
    return not held.may_stop(known.action, repository_of(known.folder).identity)


def log_hook(state: Path, text: str) -> None:
    """Write a line into the log of hook calls."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        log = state / "hooks.log"
        if log.exists() and log.stat().st_size > _MOST_LOG:
            log.replace(log.with_suffix(".log.1"))
        with log.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")
    except Exception as error:  # noqa: BLE001 - the last resort is the agent's own log
        sys.stderr.write(f"hal9: {error}\n")
