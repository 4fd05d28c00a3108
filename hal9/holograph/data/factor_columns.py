"""Columns of numbers out of rows of mixed values, and how far an association with an outcome exceeds chance.

Numbers and booleans stay as they are, lopsided numbers become their ranks, and numbers of many values are
split at their thirds too, since what fails is often what is large ("words>31"); a text becomes one 0/1 column
per frequent value, named after the value ("tool=sh"); an hour of the day becomes overlapping quarters of the
clock, so that a night is one piece.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, skew

from hal9.holograph.model.state import FloatArray

__all__ = ["FactorColumns", "chance_of_association", "factor_columns", "probability_beyond_chance"]

_LEVELS = 8
_LOPSIDED = 0.5
"""Skewness from which a number's ranks stand for it."""
_SAME = 1.0 - 1e-9
_SPLITS = (1 / 3, 2 / 3)


@dataclass(slots=True)
class FactorColumns:
    """Columns with their names, and why others were left out.

    Attributes:
        names: of the columns. values: one array of shape (rows,) per column.
        left_out: by name, the reason.
        form_of: by the name of a column that is another form of a number, the number.
    """

    names: list[str] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    form_of: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, column: FloatArray) -> None:
        """Keep a column that varies."""
        if np.ptp(column) == 0:
            self.left_out[name] = "is the same in every case"
            return
        self.names.append(name[:60].replace("|", "/").replace(",", ";"))
        self.values.append(column)

    def matrix(self, rows: int) -> FloatArray:
        """All columns, shape (rows, columns)."""
        return np.array(self.values, dtype=np.float64).T.reshape(rows, len(self.values))


def factor_columns(
    rows: Sequence[Mapping[str, Any]], outcomes: Sequence[str], circular: Mapping[str, int]
) -> FactorColumns:
    """The columns of a table of cases.

    Args:
        rows: dictionaries with the same keys.
        outcomes: keys that are effects; of a text with two values the one with more of the first outcome
            names the column, which is how a person asks.
        circular: period of each key that runs round, such as 24 for an hour.
    """
    found = FactorColumns()
    first = [float(bool(row.get(outcomes[0]))) for row in rows] if outcomes else []
    outcome = np.array(first, dtype=np.float64)
    for key in rows[0]:
        raw = [row.get(key) for row in rows]
        if all(isinstance(value, bool | int | float) for value in raw):
            column = np.array(raw, dtype=np.float64)
            if not np.isfinite(column).all():
                found.left_out[key] = "has values that are not finite"
            elif key in circular and key not in outcomes:
                _add_arcs(found, key, column, circular[key])
            elif key in outcomes:
                found.add(key, column)
            else:
                _add_number(found, key, column)
        elif key in outcomes:
            found.left_out[key] = "is not a number"
        else:
            _add_levels(found, key, ["unknown" if v is None else str(v) for v in raw], outcome)
    return _without_copies(found, outcomes)


def _levelled(column: FloatArray) -> FloatArray:
    """A lopsided number as its ranks, so that a few large values do not decide; shape (rows,)."""
    if np.unique(column).size <= _LEVELS or abs(float(skew(column))) < _LOPSIDED:
        return column
    return np.asarray(rankdata(column), dtype=np.float64)


def _add_number(found: FactorColumns, key: str, column: FloatArray) -> None:
    """A number, and whether it is above its thirds as further columns."""
    before = len(found.names)
    found.add(key, _levelled(column))
    if len(found.names) == before or np.unique(column).size <= _LEVELS:
        return
    number = found.names[-1]
    for cut in sorted({float(np.quantile(column, share, method="lower")) for share in _SPLITS}):
        above = (column > cut).astype(np.float64)
        if 3 <= above.sum() <= above.size - 3:
            found.add(f"{number[:48]}>{cut:.4g}", above)
            found.form_of[found.names[-1]] = number


def _add_levels(found: FactorColumns, key: str, texts: list[str], outcome: FloatArray) -> None:
    least = max(3, len(texts) // 50)
    counts = Counter(texts)
    levels = [level for level, n in counts.most_common(_LEVELS) if least <= n <= len(texts) - least]
    if not levels:
        found.left_out[key] = "has no value that is frequent and not constant"
        return
    columns = {level: np.array([float(text == level) for text in texts]) for level in levels}
    if len(counts) == 2 and outcome.size:
        # Two values are one column, named after the one with which the outcome goes.
        levels = [max(levels, key=lambda level: float(outcome[columns[level] > 0].mean()))]
    for level in levels:
        found.add(f"{key}={level}", columns[level])


def _add_arcs(found: FactorColumns, key: str, column: FloatArray, period: int) -> None:
    """Overlapping quarters of a circle; each begins an eighth after the one before."""
    names = len(found.names)
    starts = sorted({round(k * period / 8) % period for k in range(8)})
    length = max(1, round(period / 4))
    for start in starts:
        end = (start + length) % period
        inside = ((column - start) % period < length).astype(np.float64)
        if 3 <= inside.sum() <= inside.size - 3:
            found.add(f"{key}={start}-{end}", inside)
    if len(found.names) == names:
        found.left_out[key] = "hardly varies between the cases"


def _without_copies(found: FactorColumns, outcomes: Sequence[str]) -> FactorColumns:
    """Of columns that say the same (or the opposite) the first is kept; outcomes always are."""
    kept = FactorColumns(left_out=found.left_out, form_of=found.form_of)
    for name, column in zip(found.names, found.values, strict=True):
        same = None
        if name not in outcomes:
            standard = column - column.mean()
            standard = standard / np.linalg.norm(standard)
            for other, values in zip(kept.names, kept.values, strict=True):
                rest = values - values.mean()
                likeness = abs(float(standard @ rest)) / float(np.linalg.norm(rest))
                if likeness > _SAME and other not in outcomes:
                    same = other
                    break
        if same is None:
            kept.names.append(name)
            kept.values.append(column)
        else:
            kept.left_out[name] = f"says the same as {same}"
    return kept


def chance_of_association(
    values: FloatArray,
    outcome: int,
    cause: int,
    given: NDArray[np.intp],
    candidates: NDArray[np.intp],
    *,
    draws: int = 4000,
    seed: int = 0,
) -> float:
    """How often some candidate would be associated so strongly with the outcome by chance alone.

    What the other causes leave unexplained of the outcome is shuffled (Freedman & Lane 1983), and the
    strongest partial correlation among all candidates is compared with that of the cause (Westfall & Young
    1993), so that looking at many columns is paid for.

    Args:
        values: shape (rows, columns).
        outcome: its column.
        cause: its column.
        given: columns of the outcome's other causes.
        candidates: columns that could have been named instead.
        draws: how many shuffles.
        seed: of the shuffles.

    Returns:
        A probability, at least 1 / (draws + 1).
    """
    rows = values.shape[0]
    base = np.column_stack([np.ones(rows), values[:, given]])
    q, _ = np.linalg.qr(base)
    left = values - q @ (q.T @ values)
    left[:, given] = 0.0
    length = np.linalg.norm(left, axis=0)
    scaled = left / np.where(length > 1e-9 * np.sqrt(rows), length, np.inf)
    rest = scaled[:, outcome]
    observed = abs(float(scaled[:, cause] @ rest))
    rng = np.random.default_rng(seed)
    pool = scaled[:, candidates]
    beaten = 0
    for start in range(0, draws, 500):
        count = min(500, draws - start)
        shuffled = rng.permuted(np.tile(rest, (count, 1)), axis=1)
        beaten += int((np.abs(shuffled @ pool).max(axis=1) >= observed - 1e-12).sum())
    return (1 + beaten) / (1 + draws)


def probability_beyond_chance(chance: float, prior_odds: float) -> float:
    """Probability that an association is real, at most (Sellke, Bayarri & Berger 2001).

    Args:
        chance: p-value.
        prior_odds: of a real cause, before looking.
    """
    bound = 1.0 if chance >= 1 / np.e else 1.0 / (-np.e * chance * np.log(chance))
    odds = prior_odds * bound
    return float(odds / (1.0 + odds))
