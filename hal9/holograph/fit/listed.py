"""A table for variables that are listed elsewhere: what `discover` reads, as `fit` would."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import TableInvalid
from hal9.holograph.data.table import INTERVENED, Scale, Table
from hal9.holograph.fit.columns import prepare
from hal9.holograph.fit.reading import read_raw

__all__ = ["read_listed"]


def read_listed(path: Path, names: Sequence[str], *, scale: Scale = "auto") -> tuple[Table, list[str]]:
    """The columns of the variables, in their order, and what a reader should know of the rest.

    Texts and booleans are categories, rows that lack a value of a variable are left out, columns that are no
    variables too. A column `intervened` names the variable that was set in that row.

    Args:
        path: a CSV or Parquet file.
        names: of the variables.
        scale: "auto", or what all columns are taken for.

    Raises:
        TableInvalid: it cannot be read, or a variable's column is of no use (a copy or an exact sum of
            others, the same in every row, a date, an id).
        TooFewRows: too few rows.
        UnknownVariable: a variable has no column.
    """
    raw, file = read_raw(path), str(path)
    marks = raw.pop(INTERVENED, None) if INTERVENED not in names else None
    extra = [name for name in raw if name not in names]
    prepared = prepare(raw, columns=names, name=file)
    for name in names:
        if name in prepared.left_out:
            raise TableInvalid(
                path=file, line=0, column=name, problem=prepared.left_out[name],
                remedy="Leave the variable out, or give another column for it",
            )  # fmt: skip
    table = prepared.table
    if scale != "auto":
        table = replace(Table.of(table.names, table.values, scale=scale), ordered=True)
    if marks is not None:
        whole = [row for row in range(len(marks)) if all(raw[name][row] is not None for name in names)]
        table = replace(table, targets=_targets([marks[row] for row in whole], whole, names, file))
    notes = list(raw.notes)
    if extra:
        notes.append(f"not listed as variables, so not used: {', '.join(extra)}")
    if prepared.dropped:
        notes.append(f"{prepared.dropped} rows lack a value and are left out")
    return table, notes


def _targets(marks: list[Any], rows: list[int], names: Sequence[str], file: str) -> NDArray[np.intp]:
    place = {name: k for k, name in enumerate(names)}
    for mark, row in zip(marks, rows, strict=True):
        if mark is not None and str(mark) not in place:
            raise TableInvalid(
                path=file, line=row + 2, column=INTERVENED, problem=f"it intervenes on the unknown {mark!r}",
                remedy="Name a variable, or leave the cell empty",
            )  # fmt: skip
    return np.array([-1 if mark is None else place[str(mark)] for mark in marks], dtype=np.intp)
