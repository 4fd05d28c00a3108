"""The table of signals: what each is called, what it weighs, and which coordinates it depends on.

The ranker walks it. Whoever ranks the same task under many parameter sets hands over a memory: a signal is
then computed again only when one of its coordinates moved.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.ripmap.ranking.companions import beside, calls, together
from hal9.ripmap.ranking.features import (
    CHUNK_COORDINATES,
    Features,
    Memory,
    cochange,
    scaled,
    similar_commits,
)
from hal9.ripmap.ranking.focus import spread_focus
from hal9.ripmap.ranking.prepared_task import PreparedTask

__all__ = ["FEATURES", "Feature", "Memory", "weighted_features"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Feature:
    """One signal.

    Attributes:
        name: what explanations call it.
        compute: its values per file, from the features and the weighted sum of the signals before it.
        weight: what it is multiplied by under a parameter set; not above 0 leaves it out.
        depends_on: coordinates that change its values (its weight's own not among them).
        scaled: divided by its largest value among primary files.
        speaks: whether a task has any evidence of this kind.
        follows: uses the sum of the signals before it, hence depends on all of their coordinates.
    """

    name: str
    compute: Callable[[Features, Array], Array]
    weight: Callable[[Parameters], float]
    depends_on: tuple[str, ...] = ()
    scaled: bool = True
    speaks: Callable[[PreparedTask], bool] = lambda _: True
    follows: bool = False


def _named(*prefixes: str) -> tuple[str, ...]:
    return tuple(name for name in PARAMETERS if name.startswith(prefixes))


_QUERY = _named("query_")
_KIN = ("stem_weight", "abbreviation_weight")
_FIELDS = (*_KIN, "words_k", "words_b", *_named("field_"))
_FILES = (*_QUERY, *_FIELDS)
_CHUNKS = CHUNK_COORDINATES


def _plain(name: str) -> Callable[[Parameters], float]:
    return lambda params: params[f"weight_{name}"]


def _odds(boost: str, weight: str = "") -> Callable[[Parameters], float]:
    """Odds enter a sum as their logarithm."""
    return lambda params: (params[weight] if weight else 1.0) * math.log(params[boost])


def _has_words(prepared: PreparedTask) -> bool:
    return len(prepared.words.columns) > 0


def _wordy(name: str, compute: Callable[[Features], Array], depends_on: tuple[str, ...]) -> Feature:
    return Feature(name, lambda features, _: compute(features), _plain(name), depends_on, speaks=_has_words)


def _chat(features: Features, _: Array) -> Array:
    found = np.zeros(features.size)
    found[features.prepared.chat] = 1.0
    return found


FEATURES: tuple[Feature, ...] = (
    _wordy("words", lambda features: features.words, _FILES),
    _wordy("title", Features.title, ("query_saturation", "query_boilerplate", *_FIELDS)),
    _wordy("chunks", Features.chunks, (*_CHUNKS, "chunk_decay")),
    _wordy("path", Features.path, (*_QUERY, *_KIN, "path_k", "path_b")),
    _wordy("heads", Features.heads, _KIN),
    _wordy("pairs", Features.pairs, ("query_title", "query_prose")),
    _wordy("callees", Features.callees, (*_CHUNKS, *_named("shadow_"))),
    _wordy("identifiers", Features.identifiers, _CHUNKS),
    replace(_wordy("tests", Features.tests, (*_FILES, "test_sharpness")), scaled=False),
    _wordy("test_names", Features.test_names, (*_CHUNKS, "test_sharpness")),
    Feature(
        "traceback",
        lambda features, _: features.traceback(),
        _plain("traceback"),
        ("traceback_decay",),
        scaled=False,
    ),
    Feature(
        "named_files",
        lambda features, _: features.prepared.named,
        _odds("boost_mentioned_file", "weight_named_files"),
        scaled=False,
    ),
    Feature(
        "mentions",
        lambda features, _: features.prepared.mentioned,
        _odds("boost_mentioned_ident", "weight_mentions"),
    ),
    Feature("stems", lambda features, _: features.prepared.stems, _plain("stems")),
    Feature("options", lambda features, _: features.prepared.options, _plain("options"), scaled=False),
    Feature("scope", lambda features, _: features.prepared.scope, _plain("scope"), scaled=False),
    Feature("errors", lambda features, _: features.prepared.errors, _plain("errors")),
    Feature(
        "commits",
        lambda features, _: similar_commits(features.prepared, features.parameters),
        _plain("commits"),
        tuple(name for name in _QUERY if name != "query_boilerplate"),
        speaks=lambda prepared: prepared.commit_index is not None,
    ),
    Feature("imported", lambda features, total: features.imported(total), _plain("imported"), follows=True),
    Feature(
        "focus",
        lambda features, _: spread_focus(features.index_data, features.prepared.focus, features.parameters),
        _odds("boost_focus_expansion"),
        ("focus_decay", "focus_max_hops", *_named("shadow_")),
        scaled=False,
        speaks=lambda prepared: bool(prepared.focus.any()),
    ),
    Feature(
        "chat", _chat, _odds("boost_chat_file"), scaled=False, speaks=lambda prepared: len(prepared.chat) > 0
    ),
    Feature(
        "temporal",
        lambda features, _: cochange(features.prepared),
        _odds("boost_temporal_coupling"),
        scaled=False,
        speaks=lambda prepared: prepared.commit_index is not None,
    ),
    Feature(
        "together",
        together,
        _plain("together"),
        scaled=False,
        follows=True,
        speaks=lambda prepared: prepared.commit_index is not None,
    ),
    Feature("beside", beside, _plain("beside"), scaled=False, follows=True),
    Feature("calls", calls, _plain("calls"), scaled=False, follows=True),
)
"""Every signal of a task, in the order in which they are added up."""


def weighted_features(
    prepared: PreparedTask, parameters: Parameters, memory: Memory | None = None
) -> dict[str, Array]:
    """Every signal that speaks, times its weight, by name; each has shape (files,).

    Args:
        prepared: the task's evidence.
        parameters: the coordinates.
        memory: keeps signals for the next call on the same prepared task.
    """
    features = Features(prepared, parameters, memory)
    found: dict[str, Array] = {}
    for feature in FEATURES:
        weight = feature.weight(parameters)
        if weight <= 0.0 or not feature.speaks(prepared) or (feature.follows and not found):
            continue
        values = _values(feature, features, found, memory)
        if values is not None:
            found[feature.name] = weight * values
    return _saturated(found, parameters["naming_cap"])


_NAMING = ("mentions", "heads", "test_names")
"""Signals that say the same of a file in three ways: what the task names is defined in it."""


def _saturated(found: dict[str, Array], cap: float) -> dict[str, Array]:
    """The naming signals with their sum held below `cap`: cap·(1 - exp(-sum / cap)), shared as they were.

    Who defines a much-named class gets all three at once, and would stand before the helper that does it.
    """
    parts = [found[name] for name in _NAMING if name in found]
    if not parts:
        return found
    total = np.sum(parts, axis=0)
    factor = np.where(total > 0, cap * -np.expm1(-total / cap) / np.where(total > 0, total, 1.0), 1.0)
    return {name: values * factor if name in _NAMING else values for name, values in found.items()}


def _values(
    feature: Feature, features: Features, found: dict[str, Array], memory: Memory | None
) -> Array | None:
    key = tuple(features.parameters[name] for name in feature.depends_on)
    if memory is not None and not feature.follows:
        known = memory.get(feature.name)
        if known is not None and known[0] == key:
            return known[1]
    total = (
        np.sum(list(_saturated(found, features.parameters["naming_cap"]).values()), axis=0)
        if feature.follows
        else np.zeros(0)
    )
    made = feature.compute(features, total)
    values: Array | None = made if made.any() else None
    if values is not None and feature.scaled:
        values = scaled(values, features.index_data.primary)
    if memory is not None and not feature.follows:
        memory[feature.name] = (key, values)
    return values
