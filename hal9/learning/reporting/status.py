"""Learning at a glance, and the versions of a prompt, read from the memory file by any process."""

from typing import Any

from hal9.errors.learning import ChangeUnknown
from hal9.learning.gate.gate import CHANGES
from hal9.learning.reporting.explain import change_as_told
from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Ledger
from hal9.learning.state.prompts import PromptStore
from hal9.learning.state.stability import Stability
from hal9.memory import MemoryStore
from hal9.promptgram import Promptgram
from hal9.settings import Settings

__all__ = ["learning_status", "versions"]


def learning_status(store: MemoryStore, settings: Settings) -> dict[str, Any]:
    """Whether the cluster learns, what it has learned, what is being tried, and what worries it."""
    key_values = KeyValueStore(store)
    reasons = [
        text
        for text, applies in (
            ("backward_propagation.enabled is false", not settings.backward_propagation.enabled),
            ("safety.paused is true", settings.safety.paused),
            ("paused by `hal9 learning pause`", key_values.paused),
        )
        if applies
    ]
    tried = Ledger(store).rows(kinds=CHANGES, states=("waiting", "candidate", "canary"))
    return {
        "learning": not reasons,
        "why_not": "; ".join(reasons),
        "frozen": sorted({*key_values.frozen, *settings.safety.frozen_neurons}),
        "held_still": sorted(key_values.named("still:")),
        "patterns": _count(store, "SELECT 'all', count(*) FROM patterns").get("all", 0),
        "mitigations": _count(store, "SELECT state, count(*) FROM mitigations GROUP BY state"),
        "gradients": _count(store, "SELECT state, count(*) FROM gradients GROUP BY state"),
        "changes": _count(
            store,
            "SELECT state, count(*) FROM adjustments "
            "WHERE kind IN ('prompt', 'parameter', 'model') GROUP BY state",
        ),
        "being_tried": [change_as_told(change) for change in tried],
        "forgotten": [
            f"{one.scope}: solved {one.solved} times, its last {one.failed_lately} tasks failed"
            for one in Stability(store).forgotten()
        ],
        "unusual": [one.text for one in Stability(store).unusual()],
    }


def versions(store: MemoryStore, prompts: PromptStore, neuron: str, which: str) -> Promptgram:
    """One version of a prompt: "file", "now", a version number, a hash's beginning, or a change's id.

    Raises:
        ChangeUnknown: there is no such version.
    """
    if which == "file":
        return prompts.files[neuron]
    if which == "now":
        return prompts.in_force(neuron)
    known = {prompts.files[neuron].dump(): prompts.files[neuron]}
    for change in Ledger(store).rows(kinds=(*CHANGES, "prompt_set"), target=neuron):
        for text in (change.before, change.after):
            known.setdefault(text, Promptgram.parse(text, source=neuron))
        if len(which) >= 4 and change.id.endswith(which):
            return known[change.after]
    found = [
        one
        for one in known.values()
        if which.removeprefix("v") == str(one.version)
        or (len(which) >= 4 and one.content_hash.startswith(which))
    ]
    if not found:
        raise ChangeUnknown(change=which)
    return found[-1]


def _count(store: MemoryStore, query: str) -> dict[str, int]:
    with store.reading() as connection:
        return {str(row[0]): int(row[1]) for row in connection.execute(query)}
