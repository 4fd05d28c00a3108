"""Which variables share a hidden cause: a search over mixed graphs.

A hidden common cause of two variables is a bidirected edge, a covariance of their errors. A score of DAGs
pays for it with superfluous edges: besides one between the two it needs one from every cause of the earlier
variable to the later. The Gaussian likelihood of a mixed graph tells them apart. It is a sum over districts
(variables joined by bidirected edges), and every district is fitted by residual iterative conditional fitting
(Drton, Eichler & Richardson 2009); comparing mixed graphs by a penalised likelihood follows Nowzohour et al.
(2017).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hal9.holograph.data.moments import Moments
from hal9.holograph.model.graph import reachable, topological_order
from hal9.holograph.model.state import FloatArray

__all__ = ["DistrictFit", "MixedFound", "MixedSearch", "fit_district", "fit_mixed"]

_FLOOR = 1e-6
"""Least share of a variable's variance that is left to its error."""
_GAIN = 1e-4

Matrix = NDArray[np.bool_]
Links = tuple[tuple[int, ...], ...]
"""For each member of a district, sorted variables that it is joined with."""


@dataclass(frozen=True, slots=True)
class DistrictFit:
    """A district at its greatest likelihood.

    Attributes:
        value: log-likelihood per row, without constants.
        weights: rows of W of the members over all variables, shape (members, n).
        noise: covariance of the members' errors, shape (members, members).
        worth: per member, about how many nats per row each of its parents adds.
    """

    value: float
    weights: FloatArray
    noise: FloatArray
    worth: tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class MixedFound:
    """Directed edges [source, target], bidirected edges (symmetric), and their score in nats."""

    directed: Matrix
    both: Matrix
    total: float


def fit_district(
    sample: FloatArray, members: tuple[int, ...], parents: Links, spouses: Links, *, sweeps: int = 30
) -> DistrictFit:
    """Residual iterative conditional fitting of one district.

    In turn every member is regressed on its parents and, for the covariances of its error, on pseudo-values
    made of the other members' errors; the likelihood never falls.

    Args:
        sample: correlations of all variables, shape (n, n).
        members: variables of the district.
        parents: per member; they may lie inside or outside of the district.
        spouses: per member, the members that its error covaries with.
        sweeps: most rounds over the members.
    """
    size, count = sample.shape[0], len(members)
    errors = np.zeros((count, size))
    noise = np.eye(count)
    worth: list[FloatArray] = [np.zeros(0)] * count
    for a, member in enumerate(members):
        errors[a], noise[a, a], worth[a], _ = _regression(sample, member, parents[a], np.zeros((0, size)))
    value = _log_likelihood(sample, errors, noise)
    place = {member: a for a, member in enumerate(members)}
    joined = [[place[s] for s in spouses[a]] for a in range(count)]
    for _ in range(sweeps if count > 1 else 0):
        for a, member in enumerate(members):
            rest = [b for b in range(count) if b != a]
            inner = noise[np.ix_(rest, rest)]
            chosen = [rest.index(b) for b in joined[a]]
            pseudo: FloatArray = np.asarray(np.linalg.solve(inner, errors[rest])[chosen], dtype=np.float64)
            errors[a], left, worth[a], shared = _regression(sample, member, parents[a], pseudo)
            covariances = np.zeros(len(rest))
            covariances[chosen] = shared
            noise[a, rest] = noise[rest, a] = covariances
            noise[a, a] = left + float(covariances @ np.linalg.solve(inner, covariances))
        before, value = value, _log_likelihood(sample, errors, noise)
        if value - before < 1e-6:
            break
    weights = -errors
    weights[np.arange(count), list(members)] = 0.0
    return DistrictFit(value, weights, noise, tuple(worth))


def _regression(
    sample: FloatArray, member: int, parents: tuple[int, ...], pseudo: FloatArray
) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """Error row, residual variance, worth of each parent, and coefficients of the pseudo-variables."""
    chosen = list(parents)
    count = len(chosen)
    mixed = pseudo @ sample
    gram = np.empty((count + pseudo.shape[0],) * 2)
    gram[:count, :count] = sample[np.ix_(chosen, chosen)]
    gram[count:, :count] = mixed[:, chosen]
    gram[:count, count:] = gram[count:, :count].T
    gram[count:, count:] = mixed @ pseudo.T
    gram[np.diag_indices_from(gram)] += 1e-10
    target = np.concatenate([sample[chosen, member], mixed[:, member]])
    # One factorisation serves the coefficients and their variances.
    solved = np.linalg.solve(gram, np.column_stack([target, np.eye(target.size)]))
    coefficients, spread = solved[:, 0], np.diag(solved[:, 1:])
    left = max(_FLOOR, float(sample[member, member] - coefficients @ target))
    worth = 0.5 * np.log1p(coefficients**2 / (np.maximum(spread, 1e-12) * left))
    row = np.zeros(sample.shape[0])
    row[member] = 1.0
    row[chosen] = -coefficients[:count]
    return row, left, worth[:count], coefficients[count:]


def _log_likelihood(sample: FloatArray, errors: FloatArray, noise: FloatArray) -> float:
    sign, logdet = np.linalg.slogdet(noise)
    if sign <= 0:
        return float("-inf")
    return float(-0.5 * (logdet + np.trace(np.linalg.solve(noise, errors @ sample @ errors.T))))


def fit_mixed(sample: FloatArray, directed: Matrix, both: Matrix) -> tuple[FloatArray, FloatArray]:
    """W and M of a mixed graph at its greatest likelihood; every entry without an edge is zero.

    Args:
        sample: correlations or covariances, shape (n, n).
        directed: [source, target].
        both: bidirected edges, symmetric.
    """
    size = sample.shape[0]
    weights, noise = np.zeros((size, size)), np.zeros((size, size))
    for district in {tuple(sorted(_district(both, node))) for node in range(size)}:
        fit = fit_district(sample, *_links(directed, both, district), sweeps=200)
        weights[list(district)] = fit.weights
        noise[np.ix_(district, district)] = fit.noise
    return weights, noise


def _district(both: Matrix, node: int) -> frozenset[int]:
    """A variable with all that it is joined with by bidirected edges."""
    found, waiting = {node}, [node]
    while waiting:
        for other in np.flatnonzero(both[waiting.pop()]):
            if int(other) not in found:
                found.add(int(other))
                waiting.append(int(other))
    return frozenset(found)


def _links(directed: Matrix, both: Matrix, district: tuple[int, ...]) -> tuple[tuple[int, ...], Links, Links]:
    parents = tuple(tuple(np.flatnonzero(directed[:, m]).tolist()) for m in district)
    spouses = tuple(tuple(np.flatnonzero(both[m]).tolist()) for m in district)
    return district, parents, spouses


@dataclass(slots=True)
class MixedSearch:
    """Climbs over acyclic mixed graphs.

    Attributes:
        sample: correlations, shape (n, n). rows: how many rows they come from.
        direct: gain in nats of drawing source→target besides the likelihood, shape (n, n), [source, target].
        shared: gain in nats of drawing a bidirected edge, shape (n, n), symmetric.
        bow: correction of the two where both are drawn, shape (n, n), [source, target].
        turns: whether edges may be turned; this likelihood knows nothing of equal error variances.
    """

    sample: FloatArray
    rows: float
    direct: FloatArray
    shared: FloatArray
    bow: FloatArray
    turns: bool = True
    _fits: dict[tuple[tuple[int, ...], Links, Links], DistrictFit] = field(default_factory=dict)
    _plain: bool = False
    _moments: Moments = field(init=False)
    _reach: tuple[bytes, Matrix] = field(default_factory=lambda: (b"", np.zeros((0, 0), dtype=bool)))

    def __post_init__(self) -> None:
        """See whether every pair has the same prior, so that the DAGs have been searched already."""
        self._plain = bool(np.ptp(self.direct) == 0)
        self._moments = Moments(self.sample)

    def climb(self, directed: Matrix, both: Matrix | None = None, *, passes: int = 10) -> MixedFound:
        """The best graph found from an acyclic one.

        Args:
            directed: [source, target]; where every pair has the same prior, one that a search over acyclic
                graphs has found: what needs no hidden cause is then not looked for again.
            both: bidirected edges, symmetric; none by default.
            passes: most rounds over the pairs.
        """
        now = (directed, np.zeros_like(directed) if both is None else both)
        order = topological_order(directed) or []
        place = np.argsort(np.array(order, dtype=np.intp))
        for _ in range(passes):
            gains = []
            for group in self._candidates(*now):
                gain, _ = self._better(now, group, place)
                if gain > _GAIN:
                    gains.append((gain, group))
            for _, group in sorted(gains, reverse=True):
                gain, found = self._better(now, group, place)
                now = found if gain > _GAIN else now
            if not gains:
                break
        return MixedFound(*now, self._total(*now, range(directed.shape[0])))

    def support(self, found: MixedFound, first: int, second: int) -> float:
        """Probability of a bidirected edge of the graph against its best alternative without that edge."""
        now = (found.directed, found.both)
        nodes = _district(found.both, first)
        before = self._total(*now, nodes)
        place = np.zeros(found.directed.shape[0], dtype=np.intp)
        best = -np.inf
        for directed, both in self._tries(now, (first, second), place):
            if not both[first, second]:
                best = max(best, self._total(self._pruned(directed, both, nodes), both, nodes) - before)
        return float(1.0 / (1.0 + np.exp(best)))

    def _candidates(self, directed: Matrix, both: Matrix) -> list[tuple[int, ...]]:
        """Pairs that are joined, spoken for, or whose errors are not yet independent; and joined triples."""
        size = directed.shape[0]
        errors = np.eye(size)
        for district in self._districts(both, range(size)):
            errors[list(district)] -= self._fit(directed, both, district).weights
        mixed = errors @ self.sample
        spread = np.sqrt(np.maximum(np.einsum("ij,ij->i", mixed, errors), _FLOOR))
        inner = np.abs(mixed @ errors.T) / np.outer(spread, spread)
        outer = np.abs(mixed) / np.outer(spread, np.ones(size))
        depend = np.maximum(inner, np.maximum(outer, outer.T)) > 2.0 / np.sqrt(self.rows)
        joined = directed | directed.T | both
        spoken = (self.shared > 0) | (self.direct > 0) | (self.direct.T > 0)
        pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(joined | spoken | depend, 1))]
        triples = [
            (a, b, int(c))
            for a, b in pairs
            if joined[a, b]
            for c in np.flatnonzero(joined[a] & joined[b])
            if c > b
        ]
        return [*pairs, *triples]

    def _better(
        self, now: tuple[Matrix, Matrix], group: tuple[int, ...], place: NDArray[np.intp]
    ) -> tuple[float, tuple[Matrix, Matrix]]:
        """What gains most among the states of a pair, or one hidden cause of a triple, pruned."""
        nodes: set[int] = set()
        for node in group:
            nodes |= _district(now[1], node)
        before = self._total(*now, nodes)
        best, choice = 0.0, now
        if len(nodes) == len(group) and self._plain and self._bound(now, group, place) <= _GAIN:
            return best, choice
        for directed, both in self._tries(now, group, place):
            kept = self._pruned(directed, both, nodes)
            gain = self._total(kept, both, nodes) - before
            if gain > best:
                best, choice = gain, (kept, both)
        return best, choice

    def _bound(self, now: tuple[Matrix, Matrix], group: tuple[int, ...], place: NDArray[np.intp]) -> float:
        """About the most that a hidden cause of variables without one can gain over a good DAG, in nats.

        Errors that covary are a density per variable, given the errors before it: at best a regression on its
        own parents, the variables before it and their parents. Of the edges those among the variables may go,
        those from parents that an earlier one has too, and others for what they explain.
        """
        ordered = sorted(group, key=lambda k: place[k])
        best = self._bound_in_order(now[0], ordered)
        if len(group) == 2 and self.turns and not self._leads(now[0], ordered[0], ordered[1]):
            best = max(best, self._bound_in_order(now[0], ordered[::-1]))
        shared = sum(float(self.shared[a, b]) - 0.5 * np.log(self.rows) for a, b in combinations(group, 2))
        return float(best + shared)

    def _bound_in_order(self, directed: Matrix, ordered: Sequence[int]) -> float:
        gain, earlier = 0.0, np.zeros(directed.shape[0], dtype=bool)
        inside = np.zeros(directed.shape[0], dtype=bool)
        inside[list(ordered)] = True
        for node in ordered:
            parents = directed[:, node]
            allowed = earlier | (parents & ~inside)
            gain += self._explained(node, allowed) - self._explained(node, parents)
            for parent in np.flatnonzero(parents):
                cost = 0.5 * np.log(self.rows) - float(self.direct[parent, node])
                if inside[parent] or earlier[parent]:
                    gain += cost
                else:
                    without = allowed.copy()
                    without[parent] = False
                    lost = self._explained(node, allowed) - self._explained(node, without)
                    gain += max(0.0, cost - lost)
            earlier = allowed.copy()
            earlier[node] = True
        return gain

    def _explained(self, node: int, given: Matrix) -> float:
        """Log-likelihood of a variable regressed on others, without constants."""
        return (
            -0.5 * self.rows * float(np.log(self._moments.share(node, tuple(np.flatnonzero(given).tolist()))))
        )

    def _tries(
        self, now: tuple[Matrix, Matrix], group: tuple[int, ...], place: NDArray[np.intp]
    ) -> Iterator[tuple[Matrix, Matrix]]:
        if len(group) > 2:
            spots = np.ix_(group, group)
            for keep in (False, True):
                directed, both = now[0].copy(), now[1].copy()
                directed[spots] &= keep
                both[spots] = ~np.eye(len(group), dtype=bool)
                yield directed, both
            return
        for a, b in (group, group[::-1]):
            for edge, joined in ((False, False), (False, True), (True, False), (True, True)):
                if (now[0][a, b], now[0][b, a], now[1][a, b]) == (edge, False, joined):
                    continue
                if not edge and a > b:
                    continue
                directed, both = now[0].copy(), now[1].copy()
                directed[a, b], directed[b, a] = edge, False
                both[a, b] = both[b, a] = joined
                if edge and not now[0][a, b]:
                    if not self.turns and place[a] > place[b]:
                        continue
                    if self._leads(now[0], b, a):
                        continue
                yield directed, both

    def _leads(self, directed: Matrix, source: int, target: int) -> bool:
        """Whether a path of edges other than source→target leads from the source to the target."""
        key = directed.tobytes()
        if self._reach[0] != key:
            self._reach = key, reachable(directed)
        steps = directed[source] & self._reach[1][:, target]
        return bool(np.count_nonzero(steps) > int(directed[source, target]))

    def _pruned(self, directed: Matrix, both: Matrix, nodes: Iterable[int]) -> Matrix:
        """Without parents of the nodes that are not worth their cost, least first."""
        kept = directed.copy()
        while True:
            worst, choice = -_GAIN, None
            for district in self._districts(both, nodes):
                fit = self._fit(kept, both, district)
                for member, worth in zip(district, fit.worth, strict=True):
                    parents = np.flatnonzero(kept[:, member])
                    if parents.size == 0:
                        continue
                    gains = self.rows * worth + self._edge(parents, member, both)
                    least = int(np.argmin(gains))
                    if gains[least] < worst:
                        worst, choice = float(gains[least]), (int(parents[least]), member)
            if choice is None:
                return kept
            kept[choice] = False

    def _edge(self, sources: NDArray[np.intp], target: int, both: Matrix) -> FloatArray:
        bows = np.where(both[sources, target], self.bow[sources, target], 0.0)
        return np.asarray(self.direct[sources, target] + bows - 0.5 * np.log(self.rows))

    def _districts(self, both: Matrix, nodes: Iterable[int]) -> set[tuple[int, ...]]:
        return {tuple(sorted(_district(both, node))) for node in nodes}

    def _fit(self, directed: Matrix, both: Matrix, district: tuple[int, ...]) -> DistrictFit:
        key = _links(directed, both, district)
        if key not in self._fits:
            self._fits[key] = fit_district(self.sample, *key)
        return self._fits[key]

    def _total(self, directed: Matrix, both: Matrix, nodes: Iterable[int]) -> float:
        """Score of the districts that the nodes are in."""
        total = 0.0
        for district in self._districts(both, nodes):
            total += self.rows * self._fit(directed, both, district).value
            for member in district:
                parents = np.flatnonzero(directed[:, member])
                total += float(self._edge(parents, member, both).sum())
                spouses = np.flatnonzero(both[member])
                total += 0.5 * float((self.shared[member, spouses] - 0.5 * np.log(self.rows)).sum())
        return total
