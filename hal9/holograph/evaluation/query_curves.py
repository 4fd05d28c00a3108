"""Query curves: how good the graph is after so many answers of an oracle of stated accuracy."""

import asyncio
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from hal9.holograph.evaluation.graph_distance import (
    Scores,
    best_fixed_threshold,
    chance_scores,
    score,
    threshold_curve,
)
from hal9.holograph.model.graph import MixedGraph, graph_from_belief
from hal9.holograph.queries.answerers import ScriptedOracle
from hal9.holograph.runs.inquiry import DiscoveryState, Settings
from hal9.holograph.spec import Problem, Variable

__all__ = ["Point", "bench_rows", "curve", "known_graph", "known_names", "problem_of"]


@dataclass(frozen=True, slots=True)
class Point:
    """Figures after some queries: of the graph drawn, and F1 at other thresholds of probability."""

    scores: Scores
    thresholds: dict[float, float]


def known_names() -> tuple[str, ...]:
    """The networks that are shipped."""
    return ("asia", "sachs", "child", "alarm")


def known_graph(name: str) -> tuple[MixedGraph, dict[str, Any]]:
    """A shipped network: its graph, and the file with its conditional probabilities and descriptions."""
    stored = json.loads(files(__package__).joinpath(f"problems/{name}.json").read_text(encoding="utf-8"))
    edges = frozenset((str(cause), str(effect)) for cause, effect in stored["edges"])
    return MixedGraph(tuple(stored["nodes"]), edges), stored


def problem_of(truth: MixedGraph, stored: dict[str, Any], *, seed: int = 0) -> Problem:
    """The network's variables in a random order, with descriptions where it has any."""
    order = list(truth.names)
    np.random.default_rng(seed).shuffle(order)
    texts = stored.get("descriptions", {})
    return Problem(tuple(Variable(name=name, description=texts.get(name, "")) for name in order))


def curve(
    truth: MixedGraph, problem: Problem, *, accuracy: float, checkpoints: tuple[int, ...], seed: int
) -> dict[int, Point]:
    """Figures after so many queries; when no question is worth asking any more, the last figures stay.

    Args:
        truth: scored against.
        problem: variables as they are presented.
        accuracy: the oracle's, stated to the planner.
        checkpoints: ascending numbers of queries.
        seed: of the oracle.
    """
    settings = Settings(
        budget_queries=checkpoints[-1], accuracy=accuracy, known_accuracy=True, abstain=0.01, fit_every=0
    )
    inquiry = DiscoveryState(problem, settings)
    oracle = ScriptedOracle(truth, accuracy, seed=seed)

    def here() -> Point:
        at = threshold_curve(lambda t: graph_from_belief(inquiry.belief, threshold=t), truth)
        return Point(score(inquiry.graph(), truth), at)

    async def walk() -> dict[int, Point]:
        found: dict[int, Point] = {}
        for asked in range(1, checkpoints[-1] + 1):
            choice = inquiry.choose()
            if choice is None:
                break
            reply = await oracle.ask(choice.question)
            if reply.answer is not None:
                inquiry.take(choice.question, reply.answer)
            if asked in checkpoints:
                found[asked] = here()
        last = here()
        return {point: found.get(point, last) for point in checkpoints}

    return asyncio.run(walk())


def bench_rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Rows of the table that `holograph bench` prints; means over orderings."""
    rows: list[dict[str, Any]] = []
    names = ("asia", "sachs") if quick else known_names()
    for name in names:
        truth, stored = known_graph(name)
        pairs = len(truth.names) * (len(truth.names) - 1) // 2
        points = tuple(
            sorted({round(pairs * 0.4), 36 if name == "sachs" else round(pairs * 0.65), pairs, 2 * pairs})
        )
        seeds = range(1 if quick else 5 if pairs < 300 else 2)
        for accuracy in (1.0, 0.8, 0.65):
            runs = [
                curve(truth, problem_of(truth, stored, seed=s), accuracy=accuracy, checkpoints=points, seed=s)
                for s in seeds
            ]
            for point in points:
                at = [run[point].scores for run in runs]
                threshold, best = best_fixed_threshold([run[point].thresholds for run in runs])
                chance = chance_scores(truth, len(truth.directed), np.random.default_rng(0))
                rows.append(
                    {
                        "graph": name,
                        "accuracy": accuracy,
                        "queries": point,
                        "f1": float(np.mean([s.f1 for s in at])),
                        "shd": float(np.mean([s.shd for s in at])),
                        "sid": float(np.mean([s.sid for s in at])),
                        "best_threshold": threshold,
                        "best_threshold_f1": best,
                        "chance_f1": chance.f1,
                        "empty_shd": len(truth.directed),
                    }
                )
    return rows
