"""Improving a graph by moving variables in its causal order.

Single additions, removals and turns of edges get stuck where several edges have to change together. In the
space of orders (Teyssier & Koller 2005) they change together by themselves: every variable takes the best
parents among those before it. Each variable is tried at every place in turn, as in best order score search
(Andrews et al. 2023).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.scores import LocalScore
from hal9.holograph.model.graph import topological_order
from hal9.holograph.model.state import FloatArray

__all__ = ["Refits", "improve_order"]

_GAIN = 1e-4
Refits = dict[tuple[int, bytes, tuple[int, ...]], tuple[NDArray[np.intp], float]]
"""Parents and term of a node, by the variables allowed and the parents that the choice started from."""


@dataclass(slots=True)
class _Order:
    """An order; per variable its parents among those before it, and its term with the language's gain."""

    scorer: LocalScore
    language: FloatArray
    order: list[int]
    parents: list[NDArray[np.intp]]
    terms: FloatArray
    known: Refits

    def copy(self) -> "_Order":
        return replace(self, order=self.order.copy(), parents=self.parents.copy(), terms=self.terms.copy())

    def refit(self, node: int, allowed: NDArray[np.bool_]) -> None:
        """Greedy parents of a node among the allowed, from those of its present ones that are."""
        parents = self.parents[node]
        parents = parents[allowed[parents]]
        key = (node, allowed.tobytes(), tuple(parents.tolist()))
        if key not in self.known:
            self.known[key] = self._chosen(node, allowed, parents)
        self.parents[node], self.terms[node] = self.known[key]

    def _chosen(
        self, node: int, allowed: NDArray[np.bool_], parents: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], float]:
        bonus = self.language[:, node]
        while True:
            gains = self.scorer.additions(node, parents)
            base = float(gains[node])
            gains = gains - base + bonus
            gains[~allowed] = -np.inf
            gains[parents] = -np.inf
            best = int(np.argmax(gains))
            if gains[best] > _GAIN:
                parents = np.append(parents, best)
                continue
            kept = self._without_worst(node, parents, base)
            if kept is None:
                break
            parents = kept
        return parents, base + float(bonus[parents].sum())

    def _without_worst(self, node: int, parents: NDArray[np.intp], base: float) -> NDArray[np.intp] | None:
        if not parents.size:
            return None
        gains = self.scorer.removals(node, parents) - base - self.language[parents, node]
        worst = int(np.argmax(gains))
        return np.delete(parents, worst) if gains[worst] > _GAIN else None

    def swap(self, place: int) -> None:
        """Exchange the variables at a place and the next, and fit both again."""
        earlier, later = self.order[place], self.order[place + 1]
        self.order[place], self.order[place + 1] = later, earlier
        allowed = np.zeros(len(self.order), dtype=bool)
        allowed[self.order[:place]] = True
        if earlier in self.parents[later]:
            self.refit(later, allowed)
        # The parents of the earlier one were chosen without the later; only that one addition is new.
        gains = self.scorer.additions(earlier, self.parents[earlier])
        if gains[later] - gains[earlier] + self.language[later, earlier] > _GAIN:
            allowed[later] = True
            self.refit(earlier, allowed)

    def total(self) -> float:
        return float(self.terms.sum())


def _best_place(state: _Order, node: int) -> _Order:
    """The node at the place that suits best, the others keeping their order."""
    start = state.order.index(node)
    best, trial = state, state.copy()
    for place in range(start - 1, -1, -1):
        trial.swap(place)
        if trial.total() > best.total() + _GAIN:
            best = trial.copy()
    trial = state.copy()
    for place in range(start, len(state.order) - 1):
        trial.swap(place)
        if trial.total() > best.total() + _GAIN:
            best = trial.copy()
    return best


def improve_order(
    scorer: LocalScore,
    adjacency: NDArray[np.bool_],
    language: FloatArray,
    *,
    passes: int = 6,
    known: Refits | None = None,
) -> NDArray[np.bool_]:
    """A graph at least as good as the given one.

    All of shape (variables, variables).

    Args:
        scorer: data score.
        adjacency: DAG to start from, [source, target].
        language: gain per edge.
        passes: most rounds over all variables.
        known: choices of parents that were made before under the same score and language.
    """
    size = adjacency.shape[0]
    order = topological_order(adjacency) or list(range(size))
    parents = [np.flatnonzero(adjacency[:, node]).astype(np.intp) for node in range(size)]
    terms = np.array(
        [scorer.local(k, parents[k]) + float(language[parents[k], k].sum()) for k in range(size)]
    )
    state = _Order(scorer, language, order, parents, terms, {} if known is None else known)
    for _ in range(passes):
        before = state.total()
        for node in list(state.order):
            state = _best_place(state, node)
        if state.total() <= before + _GAIN:
            break
    found = np.zeros((size, size), dtype=bool)
    for node in range(size):
        found[state.parents[node], node] = True
    return found
