"""Whether references still link files: how many edges there are, and how much of PageRank's mass they move.

References are resolved twice (see docs/ripmap-ranking.md), and a run that distrusts references everywhere may
leave graphs that say nothing. That shows in no score at once, so it is looked at by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hal9.passing import personalized_pagerank
from hal9.ripmap.index.index_data import IndexData
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.postings.symbols import resolve
from hal9.ripmap.ranking.features import file_graph
from hal9.trainer.evaluation.evaluator import TrainingEvaluator

__all__ = ["GraphHealth", "graph_health", "shapes_graphs"]

_TREES = 3
_LIVE = 0.05
"""A reference of less certainty links nothing: what focus and the file graph leave out."""
_SHAPING = ("shadow_", "final_", "pagerank_alpha")


@dataclass(frozen=True, slots=True)
class GraphHealth:
    """Means over a few repositories.

    Attributes:
        shadow, final: links by references per file, in the pass that favours recall and in the other.
        mass: how much of PageRank's mass lies elsewhere than where walks begin, 0 to 1.
    """

    shadow: float
    final: float
    mass: float

    def to_json(self) -> dict[str, float]:
        """All fields."""
        return {"shadow": self.shadow, "final": self.final, "mass": self.mass}


def shapes_graphs(names: Sequence[str] | Mapping[str, object]) -> bool:
    """Whether one of these parameters decides which references count."""
    return any(name.startswith(_SHAPING) for name in names)


def graph_health(evaluator: TrainingEvaluator, parameters: Parameters) -> GraphHealth:
    """Look at the graphs of the first repositories under some parameters."""
    trees: dict[str, IndexData] = {}
    for item, owner in zip(evaluator.prepared, evaluator.repositories, strict=True):
        trees[owner] = item.evidence.index_data  # of a history, the latest commit's
    rows = [_row(tree, parameters) for tree in list(trees.values())[:_TREES]]
    shadow, final, mass = (float(np.mean(column)) for column in zip(*rows, strict=True))
    return GraphHealth(shadow, final, mass)


def _row(tree: IndexData, parameters: Parameters) -> tuple[float, float, float]:
    count = max(1, len(tree.paths))
    links = (_links(tree, parameters, "shadow") / count, _links(tree, parameters, "final") / count)
    graph = file_graph(tree, parameters)
    scores = personalized_pagerank(graph, alpha=parameters["pagerank_alpha"]).scores
    return links[0], links[1], float(np.abs(scores - 1.0 / count).sum() / 2)


def _links(tree: IndexData, parameters: Parameters, which: Literal["shadow", "final"]) -> int:
    candidates = tree.candidates
    confidence, weight = resolve(candidates, parameters, which)
    certain = np.minimum(confidence, 1.0) * np.minimum(weight, 1.0)
    source = tree.file_of_node(candidates.source)
    target = tree.symbols.file_index[candidates.target]
    live = (certain > _LIVE) & (source != target)
    return len(np.unique(np.stack([source[live], target[live]]), axis=1).T)
