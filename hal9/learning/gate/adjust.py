"""Adjusting a neuron: one small edit of its prompt, or one small step of a number, within hard limits.

The share of a prompt (its tokens) or of a number's range that a step may change is

    allowed = min(max_adjustment, learning_rate x adjustment_decay^n)

where n counts earlier adjustments of the same thing (a section of this neuron, a number of this neuron). A
number's step is further scaled by the gradient's magnitude and the suggestion's confidence. What exceeds the
limits is refused whole, never cut down to something nobody proposed.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hal9.errors.base import PromptgramError
from hal9.learning.state.key_value import KeyValueStore
from hal9.learning.state.ledger import Ledger
from hal9.learning.state.prompts import PromptStore
from hal9.learning.state.stability import Stability
from hal9.memory import MemoryStore
from hal9.promptgram import MUTABLE_SECTIONS, Edit, Promptgram, token_distance
from hal9.settings import Settings
from hal9.signals import Adjustment, ErrorGradient

__all__ = ["NUMBERS", "Adjuster", "Proposal", "Refusal", "Span", "allowed_share", "suggestions"]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a number may move, and whether it is a whole one."""

    low: float
    high: float
    default: float
    whole: bool = False


NUMBERS: Mapping[str, Span] = {
    "temperature": Span(0.0, 2.0, 0.3),
    "timeout": Span(10.0, 600.0, 180.0),
    "width": Span(1.0, 16.0, 3.0, whole=True),
}
_CASES = "- Name the edge cases that failed before."
_VERIFY = "- Require a check of the result."
_SMALL = "- Keep each work item small."
_WORDS: Mapping[int, Mapping[str, str]] = {
    4: {
        "incorrect_output": _VERIFY,
        "user_rejection": _VERIFY,
        "low_quality": _VERIFY,
        "task_failed": _VERIFY,
        "timeout": "- Set the smallest useful goal.",
        "resource_exhausted": "- Set the smallest useful goal.",
        "tool_execution_failed": "- Say which tools may be used.",
    },
    3: {
        "incorrect_output": _CASES,
        "user_rejection": _CASES,
        "low_quality": _CASES,
        "task_failed": _CASES,
        "timeout": _SMALL,
        "resource_exhausted": _SMALL,
        "tool_execution_failed": "- Name the commands that must exist.",
    },
}
_KINDS = ("prompt", "parameter", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One change of one neuron that keeps all limits. `signs` are what it moves, and in which direction."""

    kind: str
    key: str
    before: Promptgram
    after: Promptgram
    share: float
    signs: Mapping[str, int] = field(default_factory=dict)
    what: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a suggestion changes nothing."""

    parameter: str
    reason: str


def allowed_share(settings: Settings, earlier: int, *, neuron: str = "") -> float:
    """The largest share one step of a neuron may change, after so many earlier steps of the same thing."""
    learning = settings.backward_propagation
    own = settings.safety.per_neuron.get(neuron)
    rate = learning.learning_rate if own is None or own.learning_rate is None else own.learning_rate
    return min(settings.safety.of(neuron).max_adjustment, rate * learning.adjustment_decay**earlier)


def suggestions(gradient: ErrorGradient, layer: int, current: Promptgram | None) -> list[Adjustment]:
    """What an error of this type suggests: a sentence to the layers above, a number to implementers."""
    kind = gradient.error_type.type
    why = f"{kind} at {gradient.context.failure_point}"[:300]
    confidence = min(1.0, gradient.magnitude)
    found: list[Adjustment] = []
    sentence = _WORDS.get(layer, {}).get(kind)
    if sentence is not None:
        edit = Edit("Heuristics", "append", content=sentence)
        found.append(
            Adjustment(
                parameter="Heuristics",
                current_value=None if current is None else list(current.items("Heuristics")),
                suggested_value=edit.to_dict(),
                confidence=confidence,
                rationale=why,
            )
        )
    number = _number_for(kind, layer)
    if number is not None:
        name, value = number
        now = NUMBERS[name].default if current is None else current.meta.get(name, NUMBERS[name].default)
        found.append(
            Adjustment(
                parameter=name, current_value=now, suggested_value=value, confidence=confidence, rationale=why
            )
        )
    return found


def _number_for(kind: str, layer: int) -> tuple[str, float] | None:
    """The number to move for an error, and where to: steadier sampling, more time, fewer parts."""
    if layer == 2:
        if kind == "timeout":
            return "timeout", NUMBERS["timeout"].high
        if kind in ("incorrect_output", "low_quality", "user_rejection"):
            return "temperature", NUMBERS["temperature"].low
    elif kind in ("timeout", "resource_exhausted"):
        return "width", NUMBERS["width"].low
    return None


class Adjuster:
    """Turns suggestions into changes that keep the limits. Safe to call from any thread, like the store.

    Args:
        store: the memory file.
        prompts: the promptgrams in force.
        settings: in force now.
    """

    def __init__(self, store: MemoryStore, prompts: PromptStore, settings: Callable[[], Settings]) -> None:
        self.store = store
        self.prompts = prompts
        self.ledger = Ledger(store)
        self.stability = Stability(store)
        self.key_values = KeyValueStore(store)
        self._settings = settings

    def consider(self, neuron: str, gradient: ErrorGradient) -> Proposal | list[Refusal]:
        """The first suggestion that may be carried out now, else why each may not."""
        if not self.prompts.knows(neuron):
            return [Refusal("", f"{neuron} is not hosted here")]
        reason = self._not_now(neuron)
        if reason:
            return [Refusal("", reason)]
        refusals: list[Refusal] = []
        for suggestion in gradient.suggested_adjustments:
            made = self._made(neuron, suggestion, gradient.magnitude)
            if isinstance(made, Proposal):
                return made
            refusals.append(made)
        return refusals or [Refusal("", "nothing was suggested")]

    def cooled(self, neuron: str) -> bool:
        """Whether the neuron's last change lies far enough back."""
        last = self.key_values.get(f"changed:{neuron}")
        bounds = self._settings().safety.of(neuron)
        return last is None or self.store.clock.now() - float(last) >= bounds.cooldown_seconds

    def _not_now(self, neuron: str) -> str:
        settings = self._settings()
        if neuron in self.key_values.frozen or neuron in settings.safety.frozen_neurons:
            return f"{neuron} is frozen"
        if not self.cooled(neuron):
            return "its last change is too recent (safety.cooldown_seconds)"
        if self.ledger.rows(kinds=_KINDS, target=neuron, states=("waiting", "candidate", "canary")):
            return "another change of it is still being tried"
        return ""

    def _made(self, neuron: str, suggestion: Adjustment, magnitude: float) -> Proposal | Refusal:
        name = suggestion.parameter
        if name in NUMBERS:
            made = self._number(neuron, suggestion, magnitude)
        elif name == "model":
            made = self._model(neuron, suggestion)
        elif name in MUTABLE_SECTIONS:
            made = self._edit(neuron, suggestion)
        else:
            return Refusal(name, "is no section or number that may ever change")
        if isinstance(made, Refusal):
            return made
        for key in made.signs:
            if self.stability.still(neuron, key):
                return Refusal(name, "is held still because it oscillated")
        if self._tried(neuron, made):
            return Refusal(name, "the very same change was turned down before")
        return made

    def _edit(self, neuron: str, suggestion: Adjustment) -> Proposal | Refusal:
        before = self.prompts.current(neuron)
        name = suggestion.parameter
        if not isinstance(suggestion.suggested_value, Mapping):
            return Refusal(name, "its value is no edit")
        try:
            edit = Edit.from_dict(suggestion.suggested_value)
            if edit.section != name:
                return Refusal(name, f"its edit is of section {edit.section!r}")
            after = before.apply(edit)
        except PromptgramError as error:
            return Refusal(name, str(error))
        share = token_distance(before, after)
        limit = allowed_share(self._settings(), self._earlier(neuron, name), neuron=neuron)
        if share > limit:
            return Refusal(name, f"changes {share:.1%} of the prompt, allowed are {limit:.1%}")
        gone = set(before.items(name)) - set(after.items(name))
        come = set(after.items(name)) - set(before.items(name))
        signs = {_item_key(name, item): -1 for item in gone} | {_item_key(name, item): 1 for item in come}
        return Proposal(
            kind="prompt", key=name, before=before, after=after, share=share, signs=signs, what=edit.to_dict()
        )

    def _number(self, neuron: str, suggestion: Adjustment, magnitude: float) -> Proposal | Refusal:
        name, span = suggestion.parameter, NUMBERS[suggestion.parameter]
        wanted = suggestion.suggested_value
        if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not math.isfinite(wanted):
            return Refusal(name, "its value is no finite number")
        before = self.prompts.current(neuron)
        now = float(before.meta.get(name, span.default))
        limit = allowed_share(self._settings(), self._earlier(neuron, name), neuron=neuron) * (
            span.high - span.low
        )
        step = limit * min(1.0, magnitude) * suggestion.confidence
        target = min(span.high, max(span.low, float(wanted)))
        delta = math.copysign(min(step, abs(target - now)), target - now)
        value: float = round(now + (math.trunc(delta) if span.whole else delta), 4)
        if span.whole:
            value = int(value)
        if value == now:
            return Refusal(name, "the step that is allowed changes nothing")
        after = before.with_meta(**{name: value})
        return Proposal(
            kind="parameter",
            key=name,
            before=before,
            after=after,
            share=abs(value - now) / (span.high - span.low),
            signs={name: 1 if value > now else -1},
            what={"parameter": name, "from": now, "to": value},
        )

    def _model(self, neuron: str, suggestion: Adjustment) -> Proposal | Refusal:
        before = self.prompts.current(neuron)
        wanted = suggestion.suggested_value
        if "model" not in self._settings().safety.approval_kinds:
            return Refusal("model", "changes only where safety.approval_kinds lists it")
        if not isinstance(wanted, str) or not wanted.strip() or wanted == before.meta.get("model"):
            return Refusal("model", "its value names no other model")
        try:
            after = before.with_meta(model=wanted.strip())
        except PromptgramError as error:
            return Refusal("model", str(error))
        what = {"parameter": "model", "from": before.meta.get("model", "default"), "to": wanted.strip()}
        return Proposal(kind="model", key="model", before=before, after=after, share=0.0, what=what)

    def _earlier(self, neuron: str, key: str) -> int:
        """Earlier adjustments of the same thing that were really made."""
        return sum(
            1
            for change in self.ledger.rows(kinds=_KINDS, target=neuron, states=("applied", "rolled_back"))
            if change.evidence.get("key") == key
        )

    def _tried(self, neuron: str, proposal: Proposal) -> bool:
        text = proposal.after.content_hash
        return any(
            change.evidence.get("after_hash") == text
            for change in self.ledger.rows(kinds=_KINDS, target=neuron, states=("rejected", "denied"))
        )


def _item_key(section: str, item: str) -> str:
    return f"{section}:{hashlib.sha256(item.encode()).hexdigest()[:12]}"
