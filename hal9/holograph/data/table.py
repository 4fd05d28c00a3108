"""Observational and interventional tables, and what they say about pairs and graphs."""

import csv
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import TableInvalid, TooFewRows
from hal9.holograph.model.state import FloatArray

__all__ = ["INTERVENED", "Table", "read_table"]

INTERVENED = "intervened"
"""Optional column that names the variable set by intervention in that row; empty for observed rows."""
Scale = Literal["auto", "gaussian", "discrete"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers.

    Attributes:
        names: variables, one per column. values: shape (rows, n).
        targets: per row, the column that was set by intervention, or -1.
        discrete: whether all columns are codes of categories.
        categorical: per column, whether it is, in a table that has numbers too; empty when none is.
        linear: whether only linear Gaussian scores are to be tried, whatever the columns look like.
        ordered: whether rows stand in the order in which they were taken, so that likeness of rows that
            follow each other is to be looked for.
        worth: how many independent rows a row counts for.
    """

    names: tuple[str, ...]
    values: FloatArray
    targets: NDArray[np.intp]
    discrete: bool
    categorical: tuple[bool, ...] = ()
    linear: bool = False
    ordered: bool = False
    worth: float = 1.0

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        values: FloatArray,
        *,
        targets: NDArray[np.intp] | None = None,
        scale: Scale = "auto",
    ) -> "Table":
        """From an array.

        "auto" takes a table whose columns all have at most 8 distinct whole numbers for categories; of one
        that has other numbers too, the columns of at most 6 that follow each other.

        `values` has shape (rows, variables), `targets` (rows,).
        """
        chosen = np.full(values.shape[0], -1, dtype=np.intp) if targets is None else targets
        discrete = scale == "discrete" or (scale == "auto" and _looks_discrete(values))
        categorical: tuple[bool, ...] = ()
        if scale == "auto" and not discrete:
            categorical = tuple(_looks_coded(column) for column in values.T)
        return cls(
            tuple(names),
            np.asarray(values, dtype=np.float64),
            chosen,
            discrete,
            categorical if any(categorical) else (),
        )

    def categories(self) -> tuple[bool, ...]:
        """Per column, whether its numbers are codes."""
        return self.categorical or (self.discrete,) * len(self.names)

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.values.shape[0])

    @property
    def effective(self) -> float:
        """How many independent rows they count for."""
        return self.rows * self.worth

    def covariance(self) -> FloatArray:
        """Correlation matrix of the observed (not intervened) rows, shape (n, n), slightly shrunk."""
        seen = self.values[self.targets < 0]
        if seen.shape[0] < 2:
            seen = self.values
        spread = seen.std(axis=0)
        scaled = (seen - seen.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        sample = scaled.T @ scaled / seen.shape[0]
        return np.asarray(0.99 * sample + 0.01 * np.eye(len(self.names)))


def _looks_discrete(values: FloatArray) -> bool:
    if not np.array_equal(values, np.round(values)):
        return False
    return all(np.unique(values[:, k]).size <= 8 for k in range(values.shape[1]))


def _looks_coded(column: FloatArray) -> bool:
    levels = np.unique(column)
    following = np.array_equal(levels, np.round(levels[0]) + np.arange(levels.size))
    return bool(2 <= levels.size <= 6 and following)


def read_table(path: Path, names: Sequence[str], *, scale: Scale = "auto") -> Table:
    """Read a CSV whose header names exactly the variables (in any order), optionally with `intervened`.

    Raises:
        TableInvalid: unreadable, a missing, unknown or repeated column, or a cell that is not a finite
        number. TooFewRows: fewer rows than twice the variables, or than ten.
    """

    def bad(problem: str, remedy: str, *, line: int = 0, column: str = "") -> TableInvalid:
        return TableInvalid(path=str(path), line=line, column=column, problem=problem, remedy=remedy)

    lines = _lines(path, bad)
    header = [cell.strip() for cell in lines[0]]
    _check_header(header, names, bad)
    place = [header.index(name) for name in names]
    marks = header.index(INTERVENED) if INTERVENED in header and INTERVENED not in names else -1
    values: list[list[float]] = []
    targets: list[int] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise bad(f"{len(cells)} cells under {len(header)} columns", "Complete the row", line=number)
        values.append([_number(cells[k], number, n, bad) for n, k in zip(names, place, strict=True)])
        target = cells[marks].strip() if marks >= 0 else ""
        if target and target not in names:
            problem = f"it intervenes on the unknown {target!r}"
            raise bad(problem, "Name a variable", line=number, column=INTERVENED)
        targets.append(list(names).index(target) if target else -1)
    needed = max(10, 2 * len(names))
    if len(values) < needed:
        raise TooFewRows(path=str(path), rows=len(values), needed=needed)
    array = np.array(values)
    for column, name in enumerate(names):
        if np.ptp(array[:, column]) == 0:
            raise bad("every row has the same value", "Leave the variable out", column=name)
    table = Table.of(names, array, targets=np.array(targets, dtype=np.intp), scale=scale)
    return replace(table, ordered=True)


def _lines(path: Path, bad: Callable[..., TableInvalid]) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad(f"it cannot be read ({error})", "Give a CSV file in UTF-8") from error
    if not lines:
        raise bad("it is empty", "Give a header and rows")
    return lines


def _number(cell: str, line: int, column: str, bad: Callable[..., TableInvalid]) -> float:
    try:
        value = float(cell)
    except ValueError:
        remedy = "Code categories as whole numbers, and leave out rows with missing values"
        raise bad(f"{cell!r} is not a number", remedy, line=line, column=column) from None
    if not np.isfinite(value):
        raise bad(f"{cell!r} is not finite", "Leave the row out", line=line, column=column)
    return value


def _check_header(header: list[str], names: Sequence[str], bad: Callable[..., TableInvalid]) -> None:
    for name in names:
        if header.count(name) > 1:
            raise bad("the column appears twice", "Keep one", line=1, column=name)
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1, cutoff=0.5)
            hint = f"Is it the column {near[0]!r}?" if near else f"The header has: {', '.join(header[:12])}"
            raise bad(f"there is no column {name!r}", hint, line=1)
    for name in header:
        if name not in names and name != INTERVENED:
            raise bad(
                "it is not a listed variable", "Remove the column or list the variable", line=1, column=name
            )
