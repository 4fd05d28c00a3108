"""One case's scores under many parameter sets, recomputing only what a change touches.

The signals are the ranker's own (`hal9.ripmap.ranking.features.Evidence`); each is kept as long as the
parameters it depends on stay the same, so that changing weights alone costs a few vector sums. The result
equals `rank_case`; `faithful` checks that on a case, and the evaluator ranks with `rank_case` where it fails.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.evaluation.evaluation import PreparedCase
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.ranking.features import Evidence, importance, scaled
from hal9.ripmap.ranking.ranker import rank_case, role_factor

__all__ = ["CachedScorer", "faithful"]

Array = NDArray[np.float64]
_QUERY = tuple(name for name in PARAMETERS if name.startswith("query_"))
_CHUNK = (*_QUERY, "stem_weight", "chunk_k", "chunk_b", "chunk_head", "chunk_path")
_FILES = (
    *_QUERY,
    "stem_weight",
    "words_k",
    "words_b",
    "field_names",
    "field_path",
    "field_imports",
    "field_docs",
)
_SHADOW = tuple(name for name in PARAMETERS if name.startswith("shadow_"))
_NEEDS: dict[str, tuple[str, ...]] = {
    "words": _FILES,
    "title": _FILES,
    "chunks": (*_CHUNK, "chunk_decay"),
    "path": (*_QUERY, "stem_weight", "path_k", "path_b"),
    "heads": ("stem_weight",),
    "pairs": ("query_title", "query_prose"),
    "callees": (*_CHUNK, *_SHADOW),
    "identifiers": _CHUNK,
    "tests": (*_FILES, "test_sharpness"),
    "test_names": (*_CHUNK, "test_sharpness"),
    "traceback": ("traceback_decay",),
    "named_files": (),
    "mentions": (),
    "errors": (),
}
"""Which coordinates each signal depends on, besides its weight."""
_WORDY = (
    "words",
    "title",
    "chunks",
    "path",
    "heads",
    "pairs",
    "callees",
    "identifiers",
    "tests",
    "test_names",
)
_ROLES = (
    "role_test",
    "role_docs",
    "role_example",
    "role_generated",
    "role_config",
    "role_data",
    "operations_boost",
    "depth_weight_vendor",
)
_FLOOR = 0.02
_UNSCALED = ("traceback", "named_files")


@dataclass(eq=False, slots=True)
class CachedScorer:
    """A prepared case that remembers its signals; `exact` ranks with the ranker itself instead."""

    item: PreparedCase
    exact: bool = False
    _kept: dict[str, tuple[tuple[float, ...], Array | None]] = field(default_factory=dict)
    _roles: tuple[tuple[float, ...], Array] | None = None
    _gold: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        case = self.item.evidence
        position = {
            path: number for number, path in enumerate(case.terrain.paths) if path in self.item.case.gold
        }
        self._gold = [(path, position[path]) for path in self.item.case.gold if path in position]
        # Conversation, focus and history have signals of their own; localization cases have none of them.
        plain = case.chronicle is None and not len(case.chat) and not case.focus.any() and case.asks
        self.exact = self.exact or not plain

    def scores(self, parameters: Parameters) -> Array:
        """Score of every file; equal to the ranker's."""
        if self.exact:
            return rank_case(self.item.evidence, parameters).scores
        signals = self.signals(parameters)
        total = np.sum(list(signals.values()), axis=0) if signals else np.zeros(len(self.item.candidates))
        mixing = parameters["interaction_mixing"]
        if mixing > 0.0 and signals:
            total = (1.0 - mixing) * total + mixing * _product(signals)
        return np.asarray(total * self._role(parameters))

    def ranks(self, parameters: Parameters) -> dict[str, int]:
        """0-based ranks of the wanted files among the candidates."""
        values = np.where(self.item.candidates, self.scores(parameters), -np.inf)
        return {
            path: int((values > values[at]).sum() + (values[:at] == values[at]).sum())
            for path, at in self._gold
        }

    def signals(self, at: Parameters) -> dict[str, Array]:
        """Every signal that speaks, times its weight."""
        if self.exact:
            ranking = rank_case(self.item.evidence, at)
            return {name: ranking.signal(name) for name in ranking.signals}
        case = self.item.evidence
        weights = {name: at[f"weight_{name}"] for name in _NEEDS if name != "mentions"}
        weights["named_files"] = at["weight_named_files"] * float(np.log(at["boost_mentioned_file"]))
        weights["mentions"] = at["weight_mentions"] * float(np.log(at["boost_mentioned_ident"]))
        evidence: list[Evidence] = []

        def source() -> Evidence:
            if not evidence:
                evidence.append(Evidence(case, at))
            return evidence[0]

        found: dict[str, Array] = {}
        for name, weight in weights.items():
            if weight <= 0.0 or (name in _WORDY and not len(case.words.columns)):
                continue
            values = self._signal(name, at, source)
            if values is not None:
                found[name] = weight * values
        if found and at["weight_imported"] > 0.0:
            values = source().imported(np.sum(list(found.values()), axis=0))
            if values.any():
                found["imported"] = at["weight_imported"] * scaled(values, case.terrain.primary)
        if at["weight_structure"] > 0.0:
            found["structure"] = at["weight_structure"] * importance(case, at)
        return found

    def _signal(self, name: str, at: Parameters, source: Callable[[], Evidence]) -> Array | None:
        key = tuple(at[needed] for needed in _NEEDS[name])
        kept = self._kept.get(name)
        if kept is not None and kept[0] == key:
            return kept[1]
        values: Array | None = _raw(name, self.item, source)
        if values is not None and not values.any():
            values = None
        if values is not None and name not in _UNSCALED:
            values = scaled(values, self.item.evidence.terrain.primary)
        self._kept[name] = (key, values)
        return values

    def _role(self, at: Parameters) -> Array:
        key = tuple(at[name] for name in _ROLES)
        if self._roles is None or self._roles[0] != key:
            self._roles = (key, role_factor(self.item.evidence, at))
        return self._roles[1]


def _raw(name: str, item: PreparedCase, source: Callable[[], Evidence]) -> Array:
    case = item.evidence
    if name == "named_files":
        return case.named
    if name == "mentions":
        return case.mentioned
    if name == "errors":
        return case.errors
    evidence = source()
    if name in ("words", "title"):
        return evidence.words()[name == "title"]
    if name == "tests":
        return evidence.tests(evidence.words()[0])
    made: Array = getattr(evidence, name)()
    return made


def _product(signals: dict[str, Array]) -> Array:
    """The weighted geometric mean of the signals on the sum's scale (the ranker's `interaction_mixing`)."""
    highest = {name: float(values.max()) for name, values in signals.items()}
    weight = sum(highest.values())
    logs = np.sum(
        [
            highest[name] * np.log(_FLOOR + (1.0 - _FLOOR) * values / highest[name])
            for name, values in signals.items()
            if highest[name] > 0
        ],
        axis=0,
    )
    return np.asarray(weight * np.exp(logs / weight))


def faithful(case: CachedScorer, parameters: Parameters) -> bool:
    """Whether the fast path scores a case as the ranker does (to 1e-9 of the best score)."""
    theirs = rank_case(case.item.evidence, parameters).scores
    ours = case.scores(parameters)
    return bool(
        np.allclose(ours, theirs, rtol=0, atol=1e-9 * max(1.0, float(np.abs(theirs).max(initial=0.0))))
    )
