"""What L1 is shown: metrics, trajectory, what was applied, levers, failures, insights; all of it measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.detection import EXPLANATIONS
from hal9.trainer.failures import Failure, Standing
from hal9.trainer.space import Space

__all__ = ["choose_levers", "inner_prompt"]

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
_HISTORY = 8


def choose_levers(space: Space, failures: Sequence[Failure], count: int, seed: int) -> tuple[str, ...]:
    """The parameters to show: those of signals that split wanted files from distractors, others by turns.

    A list of every parameter would fill a small model's context; the turn through the rest keeps every
    parameter reachable.
    """
    if len(space.names) <= count:
        return space.names
    lack: dict[str, float] = {}
    for failure in failures:
        for signal, value in failure.lack.items():
            lack[signal] = lack.get(signal, 0.0) + abs(value)
    chosen: list[str] = []
    for signal in sorted(lack, key=lambda name: -lack[name]):
        chosen += [n for n in _OF_SIGNAL.get(signal, ()) if n in space.names and n not in chosen]
    chosen = chosen[: (2 * count) // 3]
    rest = [name for name in space.names if name not in chosen]
    drawn = np.random.default_rng([seed, 29]).permutation(len(rest))[: count - len(chosen)]
    chosen += [rest[number] for number in drawn]
    return tuple(name for name in space.names if name in chosen)


def inner_prompt(
    *,
    parameters: Parameters,
    figures: Mapping[str, float],
    levers: Sequence[str],
    failures: Sequence[Failure],
    failing: int,
    cases: int,
    history: Sequence[Mapping[str, Any]],
    insights: Sequence[str] = (),
) -> str:
    """The user's turn of one episode."""
    parts = [
        "# Metrics of the best parameters",
        "  ".join(f"{name} {value:.4f}" for name, value in figures.items()),
        f"{failing} of {cases} cases fail.",
    ]
    if history:
        parts += ["", "# Trajectory (oldest first)", *(_line(entry) for entry in history[-_HISTORY:])]
        parts += ["", "# What became of your last proposal", *_last(history[-1])]
        named = history[-1].get("detections") or []
        if named:
            parts += ["", "# Detected", *(f"- {name}: {EXPLANATIONS[name]}" for name in named)]
    parts += ["", "# Parameters you may move", *(_lever(name, parameters[name]) for name in levers)]
    parts += ["", "# Failing cases"]
    for failure in failures:
        parts += [*_failure(failure), ""]
    if insights:
        parts += ["# Insights so far", *(f"- {text}" for text in insights[-5:]), ""]
    parts.append("Propose the next step.")
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


def _lever(name: str, value: float) -> str:
    item = PARAMETERS[name]
    return f"- {name} = {value:.4g} ({item.low:g} to {item.high:g}, {item.scale}): {item.meaning}"


def _failure(failure: Failure) -> list[str]:
    lines = [f"Task: {failure.query}"]
    lines += [f"  wanted {_standing(found)}" for found in failure.wanted]
    lines += [f"  distractor {_standing(found)}" for found in failure.distractors]
    more = ", ".join(f"{name} {value:+.2f}" for name, value in failure.lack.items())
    if more:
        lines.append(f"  distractors minus wanted: {more}")
    return lines


def _standing(found: Standing) -> str:
    signals = ", ".join(f"{name} {value:.2f}" for name, value in found.signals.items())
    return f"{found.path} at rank {found.rank} ({signals or 'no evidence'})"
