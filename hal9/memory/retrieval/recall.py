"""What a neuron is reminded of before a task: the rules that apply, or none.

Small models obey a rule that is not theirs (one foreign rule cost a control 18 of 20 tasks), so the exact
scope filter comes first, in code; then every rule left must apply with a certain probability (`applies`),
and only the worthiest are shown. The same file, task and policy always give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from hal9.memory.records import ANY, EVERYWHERE, MemoryScope, Rule, RuleState, SolvedExample
from hal9.memory.retrieval.applies import Signs, signs_of
from hal9.memory.rules.lookup import have_vectors, placed_rules
from hal9.memory.rules.rules import RuleStore
from hal9.memory.rules.subjects import value_subjects
from hal9.memory.store.store import MemoryStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Recall", "RecallPolicy", "nearness", "recall", "recall_many", "together"]

_MOST_BY_WORDS = 24
_SURE = 0.85
"""Probability from which a further rule that only words speak for is shown beside the best one."""
_NEARER = 0.15
_OVERLAP = 0.5
"""Worth of common words beside the cosine, for rules that hold for no place."""
_SIGNS_PER_TOKEN = 4
_NO_SIGNS: Signs | None = None
_SAID: dict[tuple[str, str], NDArray[np.float32]] = {}
_MOST_SAID = 2_000


@dataclass(frozen=True, slots=True)
class RecallPolicy:
    """How a rule is chosen.

    Attributes:
        limit: most rules in one prompt; 0 switches recall off.
        scope_gate: the exact scope filter. False exists for experiments that measure what the gate is worth.
        states: which rules may be shown.
        min_similarity: least cosine between the task and the rule's example when the task names no
            module or the rule covers every module. A module named exactly needs no similarity.
            Tasks of one family have cosines of 0.29 and more (15 generated families, MiniLM).
        wide_similarity: the same for a rule that covers every module and every family.
        success_weight: worth of the success rate's lower bound beside the cosine in the order.
        min_probability: least probability that a rule applies to a task in its place.
        words_probability: the same when nobody knows which files the task touches.
        tokens: what the rules' sentences may take in the prompt; the first always goes in.
        unplaced: most rules among them that hold for no place, but for a module or a wording.
        without: rules that are left out, such as those that the mind cannot follow.
    """

    limit: int = 1
    scope_gate: bool = True
    states: tuple[RuleState, ...] = ("admitted",)
    min_similarity: float = 0.2
    wide_similarity: float = 0.6
    success_weight: float = 0.25
    min_probability: float = 0.6
    words_probability: float = 0.7
    tokens: int = 400
    unplaced: int = 10
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
    probability: float = 1.0
    """That it applies; for a rule without a place, the share of words it has in common with the task."""
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
    """At most `policy.limit` rules within the budget of tokens, the worthiest first."""
    policy = policy or RecallPolicy()
    if policy.limit <= 0:
        return []
    book = RuleStore(store)
    scope = scope.cleaned()
    candidates = _candidates(store, book, scope, policy)
    if not candidates:
        return []
    made = store.embed([task]) if have_vectors(store, [one.id for one in candidates]) else None
    vector = None if made is None else made[0]
    if not scope.paths and vector is not None:
        candidates = _nearest_by_words(book, candidates, vector)
    similarities = {} if vector is None else _similarities(book, candidates, vector)
    weighed, plain = [], _plain(store)
    for one in candidates:
        similarity = similarities.get(one.id)
        if not one.scope.place:
            if _near_enough(one.scope, scope, similarity, policy):
                overlap = signs_of(one, task, scope).overlap
                weighed.append((one, similarity, overlap, _NO_SIGNS))
            continue
        said = None if vector is None or plain else _said(store, one.rule, vector)
        signs = signs_of(one, task, scope, taught=similarity, said=said)
        probability = signs.probability(meaning=not plain)
        least = policy.words_probability if signs.reach == "words" else policy.min_probability
        if probability >= least or not policy.scope_gate:
            weighed.append((one, similarity, probability, signs))
    ranked = [
        _Ranked(one, similarity, probability, book.lower_bound(one))
        for one, similarity, probability, _ in _without_strangers(weighed)
    ]
    ranked.sort(key=lambda found: (-_worth(found, policy), -nearness(found.rule.scope.place), -found.rule.id))
    return [_explained(found, len(candidates), policy) for found in _within_budget(ranked, policy)]


class _Ranked(NamedTuple):
    """A rule that applies, what it was ranked by; words for people are made of the chosen ones alone."""

    rule: Rule
    similarity: float | None
    probability: float
    lower_bound: float


def _candidates(store: MemoryStore, book: RuleStore, scope: MemoryScope, policy: RecallPolicy) -> list[Rule]:
    """Rules whose scope covers the task; and when nobody knows what it touches, those it might touch."""
    if not policy.scope_gate:
        found = book.all(states=policy.states)
    else:
        found = book.in_scope(scope, policy.states)
        if not scope.paths:
            known = {one.id for one in found}
            found += [one for one in placed_rules(store, scope, policy.states) if one.id not in known]
    return [one for one in found if one.id not in policy.without]


def _nearest_by_words(book: RuleStore, candidates: Sequence[Rule], vector: NDArray[np.float32]) -> list[Rule]:
    """Of many rules that a task might touch, those that are nearest in meaning."""
    if len(candidates) <= _MOST_BY_WORDS:
        return list(candidates)
    similar = _similarities(book, candidates, vector)
    by_place = [one for one in candidates if one.scope.place in ("", EVERYWHERE)]
    others = sorted(
        (one for one in candidates if one.scope.place not in ("", EVERYWHERE)),
        key=lambda one: -similar.get(one.id, 0.0),
    )
    return by_place + others[:_MOST_BY_WORDS]


_Weighed = tuple[Rule, float | None, float, Signs | None]


def _without_strangers(weighed: Sequence[_Weighed]) -> list[_Weighed]:
    """Leave out what is for another kind of value than the task's.

    Where one rule of a place speaks of the task's kind, one that speaks of another kind goes; where the rules
    of a place are for several kinds and the task is of none of them, all of them go.
    """
    at_home = {one.scope.place for one, _, _, signs in weighed if signs is not None and signs.shared}
    kinds: dict[str, set[frozenset[str]]] = {}
    for one, _, _, signs in weighed:
        if signs is not None and signs.silent:
            kinds.setdefault(one.scope.place, set()).add(value_subjects(one.rule))
    kept = []
    for found in weighed:
        signs, place = found[3], found[0].scope.place
        if signs is not None and (
            (signs.other and place in at_home) or (signs.silent and len(kinds[place]) > 1)
        ):
            continue
        kept.append(found)
    by_words = [found for found in kept if found[3] is not None and found[3].reach == "words"]
    best = max((found[2] for found in by_words), default=0.0)
    sure = max(_SURE, best)
    return [found for found in kept if found not in by_words or found[2] >= sure]


def _worth(found: _Ranked, policy: RecallPolicy) -> float:
    place, proven = found.rule.scope.place, policy.success_weight * found.lower_bound
    if not place:
        return (found.similarity or 0.0) + proven + _OVERLAP * found.probability
    nearer = _NEARER * min(2, nearness(place) and 1 + int(not place.endswith("/**")))
    return found.probability + proven + nearer


def _within_budget(ranked: Sequence[_Ranked], policy: RecallPolicy) -> list[_Ranked]:
    chosen, spent = list[_Ranked](), 0
    unplaced = 0
    for found in ranked:
        if not found.rule.scope.place:  # only its wording ties it to the task
            if unplaced >= policy.unplaced:
                continue
            unplaced += 1
        cost = len(found.rule.rule) // _SIGNS_PER_TOKEN
        if len(chosen) == policy.limit:
            break
        if chosen and spent + cost > policy.tokens:
            continue
        chosen.append(found)
        spent += cost
    return chosen


def _plain(store: MemoryStore) -> bool:
    """Whether vectors tell of spelling only."""
    return store.embedder is None or store.embedder.model_id.startswith("hashing")


def _said(store: MemoryStore, rule: str, vector: NDArray[np.float32]) -> float | None:
    """Cosine of a task and a rule's own words; vectors of rules are kept in memory, since they come again."""
    import numpy as np  # noqa: PLC0415 - hooks do without

    if store.embedder is None:
        return None
    key = (store.embedder.model_id, rule)
    known = _SAID.get(key)
    if known is None:
        known = store.embedder.embed([rule])[0]
        _SAID[key] = known
        while len(_SAID) > _MOST_SAID:
            _SAID.pop(next(iter(_SAID)), None)
    return round(float(np.dot(known, vector)), 6)


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
    book: RuleStore, candidates: Sequence[Rule], vector: NDArray[np.float32]
) -> dict[int, float]:
    import numpy as np  # noqa: PLC0415 - hooks do without

    vectors = book.vectors([one.id for one in candidates])
    # Rounded, so that the order of equal scores cannot hang on the last bit of a dot product.
    return {key: round(float(np.dot(one, vector)), 6) for key, one in vectors.items()}


def _explained(found: _Ranked, candidates: int, policy: RecallPolicy) -> Recall:
    one, similarity, probability, bound = found
    near = "no similarity known" if similarity is None else f"similarity {similarity:.2f}"
    applies = f"; applies with probability {probability:.2f}" if one.scope.place else ""
    why = (
        f"scope {one.scope.label()} covers the task{applies}; {near}; helped {one.helped} of {one.tried} "
        f"(lower bound {bound:.2f}); one of {candidates} in scope; from {one.source} ({one.trusted_by})"
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
        probability=probability,
    )
