"""What L2 is shown: a promptgram's mutable sections, its runs, what earlier edits did; all of it measured."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hal9.minds.protocol import Message
from hal9.promptgram import MUTABLE_SECTIONS
from hal9.trainer.outer.promptgrams import Shelved

__all__ = ["Measured", "OuterSight", "outer_prompt", "solved_edit"]

_PAST = 5
_UNTOUCHED = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """A promptgram's inner runs from one start.

    Attributes:
        step: name of the folder below inner_runs.
        finals: seed to final NDCG@10.
        starts: seed to that of the start parameters.
        touched: parameter to how often it was proposed.
        detections: name to number of episodes.
        needs: what minds said no parameter can express.
    """

    step: str
    prompt: str
    finals: dict[str, float]
    starts: dict[str, float]
    params: dict[str, dict[str, float]]
    touched: dict[str, int]
    detections: dict[str, int]
    needs: tuple[str, ...]
    failing: dict[str, int]
    confidence: float | None
    kept: int
    episodes: int

    @property
    def mean(self) -> float:
        """The meta-loss's estimate: mean final NDCG@10."""
        return float(np.mean(list(self.finals.values())))

    @property
    def best_params(self) -> dict[str, float]:
        """Changes of the best seed's final parameters over the defaults."""
        return self.params[max(self.finals, key=lambda seed: (self.finals[seed], seed))]

    def interval(self, level_z: float = 1.96) -> tuple[float, float]:
        """Normal interval of the mean over seeds; a point when there is but one."""
        values = list(self.finals.values())
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        return self.mean - level_z * error, self.mean + level_z * error


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterSight:
    """What a proposal is about.

    Attributes:
        parent: the promptgram to edit.
        measured: its inner runs.
        names: the parameters that tuners may move.
        history: earlier steps, oldest first.
        mode: exploit or explore.
        need: what the tuner that asks has measured itself; seed to its score.
        refused: why the last answer to this question was refused.
    """

    parent: Shelved
    measured: Measured
    names: Sequence[str] = ()
    history: Sequence[Mapping[str, Any]] = ()
    mode: str = "exploit"
    refused: str = ""
    need: Mapping[str, float] = field(default_factory=dict)


def outer_prompt(sight: OuterSight, *, brief: bool = False) -> str:
    """The user's turn of one proposal.

    Args:
        sight: what it is about.
        brief: with the kinds and effects of earlier edits, without their wording, which small models copy.
    """
    gram, measured = sight.parent.promptgram, sight.measured
    low, high = measured.interval()
    lines = [f"# Promptgram {sight.parent.name}"]
    for name in MUTABLE_SECTIONS:
        lines += ["", f"## {name}", gram.section(name)]
    finals = ", ".join(f"{value:.4f}" for value in measured.finals.values())
    start = float(np.mean(list(measured.starts.values())))
    untouched = [name for name in sight.names if name not in measured.touched]
    lines += [
        "",
        "# Its runs",
        f"start {start:.4f}, final {finals} (mean {measured.mean:.4f}, {low:.4f} to {high:.4f})",
        f"{measured.kept} of {measured.episodes} episodes kept a step",
        "touched: "
        + (", ".join(f"{n} x{c}" for n, c in Counter(measured.touched).most_common(8)) or "nothing"),
        f"never touched: {', '.join(untouched[:_UNTOUCHED]) or 'none'}",
        "detected: " + (", ".join(f"{n} x{c}" for n, c in measured.detections.items()) or "nothing"),
    ]
    lines += [f"the tuner says it lacks: {need}" for need in measured.needs[: 1 if brief else 3]]
    if sight.need:
        own = ", ".join(f"{seed} {value:.4f}" for seed, value in sorted(sight.need.items()))
        lines.append(f"the tuner asks for help; its own scores: {own}")
    if sight.history:
        lines += ["", "# Earlier edits"]
        told = _kinds if brief else _edits
        lines += [
            f"- from {entry['parent']}: {told(entry)} -> {_effect(entry)}" for entry in sight.history[-_PAST:]
        ]
    if sight.refused:
        lines += ["", "# Your last answer was refused", sight.refused[:300], "Answer with another edit."]
    lines += ["", f"Propose edits to {sight.parent.name} ({sight.mode}). Say what no item says yet."]
    return "\n".join(lines)


def solved_edit() -> tuple[Message, Message]:
    """A question and a good answer, shown as a turn before the real one.

    Without it the smallest local model appends what the promptgram says already.
    """
    question = """# Promptgram inner_v001

## Policy
- Read the failing case first.

## Heuristics
- Small steps refine.

## Style
- One sentence each.

# Its runs
start 0.6000, final 0.6000, 0.6010 (mean 0.6005, 0.5995 to 0.6015)
1 of 10 episodes kept a step
touched: weight_words x7, weight_path x2
never touched: query_title, weight_imported
detected: repetition x3

Propose edits to inner_v001 (exploit). Say what no item says yet."""
    answer = {
        "hypothesis": "Tuners leave weight_words alone and find query_title.",
        "mode": "explore",
        "edits": [
            {
                "rationale": "weight_words was moved seven times in vain, query_title never",
                "section": "Policy",
                "edit_type": "append",
                "target": "",
                "content": "Lower query_title before you move weight_words again.",
            }
        ],
        "expected_effects": ["query_title is touched"],
        "risk_level": "low",
    }
    return Message("user", question), Message("assistant", json.dumps(answer))


def _edits(entry: Mapping[str, Any]) -> str:
    edits = (entry.get("proposal") or {}).get("edits", [])
    return (
        "; ".join(f"{e['edit_type']} {e['section']}: {(e['content'] or e['target'])[:70]}" for e in edits)
        or "none"
    )


def _kinds(entry: Mapping[str, Any]) -> str:
    """Earlier edits without their wording."""
    edits = (entry.get("proposal") or {}).get("edits", [])
    return "; ".join(f"{one['edit_type']} {one['section']}" for one in edits) or "none"


def _effect(entry: Mapping[str, Any]) -> str:
    if entry["problem"]:
        return f"refused ({entry['problem'][:90]})"
    return f"{entry['delta']['ndcg']:+.4f} ± {entry['delta']['error']:.4f}"
