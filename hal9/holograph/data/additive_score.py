"""Scores of additive models: curved effects, categories beside numbers, noise that is not Gaussian.

Every variable is a block of features: a number and orthogonal polynomials of its ranks, or the indicators
of a category. A number is regressed on the blocks of its parents and scored by its residual variance (as in
CAM, Bühlmann et al. 2014) and, where noise is not Gaussian, by the residual's negentropy too (the likelihood
of LiNGAM, Hyvärinen 2010); a category by the likelihood of its levels (`category_likelihood`). With curves,
categories or such noise directions differ in score that a linear Gaussian score cannot tell apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from hal9.holograph.data.category_likelihood import Levels, level_likelihood
from hal9.holograph.data.dependence import spread_dependence
from hal9.holograph.data.moments import Moments
from hal9.holograph.data.noise_shape import NARROW, WIDE, has_density, negentropy
from hal9.holograph.data.table import Table
from hal9.holograph.model.state import FloatArray

__all__ = ["AdditiveScore", "Features"]

_CURVES = 4
"""Polynomials of a number's ranks besides the number itself."""
_SAMPLE = 3000
"""Rows that negentropies are worked out from at most."""
_KEPT = 8_000_000
_NEAR = -4.0
"""Gain in nats by variances alone below which a candidate's effect on the noise's shape, or on the likelihood
of levels, is not looked at."""

Set = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Features:
    """Blocks of equally many columns, padded with zeros.

    Attributes:
        values: standardised, shape (rows, n * width). width: columns per variable.
        used: per variable, how many columns of its block are features. target: how many are scored.
        levels: per variable, the levels of a category, None of a number.
        graded: per variable, whether it is a number that looks drawn from a density: its noise has a shape.
        curved: whether numbers have polynomials.
    """

    values: FloatArray
    width: int
    used: NDArray[np.intp]
    target: NDArray[np.intp]
    levels: tuple[Levels | None, ...]
    graded: NDArray[np.bool_]
    curved: bool = False

    @classmethod
    def of(cls, table: Table, *, curved: bool) -> "Features":
        """The features of a table.

        Args:
            table: data.
            curved: whether numbers get polynomials of their ranks.
        """
        blocks, target, graded = [], [], []
        levels: list[Levels | None] = []
        for column, categorical in zip(table.values.T, table.categories(), strict=True):
            graded.append(not categorical and has_density(column))
            if categorical:
                found, indicators = Levels.of(column)
                blocks.append(indicators)
                levels.append(found)
                target.append(indicators.shape[1])
                continue
            levels.append(None)
            parts = [column]
            if curved and np.unique(column).size > 2 + _CURVES:
                place = 2.0 * (rankdata(column) - 0.5) / column.size - 1.0
                basis = np.polynomial.legendre.legvander(place, _CURVES + 1)
                parts += list(basis[:, 2:].T)
            blocks.append(np.column_stack(parts))
            target.append(1)
        width = max(block.shape[1] for block in blocks)
        values = np.zeros((table.rows, width * len(blocks)))
        for k, block in enumerate(blocks):
            spread = block.std(axis=0)
            scaled = (block - block.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            values[:, k * width : k * width + block.shape[1]] = scaled
        used = np.array([block.shape[1] for block in blocks], dtype=np.intp)
        return cls(
            values, width, used, np.array(target, dtype=np.intp), tuple(levels), np.array(graded), curved
        )


class AdditiveScore:
    """Local terms of additive models.

    Attributes:
        table: data. log_odds: log prior odds of an edge.
        features: of the variables. shaped: whether the noise's shape counts.
        equivalent: whether graphs of one equivalence class score alike.
        window: of the spacings by which shapes are measured, see `negentropy`.
    """

    def __init__(
        self,
        table: Table,
        log_odds: float = 0.0,
        *,
        features: Features,
        shaped: bool,
        moments: Moments | None = None,
        window: float = WIDE,
    ) -> None:
        self.table, self.log_odds, self.features, self.shaped = table, log_odds, features, shaped
        self.equivalent = not shaped and not features.curved
        if moments is None:
            moments = Moments(np.asarray(features.values.T @ features.values) / table.rows)
        self.moments, self.window = moments, window
        self.size = len(table.names)
        self._step = max(1, table.rows // _SAMPLE)
        self._sample = features.values[:: self._step]
        self._added: dict[tuple[int, Set], FloatArray] = {}
        self._shape: dict[tuple[int, Set], float] = {}
        self._local: dict[tuple[int, Set], float] = {}

    def with_log_odds(self, log_odds: float) -> "AdditiveScore":
        """The same with other prior odds of an edge."""
        return AdditiveScore(
            self.table, log_odds, features=self.features, shaped=self.shaped, moments=self.moments
        )

    def for_directions(self) -> "AdditiveScore":
        """The same with shapes measured finely, to tell directions of edges that are settled.

        Fine measures of two residuals differ more by chance, so that edges would be found that are none.
        """
        return AdditiveScore(
            self.table,
            self.log_odds,
            features=self.features,
            shaped=self.shaped,
            moments=self.moments,
            window=NARROW,
        )

    def _columns(self, parents: Set) -> Set:
        width = self.features.width
        return tuple(p * width + k for p in parents for k in range(int(self.features.used[p])))

    def _penalty(self, node: int, degrees: Any, parents: Any) -> FloatArray:
        """Of so many coefficients per scored column, and so many parents."""
        bic = 0.5 * np.log(self.table.effective) * float(self.features.target[node])
        return np.asarray(self.log_odds * parents - bic * degrees)

    def _own(self, node: int) -> slice:
        start = node * self.features.width
        return slice(start, start + int(self.features.target[node]))

    def _of_levels(self, node: int, levels: Levels, parents: Set) -> float:
        """Term of a category: numbers act on its odds in straight lines or, where that pays, in curves.

        Few curves bend odds much; charged for their polynomials, numbers would hardly ever cause a category.
        """
        count, chosen = self.table.effective, list(parents)
        if not parents:
            return float(self._penalty(node, 0.0, 0.0)) - count * levels.entropy
        codes, correlation = levels.codes[:: self._step], self.moments.correlation
        best = -np.inf
        for width in {tuple(self.features.target[chosen]), tuple(self.features.used[chosen])}:
            starts = np.array(parents, dtype=np.intp) * self.features.width
            columns = np.concatenate([start + np.arange(w) for start, w in zip(starts, width, strict=True)])
            within, across = correlation[np.ix_(columns, columns)], correlation[self._own(node), columns]
            fit = level_likelihood(levels, self._sample[:, columns], within, across, codes)
            best = max(best, count * fit + float(self._penalty(node, float(columns.size), len(parents))))
        return best

    def _of_number(self, node: int, parents: Set) -> float:
        """Term of a number."""
        fit = -0.5 * self._spread(node, parents)
        fit += self.shape(node, parents) if self._shaped(node) else 0.0
        degrees = float(self.features.used[list(parents)].sum())
        return float(self.table.effective * fit + self._penalty(node, degrees, float(len(parents))))

    def _spread(self, node: int, parents: Set) -> float:
        """Log determinant of the residual covariance."""
        rows, _ = self.moments.given(self._columns(parents))
        own = self._own(node)
        left = self.moments.correlation[own, own] - rows[:, own].T @ rows[:, own]
        return float(_logdet(left[None])[0])

    def shape(self, node: int, parents: Set) -> float:
        """Negentropy of a number's residual, in nats per row."""
        key = (node, parents)
        if key not in self._shape:
            self._shape[key] = negentropy(self.left_over(node, parents), self.window)
        return self._shape[key]

    def left_over(self, node: int, parents: Set) -> FloatArray:
        """Residuals of a node's own column given its parents, in some of the rows at most."""
        columns = np.array(self._columns(parents), dtype=np.intp)
        target = self._sample[:, node * self.features.width]
        if columns.size:
            slopes = self.moments.slopes(node * self.features.width, columns)
            target = target - self._sample[:, columns] @ slopes
        return np.asarray(target, dtype=np.float64)

    def spread_by(self, node: int, parents: Set, cause: int) -> float:
        """By how many nats the size of a number's residual depends on one of its parents."""
        return spread_dependence(self.left_over(node, parents), self._sample[:, cause * self.features.width])

    def _shaped(self, node: int) -> bool:
        return self.shaped and bool(self.features.graded[node])

    def local(self, node: int, parents: NDArray[np.intp]) -> float:
        """Local term in nats. `parents` has shape (parents,)."""
        chosen = tuple(sorted(parents.tolist()))
        key = (node, chosen)
        if key not in self._local:
            levels = self.features.levels[node]
            self._local[key] = (
                self._of_number(node, chosen) if levels is None else self._of_levels(node, levels, chosen)
            )
        return self._local[key]

    def removals(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term without each of the parents in turn, shape (parents,)."""
        return np.array([self.local(node, parents[parents != parent]) for parent in parents])

    def additions(self, node: int, parents: NDArray[np.intp]) -> FloatArray:
        """Local term with each other variable added; entry [node] is the term of the parents alone.

        Of shape (parents,) into (variables,).
        """
        chosen = tuple(sorted(parents.tolist()))
        key = (node, chosen)
        if key not in self._added:
            if len(self._added) * self.size > _KEPT:
                self._added.clear()
            self._added[key] = self._all_additions(node, chosen)
        return self._added[key].copy()

    def _all_additions(self, node: int, chosen: Set) -> FloatArray:
        size, count = self.size, self.table.effective
        others = np.ones(size, dtype=bool)
        others[[node, *chosen]] = False
        base = self.local(node, np.array(chosen, dtype=np.intp))
        gains = self._by_variances(node, chosen, self.features.used, others)
        if self.features.levels[node] is not None:
            if self.features.curved:
                straight = self._by_variances(node, chosen, self.features.target, others)
                gains = np.maximum(gains, straight)
            terms = base + gains
            for other in np.flatnonzero(others & (gains > _NEAR)):
                terms[other] = self.local(node, np.array([*chosen, int(other)], dtype=np.intp))
        else:
            terms = base + gains
            if self._shaped(node):
                now = self.shape(node, chosen)
                for other in np.flatnonzero(others & (gains > _NEAR)):
                    terms[other] += count * (self.shape(node, tuple(sorted((*chosen, int(other))))) - now)
        terms[~others] = base
        return np.asarray(terms, dtype=np.float64)

    def _by_variances(
        self, node: int, chosen: Set, widths: NDArray[np.intp], others: NDArray[np.bool_]
    ) -> FloatArray:
        """Gain in nats of each other variable besides the chosen, after its cost, by variances alone.

        Args:
            node: whose term gains.
            chosen: its parents.
            widths: per variable, how many columns of its block are looked at.
            others: which variables may be added, shape (variables,).
        """
        width, size, most = self.features.width, self.size, int(widths.max())
        blocks = np.arange(size)[:, None] * width + np.arange(most)
        unused = np.arange(most) >= widths[:, None]
        held = [p * width + k for p in chosen for k in range(int(widths[p]))]
        rows, _ = self.moments.given(tuple(held))
        correlation, own = self.moments.correlation, self._own(node)
        parts = rows[:, blocks]
        inner = correlation[blocks[:, :, None], blocks[:, None, :]] - np.einsum("mja,mjb->jab", parts, parts)
        inner[unused[:, :, None] | unused[:, None, :]] = 0.0
        # Columns that are not looked at, or that the parents determine, add nothing.
        inner += np.where(np.einsum("jaa->ja", inner) > 1e-9, 1e-9, 1.0)[:, :, None] * np.eye(most)
        across = (correlation[own] - rows[:, own].T @ rows)[:, blocks]
        across = np.where(unused, 0.0, across).transpose(1, 2, 0)
        left = correlation[own, own] - rows[:, own].T @ rows[:, own]
        explained = np.einsum("jkt,jks->jts", across, np.linalg.solve(inner, across))
        after = np.where(others[:, None, None], left[None] - explained, left[None])
        gains = -0.5 * self.table.effective * (_logdet(after) - _logdet(left[None]))
        gains += self._penalty(node, float(len(held)) + widths, len(chosen) + 1.0)
        return np.asarray(gains - self._penalty(node, float(len(held)), float(len(chosen))), dtype=np.float64)


def _logdet(matrices: FloatArray) -> FloatArray:
    """Log determinants of covariances, shape (k, t, t), with a floor for what is determined."""
    if matrices.shape[1] == 1:
        return np.asarray(np.log(np.maximum(matrices[:, 0, 0], 1e-6)), dtype=np.float64)
    raised = matrices + 1e-6 * np.eye(matrices.shape[1])
    return np.asarray(np.linalg.slogdet(raised)[1], dtype=np.float64)
