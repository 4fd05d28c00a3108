"""Tables from files and from other libraries' frames, as columns of plain values."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal9.errors.holograph import TableInvalid
from hal9.text import split_lines

__all__ = ["RawTable", "read_raw"]

RawTable = dict[str, list[Any]]
"""Values by column name, all columns of one length; None where a value is missing."""

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "nd", "missing", "#n/a"}
_SEPARATORS = ",;\t|"


def _bad(path: str, problem: str, remedy: str, *, line: int = 0, column: str = "") -> TableInvalid:
    return TableInvalid(path=path, line=line, column=column, problem=problem, remedy=remedy)


def read_raw(source: Any) -> RawTable:
    """Columns of a CSV or Parquet file, of a pandas or polars frame, of a mapping, or of an array.

    Args:
        source: a path; anything with `columns` and a column by name; a mapping of name to values; or an array
            of shape (rows, columns), whose columns are named x0, x1, …

    Raises:
        TableInvalid: it cannot be read, has no rows, or names a column twice.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        found = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    elif isinstance(source, Mapping):
        found = {str(name): [_clean(v) for v in values] for name, values in source.items()}
    elif hasattr(source, "columns"):
        names = [str(name) for name in source.columns]
        if len(set(names)) < len(names):
            raise _bad("the frame", "a column appears twice", "Rename one")
        columns = [source[name] for name in source.columns]
        found = {name: [_clean(v) for v in values] for name, values in zip(names, columns, strict=True)}
    else:
        values = np.asarray(source)
        if values.ndim != 2:
            raise _bad("the array", f"it has shape {values.shape}", "Give rows and columns")
        found = {f"x{k}": [_clean(v) for v in column] for k, column in enumerate(values.T.tolist())}
    lengths = {len(values) for values in found.values()}
    if not found or lengths == {0}:
        raise _bad(
            str(source)[:200] if isinstance(source, str | Path) else "the table",
            "it has no rows",
            "Give some",
        )
    if len(lengths) > 1:
        raise _bad("the table", "its columns differ in length", "Give each row a value in every column")
    return found


def _clean(value: Any) -> Any:
    """A value as Python has it; None where it is missing."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bool | int | float):
        return value
    text = str(value).strip()
    return None if text.lower() in _MISSING or text in ("NaT", "<NA>") else text


def _parquet(path: Path) -> RawTable:
    for library in ("pyarrow.parquet", "polars", "pandas"):
        try:
            module = __import__(library, fromlist=["read_table"])
        except ImportError:
            continue
        try:
            if library == "pyarrow.parquet":
                return {n: [_clean(v) for v in c] for n, c in module.read_table(path).to_pydict().items()}
            return read_raw(module.read_parquet(path))
        except Exception as error:
            if isinstance(error, TableInvalid):
                raise
            raise _bad(str(path), f"it cannot be read ({error})", "Give a Parquet or CSV file") from error
    raise _bad(
        str(path),
        "reading Parquet needs pyarrow, polars or pandas, and none is installed",
        "Install one (pip install pyarrow), or give a CSV file",
    )


def _csv(path: Path) -> RawTable:
    where = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _bad(where, f"it cannot be read ({error.strerror})", "Give a CSV or Parquet file") from error
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\x00" in text:
        raise _bad(where, "it is no text", "Give a CSV or Parquet file")
    try:
        lines = [row for row in csv.reader(io.StringIO(text), delimiter=_separator(text)) if any(row)]
    except csv.Error as error:
        raise _bad(where, f"it cannot be read ({error})", "Give a CSV file") from error
    if len(lines) < 2:
        raise _bad(where, "it has no rows" if lines else "it is empty", "Give a header and rows")
    header = [name.strip() or f"column{k + 1}" for k, name in enumerate(lines[0])]
    _check(where, header, lines)
    columns = list(zip(*lines[1:], strict=True))
    return {name: _typed(values) for name, values in zip(header, columns, strict=True)}


def _check(where: str, header: list[str], lines: list[list[str]]) -> None:
    """Refuse what is no table with a header."""
    if len(header) < 2:
        raise _bad(where, "it has a single column", "Separate columns by commas, semicolons, tabs or bars")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise _bad(where, "the column appears twice", "Rename one", line=1, column=twice)
    if all(_number(name) is not None for name in header):
        raise _bad(where, "its first line holds numbers, not names", "Give a header", line=1)
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(header):
            problem = f"{len(cells)} cells under {len(header)} columns"
            raise _bad(
                where, problem, "Complete the row, or quote cells that hold the separator", line=number
            )


def _separator(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, most of all."""
    sample = split_lines(text)[:20]
    best, choice = 1, ","
    for separator in _SEPARATORS:
        counts = [len(row) for row in csv.reader(sample, delimiter=separator)]
        if counts and min(counts) == max(counts) > best:
            best, choice = counts[0], separator
    if best == 1 and sample:
        # Ragged lines: the one that the header has most of.
        choice = max(_SEPARATORS, key=sample[0].count)
    return choice


def _typed(cells: Sequence[str]) -> list[Any]:
    """Cells as numbers where all that are not missing are; a column's decimal point may be a comma."""
    clean = [_clean(cell) for cell in cells]
    given = [value for value in clean if value is not None]
    for decimal in (".", ","):
        numbers = [_number(value, decimal) for value in given]
        if given and all(number is not None for number in numbers):
            return [None if value is None else _number(value, decimal) for value in clean]
    return clean


def _number(cell: str, decimal: str = ".") -> float | None:
    """A number as people write it; underscores and the like make none."""
    text = cell.strip().replace(",", ".") if decimal == "," and cell.count(",") == 1 else cell.strip()
    if not text or any(sign not in "0123456789+-.eE" for sign in text):
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return found if np.isfinite(found) else None
