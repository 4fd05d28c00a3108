"""What each column is, and a table of numbers and categories out of those that can be used."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hal9.errors.holograph import TableInvalid, TooFewRows, UnknownVariable
from hal9.holograph.data.table import Table
from hal9.holograph.fit.copies import determined_by, nested, numbering
from hal9.holograph.fit.reading import RawTable, as_number
from hal9.holograph.model.state import FloatArray

__all__ = ["Column", "Missing", "Prepared", "impute", "prepare"]

Missing = Literal["drop", "impute", "refuse"]
Kind = Literal["number", "category"]
_DATE = re.compile(r"^\d{4}-\d\d?-\d\d?([ T].*)?$|^\d\d?[./]\d\d?[./]\d{2,4}$|^\d\d?:\d\d(:\d\d)?$")
_FEWEST_ROWS = 10
_MOST_LEVELS = 12
_BOOLEAN = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is used.

    Attributes:
        name: of the column. kind: number or category. levels: names of a category's codes.
        missing: how many values were missing.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table ready for fitting.

    Attributes:
        table: numbers and codes. columns: what each is. left_out: by name, why a column is not used.
        notes: what a reader should know. dropped: rows left out for missing values.
        imputed: values filled in. holes: where they were missing, shape (rows, columns).
    """

    table: Table
    columns: tuple[Column, ...]
    left_out: dict[str, str]
    notes: tuple[str, ...]
    dropped: int
    imputed: int
    holes: NDArray[np.bool_]


def prepare(
    raw: RawTable,
    *,
    columns: Sequence[str] = (),
    exclude: Sequence[str] = (),
    missing: Missing = "drop",
    name: str = "the table",
    seed: int = 0,
) -> Prepared:
    """Decide what each column is and what is done about missing values.

    Texts and booleans are categories, whole numbers of at most six codes that follow each other too, other
    numbers are numbers; dates, ids, texts of many values, constant and nearly constant columns, copies and
    exact sums of other columns are set aside by name.

    Args:
        raw: values by column.
        columns: use only these; all when empty.
        exclude: do not use these.
        missing: "drop" rows with missing values, "impute" them from the other columns (several times when
            resampled), or "refuse".
        name: of the table, for errors.
        seed: of the imputation.

    Raises:
        UnknownVariable: a named column does not exist.
        TableInvalid: fewer than two columns are left, or values are missing and that is refused.
        TooFewRows: too few rows are left.
    """
    for wanted in (*columns, *exclude):
        if wanted not in raw:
            raise UnknownVariable(name=wanted, where=name, known=tuple(raw))
    chosen = [n for n in (columns or raw) if n not in exclude]
    left_out: dict[str, str] = {n: "not asked for" for n in raw if n not in chosen}
    kept: list[Column] = []
    values: list[FloatArray] = []
    for column in chosen:
        coded, found = _coded(column, raw[column])
        if isinstance(found, str):
            left_out[column] = found
            continue
        kept.append(found)
        values.append(coded)
    if chosen:
        _check_length(name, len(raw[chosen[0]]), 0)
    if len(kept) < 2:
        listed = "; ".join(f"{n}: {why}" for n, why in list(left_out.items())[:6])
        raise _too_few(name, f"fewer than two columns can be used ({listed})")
    matrix = np.column_stack(values)
    matrix, holes, dropped = _complete(matrix, kept, missing, name, seed)
    _check_length(name, matrix.shape[0], len(kept))
    keep, notes = _independent(matrix, kept, left_out)
    notes = [*raw.notes, *notes]
    matrix, holes = matrix[:, keep], holes[:, keep]
    used = tuple(kept[k] for k in keep)
    if len(used) < 2:
        raise _too_few(name, "fewer than two columns vary on their own")
    notes += _nested_notes(matrix, used)
    table = replace(_table(used, matrix), worth=_seen_together(holes))
    return Prepared(table, used, left_out, tuple(notes), dropped, int(holes.sum()), holes)


def _seen_together(holes: NDArray[np.bool_]) -> float:
    """Share of the rows in which a pair of columns was seen, on average: filled-in values are no evidence."""
    seen = (~holes).astype(np.float64)
    pairs = seen.T @ seen / holes.shape[0]
    size = holes.shape[1]
    return float((pairs.sum() - np.trace(pairs)) / (size * (size - 1)))


def _nested_notes(matrix: FloatArray, used: Sequence[Column]) -> list[str]:
    """Categories of which one fixes another, one sentence each."""
    found = nested(matrix, np.array([column.kind == "category" for column in used]))
    return [
        f"{used[a].name} fixes {used[b].name}: which of them others depend on may not show" for a, b in found
    ]


def _table(used: tuple[Column, ...], matrix: FloatArray) -> Table:
    kinds = tuple(column.kind == "category" for column in used)
    some = kinds if any(kinds) and not all(kinds) else ()
    unset = np.full(matrix.shape[0], -1, dtype=np.intp)
    return Table(tuple(column.name for column in used), matrix, unset, all(kinds), some, ordered=True)


def _too_few(name: str, problem: str) -> TableInvalid:
    return TableInvalid(path=name, line=0, column="", problem=problem, remedy="Name others with --columns")


def _check_length(name: str, rows: int, columns: int) -> None:
    needed = max(_FEWEST_ROWS, 2 * columns)
    if rows < needed:
        raise TooFewRows(path=name, rows=rows, needed=needed)


def _useless(given: Sequence[Any], absent: int) -> str:
    """Why a column cannot be used whatever its kind; "" when it can."""
    if not given:
        return "is empty"
    if absent > len(given):
        return f"lacks {absent} of {absent + len(given)} values"
    counts = Counter(given)
    differ = len(given) - counts.most_common(1)[0][1]
    if differ == 0:
        return "is the same in every row"
    return f"is nearly constant ({differ} rows differ)" if differ < max(3, len(given) // 200) else ""


def _no_category(texts: Sequence[str], levels: int) -> str:
    """Why a column of texts is no category; "" when it is."""
    if sum(bool(_DATE.match(text)) for text in texts) > 0.9 * len(texts):
        return "is a date or a time"
    odd = sorted({text for text in texts if as_number(text) is None})
    if levels > _MOST_LEVELS and 2 * len(odd) < levels:
        return f"holds numbers and words ({', '.join(odd[:3])}): leave empty what is no number"
    if levels > 0.9 * len(texts) and len(texts) > 20:
        return "is an id or free text (nearly every value is different)"
    return f"is a text of {levels} different values" if levels > _MOST_LEVELS else ""


def _coded(name: str, raw: Sequence[Any]) -> tuple[FloatArray, Column | str]:
    """The column as numbers (nan where missing) with what it is, or why it cannot be used."""
    given = [value for value in raw if value is not None]
    absent = len(raw) - len(given)
    problem = _useless(given, absent)
    if not problem and all(isinstance(value, bool | int | float) for value in given):
        return _numeric(name, raw, given, absent)
    texts = [str(value) for value in given]
    names = sorted(set(texts))
    problem = problem or _no_category(texts, len(names))
    if problem:
        return np.zeros(0), problem
    if len(names) == 2 and {text.lower() for text in names} <= set(_BOOLEAN):
        names.sort(key=lambda text: _BOOLEAN[text.lower()])
    place = {level: float(k) for k, level in enumerate(names)}
    coded = [np.nan if value is None else place[str(value)] for value in raw]
    return np.array(coded), Column(name, "category", tuple(names), absent)


def _numeric(
    name: str, raw: Sequence[Any], given: Sequence[Any], absent: int
) -> tuple[FloatArray, Column | str]:
    values = np.array([np.nan if value is None else float(value) for value in raw])
    levels = np.unique(values[~np.isnan(values)])
    whole = np.array_equal(levels, np.round(levels))
    if whole and levels.size == len(given) > 20 and (problem := numbering(name, values[~np.isnan(values)])):
        return values, problem
    following = whole and np.array_equal(levels, levels[0] + np.arange(levels.size))
    if levels.size == 2 or (levels.size <= 6 and following):
        codes = np.searchsorted(levels, values).astype(np.float64)
        codes[np.isnan(values)] = np.nan
        shown = tuple(f"{level:g}" for level in levels)
        return codes, Column(name, "category", shown, absent)
    return values, Column(name, "number", (), absent)


def _complete(
    matrix: FloatArray, kept: Sequence[Column], missing: Missing, name: str, seed: int
) -> tuple[FloatArray, NDArray[np.bool_], int]:
    """Rows without missing values, where values were filled in, and how many rows were dropped."""
    holes = np.isnan(matrix)
    if not holes.any():
        return matrix, holes, 0
    if missing == "refuse":
        column = kept[int(np.argmax(holes.sum(axis=0)))].name
        raise TableInvalid(
            path=name, line=0, column=column, problem=f"{int(holes.any(axis=1).sum())} rows lack a value",
            remedy="Choose --missing drop or --missing impute",
        )  # fmt: skip
    if missing == "drop":
        whole = ~holes.any(axis=1)
        return matrix[whole], holes[whole], int((~whole).sum())
    return impute(matrix, np.random.default_rng(seed)), holes, 0


def impute(matrix: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Missing values drawn from rows that are alike (predictive mean matching, chained over the columns).

    Args:
        matrix: shape (rows, columns), nan where missing.
        rng: of the draws.
    """
    holes, filled = np.isnan(matrix), matrix.copy()
    for k in range(matrix.shape[1]):
        seen = matrix[~holes[:, k], k]
        filled[holes[:, k], k] = rng.choice(seen, size=int(holes[:, k].sum()))
    for _ in range(5):
        for k in np.flatnonzero(holes.any(axis=0)).tolist():
            others = np.delete(filled, k, axis=1)
            design = np.column_stack([np.ones(len(others)), others])
            known = ~holes[:, k]
            drawn = rng.choice(np.flatnonzero(known), size=int(known.sum()))
            slopes = np.linalg.lstsq(design[drawn], filled[drawn, k], rcond=None)[0]
            guess = design @ slopes
            order = np.flatnonzero(known)[np.argsort(guess[known])]
            place = np.searchsorted(guess[order], guess[holes[:, k]])
            near = place + rng.integers(-3, 3, size=place.size)
            filled[holes[:, k], k] = matrix[order[np.clip(near, 0, order.size - 1)], k]
    return filled


def _independent(
    matrix: FloatArray, kept: Sequence[Column], left_out: dict[str, str]
) -> tuple[list[int], list[str]]:
    """Columns that are not determined by those before them; what determines them is named."""
    chosen: list[int] = []
    notes: list[str] = []
    for k, column in enumerate(kept):
        if np.ptp(matrix[:, k]) < 1e-12:
            left_out[column.name] = "is the same in every row that is complete"
            continue
        makers, how = determined_by(matrix, k, chosen, [column.kind == "category" for column in kept])
        if makers:
            named = ", ".join(kept[c].name for c in makers[:6])
            left_out[column.name] = f"{how} {named}"
            notes.append(f"{column.name} {left_out[column.name]}; it is set aside, not explained")
            continue
        chosen.append(k)
    return chosen, notes
