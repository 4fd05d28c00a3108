"""One call of a hook: reads the memory file, judges or learns, and keeps what the next call needs.

Every call is a process of its own. What a session remembers (what was held up once, removed files) lies in a
small file beside the memory; when it cannot be read, the session simply begins anew.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hal9.hooks.events import Agent, HookEvent, answer, read_event
from hal9.learning.guards.advised import Advised
from hal9.learning.guards.advisor import ActionAdvisor, RunWatch
from hal9.learning.runs.guard_miner import RunMemory
from hal9.learning.runs.run_state import LiveView, RunState
from hal9.memory import MemoryStore, repository_of

__all__ = ["HookSession", "answer_hook"]

_MOST_BYTES = 2_000_000
_MOST_RULES = 3


def answer_hook(
    store: MemoryStore,
    folder: Path,
    agent: Agent,
    name: str,
    body: Mapping[str, Any],
    *,
    advisor: ActionAdvisor | None = None,
    learning: bool = True,
) -> dict[str, Any]:
    """Answer one hook call.

    Args:
        store: the memory file, open.
        folder: where sessions keep their small files.
        agent: who asks.
        name: the event's name.
        body: what the agent wrote.
        advisor: guards and runs of the same file, where they are open already.
        learning: whether outcomes may be learned from.
    """
    event = read_event(name, body)
    session = HookSession(store, folder, event, advisor or ActionAdvisor(store), learning)
    return session.answer(agent)


@dataclass(slots=True)
class HookSession:
    """An agent's session as this call finds it."""

    store: MemoryStore
    folder: Path
    event: HookEvent
    advisor: ActionAdvisor
    learning: bool = True

    def answer(self, agent: Agent) -> dict[str, Any]:
        """Judge, learn or tell, by the event's moment."""
        event = self.event
        if event.moment == "start":
            return answer(agent, event, Advised(), self._at_start())
        if event.moment == "prompt" and event.prompt:
            return answer(agent, event, Advised(), self._rules(event.prompt))
        if event.action is None or event.moment not in ("before", "after"):
            return {}
        watch, waiting = self._load()
        advisor = self.advisor
        if event.moment == "before":
            advised = advisor.before(event.action, watch)
            self._save(watch, event.action.text if advised.source else "")
            return answer(agent, event, advised)
        source = "runs:" if waiting and waiting == event.action.text else ""
        features = advisor.features(event.action, watch)
        code = event.exit_code
        if code is not None and self.learning:
            given = Advised(features=features, source=source)
            advisor.after(event.action, watch, given, exit_code=code, output=event.output)
        self._save(watch, "")
        remedy = (
            advisor.remedy(watch.repo, event.action.text, exit_code=code, output=event.output) if code else ""
        )
        return answer(agent, event, Advised(), remedy)

    def _at_start(self) -> str:
        repo = repository_of(self.event.folder).identity
        told = self.advisor.advice(repo)
        rules = self._rules("")
        lines = [*(f"- {text}" for text in told), *([rules] if rules else [])]
        return "\n".join(["Known of earlier runs here:", *lines]) if lines else ""

    def _rules(self, prompt: str) -> str:
        # Tool calls, which are many, do without.
        from hal9.memory import RecallPolicy, recall_many, scope_of  # noqa: PLC0415
        from hal9.memory.rules.roles import ROLES  # noqa: PLC0415

        # One agent plans the task, does it, and answers for the whole.
        scope = replace(scope_of(prompt, workspace=self.event.folder), roles=ROLES)
        found = recall_many(self.store, prompt, scope, RecallPolicy(limit=_MOST_RULES))
        return "\n".join(f"- {one.rule}" for one in found)

    # --- what the next call needs -------------------------------------------------------------------

    def _file(self) -> Path:
        name = hashlib.sha256(self.event.session.encode("utf-8", "replace")).hexdigest()[:24]
        return self.folder / f"{name}.json"

    def _load(self) -> tuple[RunWatch, str]:
        kept: dict[str, Any] = {}
        try:
            if self._file().stat().st_size <= _MOST_BYTES:
                kept = json.loads(self._file().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            kept = {}
        folder = self.event.folder
        view = LiveView(root=folder, seen=set())
        state = RunState(root=folder, view=view, changes=_number(kept.get("changes")))
        failures = kept.get("failures")
        if isinstance(failures, dict):
            state.failures = {str(key): _number(value) for key, value in failures.items()}
        warned = {str(one) for one in kept.get("warned", []) if isinstance(one, str)}
        watch = RunWatch(repository_of(folder).identity, state, warned, _memory(kept.get("memory")))
        return watch, str(kept.get("waiting") or "")

    def _save(self, watch: RunWatch, waiting: str) -> None:
        """Written beside and renamed, so that no call reads half a file."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = {
            "changes": watch.state.changes,
            "failures": dict(list(watch.state.failures.items())[-100:]),
            "warned": sorted(watch.warned),
            "memory": [[*key, *counts] for key, counts in watch.memory.features.items()],
            "waiting": waiting,
        }
        beside = self.folder / f".{os.getpid()}.new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:
            json.dump(kept, stream)
        beside.replace(self._file())


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _memory(rows: Any) -> RunMemory:
    made = RunMemory()
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 4:
            made.features[str(row[0]), str(row[1])] = [_number(row[2]), _number(row[3])]
    return made
