"""What the ledger keeps of a change beside its contents: what speaks for it, and what was measured.

Both are JSON objects in the ledger's rows. Here stand their fields, the one builder of a change's evidence,
and the reader, which checks rows of every age: a field may be missing, and one of another type is an error.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from hal9.errors.learning import LedgerBroken
from hal9.promptgram import Promptgram

__all__ = ["Details", "Evidence", "Figures", "Pairs", "Window", "change_evidence", "read_facts"]

_OPEN = ConfigDict(extra="allow")
"""A row of a later version may say more; it is kept as it is."""


@with_config(_OPEN)
class Evidence(TypedDict, total=False):
    """What speaks for a change.

    Attributes:
        key: what it moves: a section, a number, several names with commas.
        signs: by thing moved, its direction: 1 or -1.
        what: the edit, or what is told of it under `content` and `rationale`.
        after_hash: content hash of the prompt that it makes.
        critique: what was found wrong.
        error_type: of the error behind it.
        task_id: the task behind it.
        rule: a rule's text; `source`: who taught it.
        reason, why: in words; `restored`: what a rollback brought back.
        signature: of a pattern; `scope`: where it holds.
        episode: of a training run; `trial`: which of its trials; `cases`: which failed before it.
        confidence: of whoever proposed it; `prompt`, `prompts`: promptgrams of the run; `ndcg`: its best.
    """

    key: str
    signs: dict[str, int]
    what: dict[str, Any]
    after_hash: str
    critique: str
    error_type: str
    task_id: str
    rule: str
    source: str
    reason: str
    why: str
    restored: list[str]
    signature: str
    scope: str
    episode: int
    trial: int
    cases: list[str]
    confidence: float | None
    prompt: str
    prompts: list[str]
    ndcg: float


@with_config(_OPEN)
class Pairs(TypedDict, total=False):
    """A comparison in pairs.

    Attributes:
        pairs, won, lost, skipped, tasks: counts.
        gain: mean difference; `error`: its standard error; `low`, `high`: bounds of its 95% interval.
    """

    pairs: int
    won: int
    lost: int
    skipped: int
    tasks: int
    gain: float
    error: float
    low: float
    high: float


@with_config(_OPEN)
class Window(TypedDict, total=False):
    """The first tasks under a change in force: success rate before it, how many since, how many passed."""

    before: float
    tasks: int
    passed: int


@with_config(_OPEN)
class Figures(TypedDict, total=False):
    """What was measured of a change.

    Attributes:
        share: of the prompt or of a number's range that it changes.
        magnitude: of the error behind it.
        replay, canary, paired: comparisons in pairs; `replay_after_window` of a canary that starved.
        canary_since, applied_at: moments (seconds since the epoch).
        window: the first tasks after it; `watched`: that window has passed.
        ndcg: of the ranker under it.
        flips: changes of sign of one adjustment.
        occurrences, confidence: of a pattern.
        mitigations: rules that came in.
        tried, helped, failed: outcomes of a rule.
    """

    share: float
    magnitude: float
    replay: Pairs
    replay_after_window: Pairs
    canary: Pairs
    paired: Pairs
    canary_since: float
    applied_at: float
    window: Window
    watched: bool
    ndcg: float
    flips: int
    occurrences: int
    confidence: float
    mitigations: int
    tried: int
    helped: int
    failed: int


class Details(TypedDict, total=False):
    """What goes with a new row: evidence, figures, and the id of a change that it undoes."""

    evidence: Evidence
    figures: Figures
    reverts: str | None


def change_evidence(
    after: Promptgram,
    *,
    key: str,
    what: Mapping[str, Any],
    signs: Mapping[str, int] | None = None,
    critique: str = "",
    error_type: str = "",
) -> Evidence:
    """The evidence of a change of a promptgram.

    Args:
        after: what it makes.
        key: what it moves.
        what: the edit, or what is told of it under `content` and `rationale`.
        signs: by thing moved, its direction; None where nothing can oscillate.
        critique: what was found wrong; empty when nobody said.
        error_type: of the error behind it; empty without one.
    """
    evidence: Evidence = {"key": key, "what": dict(what), "after_hash": after.content_hash}
    if signs is not None:
        evidence["signs"] = dict(signs)
    if critique:
        evidence["critique"] = critique
    if error_type:
        evidence["error_type"] = error_type
    return evidence


@cache
def _readers() -> tuple[TypeAdapter[Evidence], TypeAdapter[Figures]]:
    return TypeAdapter(Evidence), TypeAdapter(Figures)


def read_facts(change: str, evidence: str, figures: str) -> tuple[Evidence, Figures]:
    """A row's evidence and figures.

    Args:
        change: the row's id, for the error.
        evidence: JSON text.
        figures: JSON text.

    Raises:
        LedgerBroken: one of them is no such record.
    """
    for_evidence, for_figures = _readers()
    try:
        return for_evidence.validate_json(evidence), for_figures.validate_json(figures)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "a row"
        raise LedgerBroken(change=change, detail=f"{where}: {first['msg']}") from error
