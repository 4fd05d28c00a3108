"""The outer loop (L2) as a strict stack: choose a promptgram, edit it, measure child against parent."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

import numpy as np

from hal9.learning.state.change_facts import Evidence
from hal9.ripmap.parameters import Parameters
from hal9.trainer.outer.context import BudgetSpent, Measured, OuterContext
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.changes import MeasuredEdit
from hal9.trainer.record.detection import detect_not_steering
from hal9.trainer.record.episodes import OuterStep
from hal9.trainer.record.run_log import RunLog

__all__ = [
    "BestSoFar",
    "OuterResult",
    "OuterSettings",
    "edit_effect",
    "edit_effects",
    "facts_of_child",
    "hall_of_fame",
    "metrics",
    "note_edit",
    "run_stack",
]

_HALL = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterSettings:
    """How the outer loop goes.

    Attributes:
        steps: proposals asked of L2.
        explore: chance that a step edits another promptgram than the best, less measured ones first.
        warm_start: each step begins from the best parameters so far instead of the same start for all;
            parent and child are then both measured from there, which costs twice.
    """

    steps: int = 10
    seed: int = 0
    explore: float = 0.2
    warm_start: bool = False

    def to_json(self) -> dict[str, Any]:
        """All settings."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class OuterResult:
    """The best promptgram by mean final NDCG@10 from the common start, and the best parameters met.

    `edits` has every measured edit with its paired effect (see `edit_effect`), `detail` what a limit said.
    """

    best: str
    mean: float
    interval: tuple[float, float]
    params: dict[str, float]
    score: float
    steps: int
    reason: str
    measured: Mapping[str, Measured] = field(default_factory=dict)
    edits: tuple[dict[str, Any], ...] = ()
    detail: str = ""


async def run_stack(
    workshop: OuterContext,
    pad: RunLog,
    settings: OuterSettings,
    *,
    listener: Callable[[Mapping[str, Any]], None] | None = None,
) -> OuterResult:
    """Run, or finish, the strict L2 → L1 → L0 stack."""
    first = workshop.shelf.add(
        shipped_promptgram("l1-ranker-tuner"), created_at=workshop.clock.now(), description="as shipped"
    )
    known: dict[str, Measured] = {}
    best = BestSoFar(workshop)
    reason, detail = "steps", ""
    try:
        known[first.name] = await workshop.measure(first, Parameters())
        best.see(known[first.name])
        for step in pad.entries:
            if not step["problem"]:
                known[step["prompt_id"]] = await workshop.measure(
                    workshop.shelf.load(step["prompt_id"]), Parameters()
                )
                best.see(known[step["prompt_id"]])
                note_edit(workshop, step)
        while len(pad.entries) < settings.steps:
            start = Parameters(best.params if settings.warm_start else {})
            entry, child = await _step(workshop, pad, settings, known, start)
            if child is not None:
                best.see(child)
            written = pad.append(entry)
            if child is not None:
                note_edit(workshop, written)
            if listener is not None:
                listener(written)
    except BudgetSpent as stop:
        reason, detail = stop.reason, stop.detail
    made = outcome_of(known, best, len(pad.entries), reason)
    return replace(made, detail=detail, edits=edit_effects(pad))


@dataclass(slots=True)
class BestSoFar:
    """The best final parameters of all inner runs so far, written into the run's ledger as they are met."""

    workshop: OuterContext
    params: dict[str, float] = field(default_factory=dict)
    score: float = -np.inf

    def see(self, measured: Measured) -> None:
        """Look at a promptgram's inner runs."""
        seed = max(measured.finals, key=lambda name: (measured.finals[name], name))
        if measured.finals[seed] <= self.score:
            return
        self.score, self.params = measured.finals[seed], measured.best_params
        if self.workshop.ledger is not None:
            facts: Evidence = {"prompt": measured.prompt, "ndcg": self.score}
            self.workshop.ledger.adopt(
                Parameters(self.params),
                cause=f"{measured.step}/{measured.prompt}/{seed}",
                actor=self.workshop.inner_mind.name,
                evidence=facts,
            )


def note_edit(workshop: OuterContext, entry: Mapping[str, Any]) -> None:
    """Write a measured edit into the run's ledger; once."""
    if workshop.ledger is None:
        return
    prompts = (str(entry["parent"]), str(entry["prompt_id"]))
    parent, child = (workshop.shelf.load(name).promptgram for name in prompts)
    made = MeasuredEdit(
        cause=entry["hash"],
        actor=entry.get("mind", workshop.outer_mind.name),
        answer=entry["proposal"],
        prompts=prompts,
        gain=entry["delta"]["ndcg"],
        error=entry["delta"]["error"],
        best=entry["hall_of_fame"][0]["prompt_id"] == entry["prompt_id"],
    )
    workshop.ledger.edit(parent, child, made)


async def _step(
    workshop: OuterContext,
    pad: RunLog,
    settings: OuterSettings,
    known: dict[str, Measured],
    start: Parameters,
) -> tuple[OuterStep, Measured | None]:
    """One proposal, measured; the entry, and the child's measurement when there is one."""
    number, began = len(pad.entries), workshop.clock.monotonic()
    parent_name, mode = choose_parent(known, settings, number)
    parent = workshop.shelf.load(parent_name)
    base = known[parent_name]
    if settings.warm_start:
        base = await workshop.measure(parent, start)
    proposal = await workshop.propose(parent, base, pad.entries, seed=number, mode=mode)
    entry: OuterStep = {
        "outer_step": number,
        "timestamp": workshop.clock.now(),
        "selection_mode": mode,
        "parent": parent_name,
        "prompt_id": parent_name,
        "proposal": proposal.answer,
        "problem": proposal.problem,
        "warm_started_from": start.changes() if settings.warm_start else None,
        "baseline": metrics(base),
        "mind": workshop.outer_mind.name,
        "usage": asdict(proposal.usage),
        "detections": [],
    }
    child = proposal.child
    if child is not None and workshop.shelf.find(child) is not None and _was_measured(workshop, child, known):
        entry["problem"] = "this promptgram was measured before"
        child = None
    if child is None:
        return {**entry, "duration_secs": round(workshop.clock.monotonic() - began, 3)}, None
    shelved = workshop.shelf.add(
        child,
        parent=parent_name,
        created_at=workshop.clock.now(),
        description=str(proposal.answer.get("hypothesis", "")),
    )
    measured = await workshop.measure(shelved, start)
    if not settings.warm_start:
        known[shelved.name] = measured
    else:
        known[shelved.name] = await workshop.measure(shelved, Parameters())
    entry |= facts_of_child(measured, base, known)
    entry["duration_secs"] = round(workshop.clock.monotonic() - began, 3)
    return entry, measured


def facts_of_child(measured: Measured, base: Measured, known: Mapping[str, Measured]) -> OuterStep:
    """What a step's entry says about a child that was measured, beside its parent."""
    gain, error = paired(measured, base)
    blind = detect_not_steering(measured.touched, base.touched, gain, error)
    return cast(
        "OuterStep",
        {
            "prompt_id": measured.prompt,
            "inner_runs": measured.step,
            "final": metrics(measured),
            "delta": {"ndcg": gain, "error": error, "interval": [gain - 1.96 * error, gain + 1.96 * error]},
            "stability": _stability(measured),
            "final_params": measured.best_params,
            "hall_of_fame": hall_of_fame(known),
            "detections": ["l2_not_steering"] if blind else [],
        },
    )


def _was_measured(workshop: OuterContext, child: Any, known: Mapping[str, Measured]) -> bool:
    found = workshop.shelf.find(child)
    return found is not None and found.name in known


def choose_parent(known: Mapping[str, Measured], settings: OuterSettings, step: int) -> tuple[str, str]:
    """Exploit the best, or explore another, each by one over its number of inner runs plus one."""
    best = best_of(known)
    others = [name for name in known if name != best]
    rng = np.random.default_rng([settings.seed, 41, step])
    if not others or rng.random() >= settings.explore:
        return best, "exploit"
    weights = np.array([1.0 / (len(known[name].finals) + 1) for name in others])
    return others[int(rng.choice(len(others), p=weights / weights.sum()))], "explore"


def best_of(known: Mapping[str, Measured]) -> str:
    """The best promptgram by mean; an equal one counts only if it is older."""
    names = list(known)
    return max(names, key=lambda name: (known[name].mean, -names.index(name)))


def paired(child: Measured, parent: Measured) -> tuple[float, float]:
    """Mean difference over common seeds, and its standard error (0 for one seed)."""
    seeds = [seed for seed in child.finals if seed in parent.finals]
    difference = np.array([child.finals[seed] - parent.finals[seed] for seed in seeds])
    error = float(np.std(difference, ddof=1) / np.sqrt(len(seeds))) if len(seeds) > 1 else 0.0
    return float(difference.mean()), error


def edit_effect(
    names: tuple[str, str], answer: Mapping[str, Any], effect: tuple[float, float], seeds: int
) -> dict[str, Any]:
    """What a measured edit was worth, for results and report.

    Args:
        names: of parent and child.
        answer: L2's proposal.
        effect: paired gain in final NDCG@10 and its standard error over seeds.
        seeds: how many; of one seed nothing is proven.
    """
    gain, error = effect
    edits = answer.get("edits", [])
    told = "; ".join(f"{e['edit_type']} {e['section']}: {e['content'] or e['target']}" for e in edits)
    return {
        "prompt_id": names[1],
        "parent": names[0],
        "edit": told,
        "hypothesis": answer.get("hypothesis", ""),
        "gain": gain,
        "interval": [gain - 1.96 * error, gain + 1.96 * error],
        "seeds": seeds,
        "proven": seeds > 1 and gain - 1.96 * error > 0,
    }


def edit_effects(pad: RunLog) -> tuple[dict[str, Any], ...]:
    """Every edit of a run's record that was measured (see `edit_effect`)."""
    return tuple(
        edit_effect(
            (entry["parent"], entry["prompt_id"]),
            entry["proposal"],
            (entry["delta"]["ndcg"], entry["delta"]["error"]),
            len(entry["final"]["finals"]),
        )
        for entry in pad.entries
        if "delta" in entry
    )


def hall_of_fame(known: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """The best promptgrams with their meta-loss and its interval."""
    ranked = sorted(known, key=lambda name: -known[name].mean)[:_HALL]
    return [
        {
            "prompt_id": name,
            "mean": known[name].mean,
            "interval": list(known[name].interval()),
            "runs": len(known[name].finals),
            "kept": known[name].kept,
            "episodes": known[name].episodes,
        }
        for name in ranked
    ]


def metrics(measured: Measured) -> dict[str, Any]:
    """The figures of a promptgram's runs, for a step's entry."""
    return {
        "ndcg": measured.mean,
        "finals": measured.finals,
        "failures": float(np.mean(list(measured.failing.values()))),
        "mean_confidence": measured.confidence,
        "kept": measured.kept,
        "episodes": measured.episodes,
        "touched": measured.touched,
    }


def _stability(measured: Measured) -> dict[str, Any]:
    values = list(measured.finals.values())
    return {
        "collapse_events": measured.detections.get("collapse", 0),
        "oscillations": measured.detections.get("oscillation", 0),
        "lock_ins": measured.detections.get("basin_lock_in", 0),
        "ndcg_variance": float(np.var(values, ddof=1)) if len(values) > 1 else 0.0,
    }


def outcome_of(known: Mapping[str, Measured], met: BestSoFar, steps: int, reason: str) -> OuterResult:
    """How a run ended, from what was measured; without any promptgram all its figures are no numbers."""
    if not known:
        return OuterResult("", float("nan"), (float("nan"), float("nan")), {}, float("nan"), steps, reason)
    best = best_of(known)
    return OuterResult(
        best, known[best].mean, known[best].interval(), met.params, met.score, steps, reason, known
    )
