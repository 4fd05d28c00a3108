"""What L1 is shown, all of it measured: metrics, trajectory, tunable parameters, failures, insights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal9.minds.protocol import Message
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.failures import Failure, FileStanding
from hal9.trainer.record.detection import EXPLANATIONS
from hal9.trainer.search.space import Space, Ways

__all__ = ["Sight", "choose_tunable", "inner_prompt", "promising", "solved_example"]

_OF_SIGNAL: dict[str, tuple[str, ...]] = {
    "words": ("weight_words", "words_k", "words_b", "field_names", "field_path"),
    "chunks": ("weight_chunks", "chunk_decay", "chunk_k", "chunk_b", "chunk_head"),
    "title": ("weight_title", "query_title"),
    "path": ("weight_path", "path_k", "path_b"),
    "heads": ("weight_heads", "stem_weight"),
    "pairs": ("weight_pairs",),
    "callees": ("weight_callees",),
    "identifiers": ("weight_identifiers",),
    "tests": ("weight_tests", "test_sharpness"),
    "test_names": ("weight_test_names", "test_sharpness"),
    "traceback": ("weight_traceback", "traceback_decay"),
    "named_files": ("weight_named_files",),
    "mentions": ("weight_mentions", "boost_mentioned_ident"),
    "errors": ("weight_errors",),
    "imported": ("weight_imported",),
    "structure": ("weight_structure",),
}
_SIGNAL_OF = {
    name: signal
    for signal, names in _OF_SIGNAL.items()
    for name in names
    if name.startswith(("weight_", "boost_"))
}
"""What only scales a signal, and the signal."""
_FLAT = 0.002
_HISTORY = 8
_BRIEF_HISTORY = 6


def choose_tunable(
    space: Space, failures: Sequence[Failure], count: int, seed: int, touched: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """The parameters to show: those of signals that split wanted files from distractors, others by turns.

    A list of every parameter would fill a small model's context, and it proposes again what it is shown
    again. So what was touched less comes first, and turns through the rest keep every parameter reachable.

    Args:
        space: what may move.
        failures: the cases that are shown.
        count: how many parameters.
        seed: fixes the draw.
        touched: how often each was proposed so far.
    """
    if len(space.names) <= count:
        return space.names
    often = touched or {}
    lack: dict[str, float] = {}
    for failure in failures:
        for signal, value in failure.lack.items():
            lack[signal] = lack.get(signal, 0.0) + abs(value)
    chosen: list[str] = []
    for signal in sorted(lack, key=lambda name: -lack[name]):
        chosen += [n for n in _OF_SIGNAL.get(signal, ()) if n in space.names and n not in chosen]
    chosen = sorted(chosen, key=lambda name: often.get(name, 0))[: (2 * count) // 3]
    rest = [name for name in space.names if name not in chosen]
    drawn = [rest[number] for number in np.random.default_rng([seed, 29]).permutation(len(rest))]
    chosen += sorted(drawn, key=lambda name: often.get(name, 0))[: count - len(chosen)]
    return tuple(name for name in space.names if name in chosen)


def promising(steps: Mapping[str, Ways], slopes: Mapping[str, float]) -> tuple[str, ...]:
    """The parameters with an open step in the direction that the slope speaks for, or without a slope.

    All that have an open step when there is no such parameter.
    """
    found = []
    for name, ways in steps.items():
        slope = slopes.get(_SIGNAL_OF.get(name, ""), 0.0)
        if abs(slope) < _FLAT or ("increase" if slope > 0 else "decrease") in ways:
            found.append(name)
    return tuple(found or steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What an episode is about.

    Attributes:
        parameters: the best so far.
        figures: their metrics.
        tunable: the parameters that may be moved now.
        failures: the cases that are described, of `failing` that fail among `cases`.
        slopes: signal to the estimated change of NDCG@10 if its weight were doubled (see `slopes_of`).
        history: earlier episodes, oldest first.
        insights: what was found out before.
    """

    parameters: Parameters
    figures: Mapping[str, float]
    tunable: Sequence[str]
    failures: Sequence[Failure]
    failing: int
    cases: int
    slopes: Mapping[str, float]
    history: Sequence[Mapping[str, Any]] = ()
    insights: Sequence[str] = ()


def inner_prompt(sight: Sight, *, brief: bool = False) -> str:
    """The user's turn of one episode; `brief` says the same with fewer words, for minds that read slowly."""
    return _brief(sight) if brief else _full(sight)


def solved_example() -> tuple[Message, Message]:
    """A question and a good answer, shown as a turn before the real one: small models follow it, not rules.

    Without it the smallest local model answers "increase, medium" for whatever it is shown.
    """
    path, tests = PARAMETERS["weight_path"], PARAMETERS["weight_tests"]
    question = f"""NDCG@10 0.6000; 40 of 90 cases fail.

A failing task: Close the session when login fails
wanted app/session.py at rank 7 (tests 0.80, words 0.30)
distractor app/login_form.py at rank 1 (path 0.90, words 0.40)

Parameters you may move:
- weight_path = 1 ({path.low:g} to {path.high:g}, {path.scale}): {path.meaning}{_told(-0.031)}
- weight_tests = 0.7 ({tests.low:g} to {tests.high:g}, {tests.scale}): {tests.meaning}{_told(0.001)}

Propose the next step."""
    answer = {
        "strategy_capsule": "Less path, so that login_form.py no longer wins by its name.",
        "diagnosis": "Distractors lead by path; tests hardly matter.",
        "param_interactions": [],
        "proposed_changes": {"weight_path": ["decrease", "small", "steepest slope"]},
        "structural_insights": [],
        "confidence": 0.6,
    }
    return Message("user", question), Message("assistant", json.dumps(answer))


def _full(sight: Sight) -> str:
    history = sight.history
    parts = [
        "# Metrics of the best parameters",
        "  ".join(f"{name} {value:.4f}" for name, value in sight.figures.items()),
        f"{sight.failing} of {sight.cases} cases fail.",
    ]
    if history:
        parts += ["", "# Trajectory (oldest first)", *(_line(entry) for entry in history[-_HISTORY:])]
        parts += ["", "# What became of your last proposal", *_last(history[-1])]
        named = history[-1].get("detections") or []
        if named:
            parts += ["", "# Detected", *(f"- {name}: {EXPLANATIONS[name]}" for name in named)]
    parts += ["", "# Parameters you may move", *(_tunable(name, sight) for name in sight.tunable)]
    parts += ["", "# Failing cases"]
    for failure in sight.failures:
        parts += [*_failure(failure), ""]
    if sight.insights:
        parts += ["# Insights so far", *(f"- {text}" for text in sight.insights[-5:]), ""]
    parts.append("Propose the next step.")
    return "\n".join(parts)


def _brief(sight: Sight) -> str:
    """What grows comes before what changes, so that a server computes little anew."""
    parts = [f"NDCG@10 {sight.figures['ndcg']:.4f}; {sight.failing} of {sight.cases} cases fail."]
    if sight.history:
        parts += ["", "Tried so far:", *(_line(entry) for entry in sight.history[-_BRIEF_HISTORY:])]
        last = sight.history[-1]
        parts += [f"- {problem}" for problem in [*last.get("problems", ())][:2]]
        parts += [f"Detected: {EXPLANATIONS[name]}" for name in (last.get("detections") or [])[:1]]
    for failure in sight.failures[:1]:
        parts += ["", f"A failing task: {failure.query[:120]}"]
        parts += [f"wanted {_standing(found, 3)}" for found in failure.wanted[:1]]
        parts += [f"distractor {_standing(found, 3)}" for found in failure.distractors[:1]]
    parts += ["", "Parameters you may move:", *(_tunable(name, sight) for name in sight.tunable)]
    parts += ["", "Propose the next step."]
    return "\n".join(parts)


def _line(entry: Mapping[str, Any]) -> str:
    head = f"- episode {entry['episode']}: best {entry['best_ndcg']:.4f}"
    if entry.get("error"):
        return f"{head}; no proposal ({entry['error'][:80]})"
    tried = ", ".join(
        f"{name} {step[0]} {step[1]}" for name, step in (entry.get("proposed_changes") or {}).items()
    )
    verdict = "kept" if entry["kept"] else "taken back"
    gains = ", ".join(f"{trial['gain']:+.4f}" for trial in entry.get("trials", ())) or "not measured"
    return f"{head}; tried {tried or 'nothing'}: {gains}, {verdict}"


def _last(entry: Mapping[str, Any]) -> list[str]:
    if entry.get("error"):
        return [f"There was none that could be read: {entry['error'][:200]}"]
    lines = []
    for trial in entry.get("trials", ()):
        moved = ", ".join(f"{name} {a:.4g} -> {b:.4g}" for name, (a, b) in trial["moved"].items())
        verdict = "KEPT" if trial["kept"] else "taken back"
        lines.append(f"- {moved}: {trial['gain']:+.4f} (noise {trial['error']:.4f}), {verdict}")
    lines += [f"- {problem}" for problem in entry.get("problems", ())]
    return lines or ["- Nothing was applied."]


def _tunable(name: str, sight: Sight) -> str:
    item = PARAMETERS[name]
    slope = sight.slopes.get(_SIGNAL_OF.get(name, ""))
    told = "" if slope is None else _told(slope)
    value = sight.parameters[name]
    return f"- {name} = {value:.4g} ({item.low:g} to {item.high:g}, {item.scale}): {item.meaning}{told}"


def _told(slope: float) -> str:
    """What all cases say about a parameter that scales a signal."""
    if abs(slope) < _FLAT:
        return f"; over all cases it hardly matters, slope {slope:+.3f}"
    return f"; over all cases {'increase' if slope > 0 else 'decrease'} helps, slope {slope:+.3f}"


def _failure(failure: Failure) -> list[str]:
    lines = [f"Task: {failure.query}"]
    lines += [f"  wanted {_standing(found)}" for found in failure.wanted]
    lines += [f"  distractor {_standing(found)}" for found in failure.distractors]
    more = ", ".join(f"{name} {value:+.2f}" for name, value in failure.lack.items())
    if more:
        lines.append(f"  distractors minus wanted: {more}")
    return lines


def _standing(found: FileStanding, most: int | None = None) -> str:
    signals = ", ".join(f"{name} {value:.2f}" for name, value in list(found.signals.items())[:most])
    return f"{found.path} at rank {found.rank} ({signals or 'no evidence'})"
