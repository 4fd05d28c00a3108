"""Entries of a run's log, typed, and the check that entries of every age are such.

Runs of earlier versions lack fields that came later, so few are required; an entry that has one of another
type is no entry. What a log holds beyond these fields is kept as it is.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NotRequired, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

__all__ = [
    "InnerEpisode",
    "OuterStep",
    "PopulationEntry",
    "StrategyEpisode",
    "Trial",
    "entry_problem",
    "inner_episodes",
]

_OPEN = ConfigDict(extra="allow")


@with_config(_OPEN)
class Trial(TypedDict):
    """One measured candidate of an episode.

    Attributes:
        moved: parameter to its value before and after.
        params: what differs from the defaults.
        ndcg: mean NDCG@10 over the training cases.
        kept: whether it took the best's place; `why`: why not.
        gain: mean difference to the best before it; `error`: its standard error; `won`, `lost`: cases.
        seconds: what measuring took.
    """

    moved: dict[str, list[float]]
    params: dict[str, float]
    ndcg: float
    kept: bool
    why: NotRequired[str]
    gain: NotRequired[float]
    error: NotRequired[float]
    won: NotRequired[int]
    lost: NotRequired[int]
    seconds: NotRequired[float]


@with_config(_OPEN)
class InnerEpisode(TypedDict):
    """One question to a mind, and what was measured of its answer (L1).

    Attributes:
        episode: number, from 0.
        timestamp: seconds since the epoch; `duration_secs`: how long it took.
        mind: who was asked; `promptgram`: content hash of what it was told.
        failing: how many cases rank badly; `failures`: the worst of them.
        levers: parameters that it might move.
        ndcg_before, best_ndcg: before and after; `params`: the best's, as they differ from the defaults.
        trials: what was measured; `kept`: whether one of them took the best's place; `repeated`: it proposed
            what was measured before.
        problems: what was wrong with the proposal; `error`: why there is none; `invalid_reply`: unreadable.
        reasoning, strategy_capsule, diagnosis, param_interactions, structural_insights: its words.
        confidence: as it says.
        proposed_changes: parameter to direction, magnitude, rationale.
        usage: tokens, money and calls.
        gradients, detections: errors sent back; what the run shows signs of.
        graph: links and mass of references at the start and under the last candidate that could change them.
        hash: chains the entries.
    """

    episode: int
    best_ndcg: float
    params: dict[str, float]
    kept: bool
    timestamp: NotRequired[float]
    duration_secs: NotRequired[float]
    mind: NotRequired[str]
    promptgram: NotRequired[str]
    failing: NotRequired[int]
    failures: NotRequired[list[dict[str, Any]]]
    levers: NotRequired[list[str]]
    ndcg_before: NotRequired[float]
    trials: NotRequired[list[Trial]]
    repeated: NotRequired[bool]
    problems: NotRequired[list[str]]
    reasoning: NotRequired[str]
    strategy_capsule: NotRequired[Any]
    diagnosis: NotRequired[Any]
    proposed_changes: NotRequired[dict[str, list[Any]]]
    param_interactions: NotRequired[Any]
    structural_insights: NotRequired[Any]
    confidence: NotRequired[float | None]
    usage: NotRequired[dict[str, Any]]
    error: NotRequired[str]
    invalid_reply: NotRequired[bool]
    gradients: NotRequired[list[dict[str, Any]]]
    detections: NotRequired[list[str]]
    graph: NotRequired[dict[str, dict[str, float]]]
    hash: NotRequired[str]


@with_config(_OPEN)
class StrategyEpisode(TypedDict):
    """One point measured for a numerical optimiser.

    Attributes:
        episode: number, from 0; `timestamp`, `duration_secs`: see `InnerEpisode`.
        candidate: the point, as it differs from the defaults; `ndcg`: its mean NDCG@10.
        gain, error: against the best before it, with standard error.
        kept: whether it counts as progress; `best_ndcg`, `params`: the best so far.
        hash: chains the entries.
    """

    episode: int
    candidate: dict[str, float]
    ndcg: float
    kept: bool
    best_ndcg: float
    params: dict[str, float]
    timestamp: NotRequired[float]
    duration_secs: NotRequired[float]
    gain: NotRequired[float]
    error: NotRequired[float]
    hash: NotRequired[str]


@with_config(_OPEN)
class OuterStep(TypedDict):
    """One proposed edit of L1's promptgram, and what was measured of it (L2).

    Attributes:
        outer_step: number, from 0; `timestamp`, `duration_secs`, `mind`, `usage`: see `InnerEpisode`.
        selection_mode: why this parent; `parent`, `prompt_id`: promptgrams edited and made.
        proposal: the answer; `problem`: why nothing came of it, empty when something did.
        warm_started_from: parameters at which inner runs began; None is the defaults.
        baseline, final: figures of parent and child; `delta`: NDCG@10 gained, its error and interval.
        inner_runs, stability, final_params: of the child's runs; `hall_of_fame`: the best promptgrams.
        detections: what the run shows signs of; `hash`: chains the entries.
    """

    outer_step: int
    parent: str
    prompt_id: str
    problem: str
    timestamp: NotRequired[float]
    duration_secs: NotRequired[float]
    mind: NotRequired[str]
    usage: NotRequired[dict[str, Any]]
    selection_mode: NotRequired[str]
    proposal: NotRequired[dict[str, Any] | None]
    warm_started_from: NotRequired[dict[str, float] | None]
    baseline: NotRequired[dict[str, Any]]
    final: NotRequired[dict[str, Any]]
    delta: NotRequired[dict[str, Any]]
    inner_runs: NotRequired[Any]
    stability: NotRequired[dict[str, Any]]
    final_params: NotRequired[dict[str, float]]
    hall_of_fame: NotRequired[list[dict[str, Any]]]
    detections: NotRequired[list[str]]
    graph: NotRequired[dict[str, dict[str, float]]]
    hash: NotRequired[str]


@with_config(_OPEN)
class PopulationEntry(TypedDict):
    """One line of a population's log (L2 as a belief graph).

    Attributes:
        outer_step: position in the log, from 0.
        what: what happened, such as join, turn, need, suggestion, fork, merge, stop; `node`: to whom.
        facts: about it; a turn's `trial` is the edit, its outcome and its gain, or None.
        number, step: of the population's own count; `hash`: chains the entries.
    """

    outer_step: int
    what: str
    node: str
    facts: dict[str, Any]
    number: NotRequired[int]
    step: NotRequired[int]
    hash: NotRequired[str]


@cache
def _readers() -> dict[str, TypeAdapter[Any]]:
    return {
        "inner": TypeAdapter(InnerEpisode),
        "strategy": TypeAdapter(StrategyEpisode),
        "outer": TypeAdapter(OuterStep),
        "population": TypeAdapter(PopulationEntry),
    }


def entry_problem(kind: str, entry: Mapping[str, Any]) -> str:
    """What is wrong with an entry of a run of this kind; empty when nothing is.

    The log of a population (a kind of outer run) has entries of its own; they name `what` happened.
    """
    reader = _readers().get("population" if kind == "outer" and "what" in entry else kind)
    if reader is None:
        return ""
    try:
        reader.validate_python(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return ""


def inner_episodes(entries: Sequence[Mapping[str, Any]]) -> list[InnerEpisode]:
    """Entries of an inner run; reading the log has checked them."""
    return cast("list[InnerEpisode]", list(entries))
