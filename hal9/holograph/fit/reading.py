"""Tables from files and from other libraries' frames, as columns of plain values."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal9.errors.holograph import TableInvalid
from hal9.text import split_lines

__all__ = ["RawTable", "as_number", "read_raw"]


class RawTable(dict[str, list[Any]]):
    """Values by column name, all columns of one length; None where a value is missing.

    Attributes:
        notes: what a reader should know of how the source was read, one sentence each.
    """

    def __init__(self, columns: Mapping[str, list[Any]], notes: Sequence[str] = ()) -> None:
        super().__init__(columns)
        self.notes = tuple(notes)


_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-", "nd", "missing", "#n/a"}
_SEPARATORS = ",;\t|"
_MOSTLY = 0.8
"""Share of numbers among a column's cells from which other words in it are taken as missing."""
_ODD_WORDS = 3
_COMMENT = re.compile(r"^(#|sep=.\r?$)", re.IGNORECASE)
_UNIT = re.compile(r"^[$€£¥]\s?|\s?[$€£¥%]$")
_GROUPED = {".": re.compile(r"^[+-]?[1-9]\d{0,2}([, '\u00a0\u202f]\d{3})+(\.\d+)?$"),
            ",": re.compile(r"^[+-]?[1-9]\d{0,2}([. '\u00a0\u202f]\d{3})+(,\d+)?$")}  # fmt: skip
"""Numbers with their thousands apart, by decimal sign."""


def _bad(path: str, problem: str, remedy: str, *, line: int = 0, column: str = "") -> TableInvalid:
    return TableInvalid(path=path, line=line, column=column, problem=problem, remedy=remedy)


def read_raw(source: Any, *, encoding: str | None = None) -> RawTable:
    """Columns of a CSV or Parquet file, of a pandas or polars frame, of a mapping, or of an array.

    Args:
        source: a path; anything with `columns` and a column by name; a mapping of name to values; or an array
            of shape (rows, columns), whose columns are named x0, x1, …
        encoding: of a CSV file; UTF-8, UTF-16 with its mark, or else Windows-1252 when not given.

    Raises:
        TableInvalid: it cannot be read, has no rows, or names a column twice.
    """
    notes: list[str] = []
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() in (".parquet", ".pq"):
            found: Mapping[str, list[Any]] = _parquet(path)
        else:
            found = _csv(path, encoding, notes)
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
    return RawTable(found, notes)


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


def _parquet(path: Path) -> dict[str, list[Any]]:
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


def _csv(path: Path, encoding: str | None, notes: list[str]) -> dict[str, list[Any]]:
    where = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _bad(where, f"it cannot be read ({error.strerror})", "Give a CSV or Parquet file") from error
    text = _decoded(where, raw, encoding, notes)
    if "\x00" in text:
        raise _bad(where, "it is no text", "Give a CSV or Parquet file")
    try:
        text, skipped = _without_comments(text)
        separator = _separator(text)
        lines = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)]
    except csv.Error as error:
        raise _bad(where, f"it cannot be read ({error})", "Give a CSV file") from error
    if len(lines) < 2:
        raise _bad(where, "it has no rows" if lines else "it is empty", "Give a header and rows")
    header = [" ".join(name.split()) or f"column{k + 1}" for k, name in enumerate(lines[0])]
    _check(where, header, lines, skipped)
    columns = list(zip(*lines[1:], strict=True))
    found = {
        name: _typed(name, values, separator, notes) for name, values in zip(header, columns, strict=True)
    }
    numbers = [name for name in header if as_number(name) is not None and isinstance(found[name][0], float)]
    if 2 * len(numbers) >= len(header):
        notes.append(f"the first line looks like data, not like names: {', '.join(header[:6])}")
    return found


def _decoded(where: str, raw: bytes, encoding: str | None, notes: list[str]) -> str:
    """The text of a file."""
    if encoding is None and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    try:
        text = raw.decode(encoding or "utf-8-sig")
        # Lines of old spreadsheets end with a carriage return alone.
        return text if "\n" in text else text.replace("\r", "\n")
    except (UnicodeError, LookupError) as error:
        if encoding is not None:
            remedy = "Name the encoding that it was written in, such as utf-8 or cp1252"
            raise _bad(where, f"it cannot be read as {encoding} ({error})", remedy) from error
    if b"\x00" not in raw:
        notes.append(
            "it is not UTF-8 and was read as Windows-1252: where names look wrong, name its encoding"
        )
    return raw.decode("cp1252", errors="replace")


def _without_comments(text: str) -> tuple[str, int]:
    """The text without lines before the header that are comments ("# …", "sep=;"), and how many these are."""
    lines = split_lines(text, keepends=True)
    first = next((k for k, line in enumerate(lines) if not _COMMENT.match(line)), 0)
    rest = "".join(lines[first:])
    separator = _separator(rest)
    # A header may begin with the sign too: it has a cell for every column.
    width = len(next(csv.reader([rest.partition("\n")[0]], delimiter=separator), []))
    while first and lines[first - 1].startswith("#"):
        if len(next(csv.reader([lines[first - 1].rstrip("\r\n")], delimiter=separator))) != width:
            break
        first -= 1
    return "".join(lines[first:]), first


def _check(where: str, header: list[str], lines: list[list[str]], skipped: int) -> None:
    """Refuse what is no table with a header."""
    if len(header) < 2:
        raise _bad(where, "it has a single column", "Separate columns by commas, semicolons, tabs or bars")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise _bad(where, "the column appears twice", "Rename one", line=skipped + 1, column=twice)
    if all(as_number(name) is not None for name in header):
        raise _bad(where, "its first line holds numbers, not names", "Give a header", line=skipped + 1)
    for number, cells in enumerate(lines[1:], start=skipped + 2):
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


def _typed(name: str, cells: Sequence[str], separator: str, notes: list[str]) -> list[Any]:
    """Cells as numbers where all, or nearly all, that are not missing are.

    A column's decimal sign may be a comma, thousands may be apart, and there may be one unit (%, a currency).
    """
    clean = [_clean(cell) for cell in cells]
    given = [value for value in clean if value is not None]
    best: tuple[int, list[float | None]] = (0, [])
    # "1,234" is a thousand and more among cells that commas separate, else a number with three decimals.
    signs = (".", ",") if separator != "," else (".", "grouped .", ",")
    for decimal in dict.fromkeys((*signs, "grouped .", "grouped ,")):
        numbers = [None if value is None else as_number(value, decimal) for value in clean]
        right = sum(number is not None for number in numbers)
        best = max(best, (right, numbers), key=lambda found: found[0])
    right, numbers = best
    if not given or right < _MOSTLY * len(given):
        return clean
    odd = Counter(v for v, number in zip(clean, numbers, strict=True) if v is not None and number is None)
    if len(odd) > _ODD_WORDS:
        return clean
    if odd:
        listed = ", ".join(f"{word[:30]!r} ({count})" for word, count in odd.most_common())
        notes.append(f"{name} holds numbers but for {listed}: taken as missing")
    return list(numbers)


def as_number(cell: str, decimal: str = ".") -> float | None:
    """A number as people write it; underscores and the like make none.

    Args:
        cell: what is written.
        decimal: the decimal sign, after "grouped " where thousands may be apart.
    """
    text, sign = _UNIT.sub("", cell.strip(), count=1), decimal[-1]
    if decimal != sign and _GROUPED[sign].match(text):
        text = re.sub("[^0-9+-]" if sign not in text else f"[^0-9+{re.escape(sign)}-]", "", text)
    text = text.replace(",", ".") if sign == "," and text.count(",") == 1 else text
    if not text or any(letter not in "0123456789+-.eE" for letter in text):
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return found if np.isfinite(found) else None
