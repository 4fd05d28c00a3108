"""The coordinates a run may move, the steps a mind may ask for, and which coordinates are alive."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hal9.errors.trainer import TrainerSettingInvalid
from hal9.ripmap.parameters import PARAMETERS, Parameters
from hal9.trainer.evaluation.cached_scorer import CachedScorer

__all__ = [
    "DIRECTIONS",
    "MAGNITUDES",
    "STEPS",
    "Applied",
    "Change",
    "Life",
    "Space",
    "Ways",
    "apply_changes",
    "liveness",
    "space_of",
    "why_still",
]

Direction = Literal["increase", "decrease"]
Magnitude = Literal["small", "medium", "large"]
DIRECTIONS: tuple[Direction, ...] = ("increase", "decrease")
MAGNITUDES: tuple[Magnitude, ...] = ("small", "medium", "large")
Ways = Mapping[Direction, Sequence[Magnitude]]
"""Steps that a parameter may take: directions, each with its magnitudes."""
STEPS: Mapping[Magnitude, float] = {"small": 0.05, "medium": 0.15, "large": 0.35}
"""A step as a share of the parameter's range, on the parameter's own scale."""
MOST_CHANGES = 4
"""More at once cannot be told apart afterwards."""
Life = Literal["alive", "with companions", "dead"]
_SCALING = ("weight_", "boost_mentioned_", "role_")
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Space:
    """Named coordinates as a unit cube."""

    name: str
    names: tuple[str, ...]

    def vector(self, parameters: Mapping[str, float]) -> NDArray[np.float64]:
        """Positions within the ranges, each 0 to 1. Shape (parameters of the space,)."""
        return np.array([PARAMETERS[name].to_unit(parameters[name]) for name in self.names])

    def parameters(self, vector: Iterable[float], base: Parameters | None = None) -> Parameters:
        """The inverse; coordinates outside the space come from `base` (defaults when None)."""
        base = base or Parameters()
        changes = {
            name: PARAMETERS[name].from_unit(float(unit))
            for name, unit in zip(self.names, vector, strict=True)
            # A value that did not move must come back exactly, not through a logarithm.
            if abs(float(unit) - PARAMETERS[name].to_unit(base[name])) > _EDGE
        }
        return base.changed(changes)


@dataclass(frozen=True, slots=True)
class Change:
    """One proposed step, as a mind words it."""

    name: str
    direction: Direction
    magnitude: Magnitude
    rationale: str = ""

    def to_json(self) -> list[str]:
        """[direction, magnitude, rationale], as in the output schema."""
        return [self.direction, self.magnitude, self.rationale]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a proposal.

    Attributes:
        parameters: the candidate.
        moved: name to (before, after) for every change that took effect.
        problems: one sentence for every change that did not, or not fully.
    """

    parameters: Parameters
    moved: dict[str, tuple[float, float]]
    problems: tuple[str, ...]


def space_of(name: str, alive: Iterable[str] | None = None) -> Space:
    """A named space: `weights` only scales evidence, `seed` is the original seventeen, `live` and `all`.

    Args:
        name: one of weights, seed, live, all.
        alive: names that move some ranking; None takes them for granted.

    Raises:
        TrainerSettingInvalid: there is no such space, or nothing in it is alive.
    """
    known = {
        "weights": [n for n in PARAMETERS if n.startswith(_SCALING) or n == "interaction_mixing"],
        "seed": [n for n, item in PARAMETERS.items() if item.origin == "seed"],
        "live": list(PARAMETERS),
        "all": list(PARAMETERS),
    }
    if name not in known:
        raise TrainerSettingInvalid(name="space", detail=f"{name!r} is none of {', '.join(known)}")
    keep = set(PARAMETERS if alive is None or name == "all" else alive)
    names = tuple(n for n in known[name] if n in keep)
    if not names:
        raise TrainerSettingInvalid(
            name="space", detail=f"no coordinate of {name!r} moves a ranking of this corpus"
        )
    return Space(name, names)


def apply_changes(parameters: Parameters, changes: Sequence[Change], space: Space) -> Applied:
    """Step each coordinate on its own scale, clamped to its range.

    Unknown names, repeated names, more than `MOST_CHANGES`, and steps against the end of a range do nothing
    and are told so.
    """
    moved: dict[str, tuple[float, float]] = {}
    problems: list[str] = []
    for change in changes:
        item = PARAMETERS.get(change.name)
        if item is None or change.name not in space.names:
            near = get_close_matches(change.name, space.names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"{change.name}: no such parameter in this run{hint}")
        elif change.name in moved:
            problems.append(f"{change.name}: named twice, the first step counts")
        elif len(moved) >= MOST_CHANGES:
            problems.append(f"{change.name}: left out, at most {MOST_CHANGES} changes are applied at once")
        else:
            before = parameters[change.name]
            unit = item.to_unit(before)
            sign = 1.0 if change.direction == "increase" else -1.0
            wanted = unit + sign * STEPS[change.magnitude]
            after = item.from_unit(wanted)
            if abs(item.to_unit(after) - unit) < _EDGE:
                end = "upper" if sign > 0 else "lower"
                problems.append(
                    f"{change.name}: {change.direction} does nothing, {before:g} is its {end} end"
                )
                continue
            if not -_EDGE <= wanted <= 1 + _EDGE:
                problems.append(f"{change.name}: clamped to {after:g}, the end of its range")
            moved[change.name] = (before, after)
    candidate = parameters.changed({name: after for name, (_, after) in moved.items()})
    return Applied(candidate, moved, tuple(problems))


def liveness(
    cases: Sequence[CachedScorer],
    repositories: Sequence[str] = (),
    *,
    per_tree: int = 3,
    names: Iterable[str] | None = None,
) -> dict[str, Life]:
    """Which coordinates move some ranking when set to either end of their range.

    Args:
        cases: prepared cases; some of each repository are looked at, spread evenly over a single one.
        repositories: of each case; its tree when not given.
        per_tree: how many of each repository; of a single one four times as many.
        names: what to try; None is every parameter.

    Returns:
        Name to "alive" (the order of candidates changed in some case), "with companions" (only after what
        `Parameter.with_` names was raised), or "dead" (these cases hold nothing it could act on).
    """
    owners = list(repositories) or [case.item.case.tree for case in cases]
    looked: list[CachedScorer] = []
    if len(set(owners)) > 1:
        seen: dict[str, int] = {}
        for case, owner in zip(cases, owners, strict=True):
            if seen.get(owner, 0) < per_tree:
                seen[owner] = seen.get(owner, 0) + 1
                looked.append(case)
    else:
        # A young repository lacks what the parameters of its later years act on.
        spread = np.linspace(0, len(cases) - 1, min(len(cases), 4 * per_tree))
        looked = [cases[int(at)] for at in spread]
    chosen = [CachedScorer(case.item, exact=case.exact) for case in looked]
    return {name: _life(name, chosen) for name in (PARAMETERS if names is None else names)}


def _life(name: str, cases: Sequence[CachedScorer]) -> Life:
    if _moves(name, cases, Parameters()):
        return "alive"
    companions = dict(PARAMETERS[name].with_)
    if companions and _moves(name, cases, Parameters(companions)):
        return "with companions"
    return "dead"


_MISSING = {
    "boost_chat_file": "no case has files in its conversation",
    "pagerank_chat_multiplier": "no case has files in its conversation",
    "boost_focus_expansion": "no case has focus words",
    "focus_": "no case has focus words",
    "git_": "these trees have no history",
}
"""Prefix of a name to what cases must hold for it to act on."""


def why_still(name: str, life: Life) -> str:
    """Why a parameter moves no ranking of the cases; empty when it does."""
    if life == "alive":
        return ""
    if life == "with companions":
        needed = (other for other, _ in PARAMETERS[name].with_)
        told = " and ".join(f"{other} is above {PARAMETERS[other].default:g}" for other in needed)
        return f"acts only where {told}"
    missing = next((text for start, text in _MISSING.items() if name.startswith(start)), "")
    return missing or "these cases hold nothing it could act on"


def _moves(name: str, cases: Sequence[CachedScorer], base: Parameters) -> bool:
    item = PARAMETERS[name]
    ends = [base.changed({name: end}) for end in (item.low, item.high) if end != base[name]]
    return any(not np.array_equal(_order(case, base), _order(case, end)) for case in cases for end in ends)


def _order(case: CachedScorer, parameters: Parameters) -> NDArray[np.intp]:
    order: NDArray[np.intp] = np.argsort(-case.scores(parameters)[case.item.candidates], kind="stable")
    return order


def table(space: Space, parameters: Mapping[str, float]) -> list[dict[str, Any]]:
    """Name, value, range, scale and meaning of each coordinate, for a report."""
    return [
        {
            "name": name,
            "value": parameters[name],
            "default": PARAMETERS[name].default,
            "low": PARAMETERS[name].low,
            "high": PARAMETERS[name].high,
            "scale": PARAMETERS[name].scale,
            "meaning": PARAMETERS[name].meaning,
        }
        for name in space.names
    ]
