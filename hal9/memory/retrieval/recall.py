"""What a neuron is reminded of before a task: one rule, or none.

Small models obey a rule that is not theirs (one foreign rule cost a control 18 of 20 tasks), so the exact
scope filter comes first, in code, and similarity only orders what is left. The same file, task and policy
always give the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hal9.memory.records import ANY, EVERYWHERE, MemoryScope, Rule, RuleState, SolvedExample
from hal9.memory.rules.rules import RuleStore
from hal9.memory.store.store import MemoryStore

__all__ = ["Recall", "RecallPolicy", "nearness", "recall", "recall_many", "together"]


@dataclass(frozen=True, slots=True)
class RecallPolicy:
    """How a rule is chosen.

    Attributes:
        limit: most rules in one prompt; more than one is measured to harm small models. 0 switches
            recall off.
        scope_gate: the exact scope filter. False exists for experiments that measure what the gate is worth.
        states: which rules may be shown.
        min_similarity: least cosine between the task and the rule's example when the task names no
            module or the rule covers every module. A module named exactly needs no similarity.
            Tasks of one family have cosines of 0.29 and more (15 generated families, MiniLM).
        wide_similarity: the same for a rule that covers every module and every family.
        success_weight: worth of the success rate's lower bound beside the cosine in the order.
        without: rules that are left out, such as those that the mind cannot follow.
    """

    limit: int = 1
    scope_gate: bool = True
    states: tuple[RuleState, ...] = ("admitted",)
    min_similarity: float = 0.2
    wide_similarity: float = 0.6
    success_weight: float = 0.25
    without: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """One rule to put before a task, and why it was chosen."""

    rule: str
    example: SolvedExample | None
    rule_id: int
    pattern_id: int | None
    scope: MemoryScope
    source: Literal["user", "retry", "mind", "pack"]
    score: float
    similarity: float | None
    lower_bound: float
    why: str
    also: tuple[int, ...] = ()
    """Further rules whose words stand in `rule` too; see `together`."""

    @property
    def rule_ids(self) -> tuple[int, ...]:
        """Every rule of which this speaks."""
        return (self.rule_id, *self.also)


def together(found: Sequence[Recall]) -> Recall | None:
    """Several rules as one: their sentences line by line, the example of the best that has one."""
    if len(found) < 2:
        return found[0] if found else None
    return replace(
        found[0],
        rule="\n".join(dict.fromkeys(one.rule for one in found)),
        example=next((one.example for one in found if one.example is not None), None),
        also=tuple(one.rule_id for one in found[1:]),
        why="; and: ".join(one.why for one in found),
    )


def recall(
    store: MemoryStore, task: str, scope: MemoryScope, policy: RecallPolicy | None = None
) -> Recall | None:
    """The one rule for a task, or None: then the prompt must stay as it is.

    Args:
        store: the memory file.
        task: the task's text.
        scope: the task's scope (see `hal9.memory.scope_of`).
        policy: how to choose.
    """
    found = recall_many(store, task, scope, policy)
    return found[0] if found else None


def recall_many(
    store: MemoryStore, task: str, scope: MemoryScope, policy: RecallPolicy | None = None
) -> list[Recall]:
    """At most `policy.limit` rules, best first."""
    policy = policy or RecallPolicy()
    if policy.limit <= 0:
        return []
    book = RuleStore(store)
    scope = scope.cleaned()
    states = policy.states
    candidates = book.in_scope(scope, states) if policy.scope_gate else book.all(states=states)
    candidates = [one for one in candidates if one.id not in policy.without]
    if not candidates:
        return []
    similarities = _similarities(store, book, task, candidates)
    ranked = list[Recall]()
    for one in candidates:
        similarity = similarities.get(one.id)
        if not _near_enough(one.scope, scope, similarity, policy):
            continue
        bound = book.lower_bound(one)
        ranked.append(_explained(one, similarity, bound, policy, len(candidates)))
    ranked.sort(key=lambda r: (-nearness(r.scope.place), -r.score, -r.rule_id))
    return ranked[: policy.limit]


def nearness(place: str) -> int:
    """How near a place is to what it holds: a file before its folder, a folder before the project."""
    if not place or place == EVERYWHERE:
        return 0
    return 2 * place.count("/") + int(not place.endswith("/**"))


def _near_enough(own: MemoryScope, task: MemoryScope, similarity: float | None, policy: RecallPolicy) -> bool:
    if own.place:
        return True  # the user named the place, and the task is there
    wide = own.module == ANY and own.task_family == ANY
    if similarity is None:
        # Nothing but the workspace would tie a wide rule to the task.
        return not wide
    if wide:
        return similarity >= policy.wide_similarity
    return (bool(task.module) and own.module == task.module) or similarity >= policy.min_similarity


def _similarities(
    store: MemoryStore, book: RuleStore, task: str, candidates: Sequence[Rule]
) -> dict[int, float]:
    vectors = book.vectors([one.id for one in candidates])
    if not vectors:
        return {}
    made = store.embed([task])
    if made is None:
        return {}
    # Rounded, so that the order of equal scores cannot hang on the last bit of a dot product.
    return {key: round(float(np.dot(vector, made[0])), 6) for key, vector in vectors.items()}


def _explained(
    one: Rule, similarity: float | None, bound: float, policy: RecallPolicy, candidates: int
) -> Recall:
    near = "no similarity known" if similarity is None else f"similarity {similarity:.2f}"
    why = (
        f"scope {one.scope.label()} covers the task; {near}; helped {one.helped} of {one.tried} "
        f"(lower bound {bound:.2f}); best of {candidates} in scope; from {one.source} ({one.trusted_by})"
    )
    return Recall(
        rule=one.rule,
        example=one.example,
        rule_id=one.id,
        pattern_id=one.pattern_id,
        scope=one.scope,
        source=one.source,
        score=(similarity or 0.0) + policy.success_weight * bound,
        similarity=similarity,
        lower_bound=bound,
        why=why if policy.scope_gate else f"scope gate off; {why}",
    )
