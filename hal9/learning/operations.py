"""What a person may ask of learning: approve, deny, roll back, pause, freeze, sleep, import.

Requests come through the journal, so each is carried out also when it was made while the cluster was down.
All of them may be carried out twice without doing anything twice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hal9.errors.learning import NeuronUnknown
from hal9.learning.archive import import_archive, record_import
from hal9.learning.engine import LearningEngine
from hal9.memory import ConsolidationPolicy, consolidate, import_pack
from hal9.settings import MemorySettings

__all__ = ["LearningOperations"]


class LearningOperations:
    """Answers such requests, synchronously.

    Args:
        engine: what they are about.
        memory_settings: how sleep may forget.
    """

    def __init__(self, engine: LearningEngine, *, memory_settings: MemorySettings) -> None:
        self._engine = engine
        self._memory = memory_settings
        self._answers: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "approve": self._approve,
            "deny": self._deny,
            "rollback": self._rollback,
            "pause": lambda _body: self._switch("paused", True, "learning is paused; recall goes on"),
            "resume": lambda _body: self._switch("paused", None, "learning goes on"),
            "freeze": lambda body: self._freeze(str(body["neuron"]), frozen=True),
            "unfreeze": lambda body: self._freeze(str(body["neuron"]), frozen=False),
            "sleep": self._consolidate,
            "import": self._import,
        }

    def answer(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry a request out; `said` holds sentences for the person.

        Raises:
            Hal9Error: it cannot be carried out, and why.
        """
        return self._answers[kind](body)

    def _approve(self, body: Mapping[str, Any]) -> dict[str, Any]:
        change = self._engine.gate.ledger.get(str(body["change"]))
        if change.state in ("candidate", "canary", "applied") and change.content_hash == body["hash"]:
            return {
                "said": [f"{change.id} was approved already and is {change.state}"],
                "state": change.state,
            }
        moved = self._engine.gate.approve(change.id, str(body["hash"]))
        said = f"{moved.id} approved; it is {moved.state} now"
        if moved.state == "rejected":
            said = f"{moved.id} was not taken: the prompt has changed since it was made"
        return {"said": [said], "state": moved.state}

    def _deny(self, body: Mapping[str, Any]) -> dict[str, Any]:
        change = self._engine.gate.ledger.get(str(body["change"]))
        if change.state != "denied":
            self._engine.gate.deny(change.id, str(body.get("why", "")))
        return {"said": [f"{change.id} denied"], "state": "denied"}

    def _rollback(self, body: Mapping[str, Any]) -> dict[str, Any]:
        rollback = self._engine.rollback
        if "moment" in body:
            undone = rollback.to(float(body["moment"]))
        else:
            undone = rollback.change(str(body["change"]))
        return {"said": list(undone.said), "state_hash": undone.state_hash}

    def _switch(self, name: str, value: Any, said: str) -> dict[str, Any]:
        key_values, ledger = self._engine.applier.key_values, self._engine.applier.ledger
        with self._engine.store.writing():
            before = key_values.get(name)
            key_values.put(name, value)
            if before != value:
                ledger.record("switch", name, change=(str(before), str(value)), cause="asked", actor="user")
        return {"said": [said]}

    def _freeze(self, neuron: str, *, frozen: bool) -> dict[str, Any]:
        if not self._engine.prompts.knows(neuron):
            raise NeuronUnknown(neuron=neuron, known=tuple(sorted(self._engine.prompts.files)))
        word = "is frozen" if frozen else "learns again"
        return self._switch(f"frozen:{neuron}", True if frozen else None, f"{neuron} {word}")

    def _consolidate(self, body: Mapping[str, Any]) -> dict[str, Any]:
        memory = self._memory
        policy = ConsolidationPolicy(
            retention_days=float(memory.retention_days),
            forget_below=memory.min_importance,
            max_memories=memory.max_entries,
        )
        report = consolidate(self._engine.store, policy, dry_run=bool(body.get("dry_run")))
        said = (
            f"{report.before} memories: {report.merged} merged, {report.distilled} distilled, "
            f"{report.quarantined} quarantined, {report.forgotten} forgotten; {report.after} stay"
        )
        return {"said": [said], "before": report.before, "after": report.after}

    def _import(self, body: Mapping[str, Any]) -> dict[str, Any]:
        text, file = str(body["text"]), str(body["file"])
        if text.lstrip().startswith("{"):
            key = bytes.fromhex(str(body["key"])) if body.get("key") else None
            report = import_archive(self._engine, text, file=file, key=key)
            return {
                "said": list(report.said),
                "added": list(report.rules),
                "change": report.change,
            }
        workspace = str(body.get("workspace") or "*")
        with self._engine.store.writing():
            done = import_pack(self._engine.store, text, file=file, workspace=workspace)
            row = record_import(
                self._engine.applier.ledger, done.name, done.added, cause=f"pack:{done.content_hash[:12]}"
            )
        said = f"pack {done.name}: {len(done.added)} candidates added, {len(done.known)} known already"
        undo = f"hal9 rollback {row.id[-12:]} takes it out again"
        return {"said": [said, undo], "added": list(done.added), "change": row.id}
