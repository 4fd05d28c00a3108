"""Reading BIF, the text format of the bnlearn repository's discrete networks."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.models.bayes import BayesNet
from hal9.passing.result import Array

__all__ = ["load_bif"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VARIABLE = re.compile(
    r"variable\s+(?P<name>\"[^\"]*\"|[^\s{]+)\s*\{(?P<body>[^{}]*\{[^{}]*\}[^{}]*)\}", re.DOTALL
)
_STATES = re.compile(r"type\s+discrete\s*\[\s*(\d+)\s*\]\s*\{([^{}]*)\}", re.DOTALL)
_TABLE = re.compile(r"probability\s*\((?P<scope>[^)]*)\)\s*\{(?P<body>[^{}]*)\}", re.DOTALL)
_ROW = re.compile(
    r"\((?P<given>[^)]*)\)\s*(?P<values>[^;()]*);|(?P<word>table|default)\s+(?P<all>[^;]*);", re.DOTALL
)


def load_bif(path: str | Path) -> BayesNet:
    """Read a BIF file, also one that is compressed with gzip.

    Raises:
        PassingInvalid: The file does not exist, is not BIF, or a table does not fit its variables.
    """
    file = Path(path)
    if not file.is_file():
        raise PassingInvalid(what="BIF file", detail=f"{path} does not exist")
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise PassingInvalid(what="BIF file", detail=f"{path} cannot be read ({error})") from error
    text = _COMMENT.sub(" ", text)
    states = dict(_variables(text, path))
    if not states:
        raise PassingInvalid(what="BIF file", detail=f"{path} cannot be read (it has no variable)")
    net = BayesNet(states)
    for found in _TABLE.finditer(text):
        child, _, given = found["scope"].partition("|")
        scope = [_bare(name) for name in (child, *(given.split(",") if given.strip() else ()))]
        unknown = [name for name in scope if name not in states]
        if unknown:
            raise PassingInvalid(
                what="BIF file", detail=f"{path} cannot be read ({unknown[0]!r} is no variable of it)"
            )
        net.add(scope[0], scope[1:], _values(found["body"], scope, states, path))
    missing = len(states) - len(set(net.graph.conditionals.values()))
    if missing:
        raise PassingInvalid(what="BIF file", detail=f"{path} has no table for {missing} variables")
    return net


def _bare(name: str) -> str:
    return name.strip().strip('"').strip()


def _variables(text: str, path: str | Path) -> Iterator[tuple[str, list[str]]]:
    for found in _VARIABLE.finditer(text):
        listed = _STATES.search(found["body"])
        name = _bare(found["name"])
        if listed is None:
            raise PassingInvalid(what="BIF file", detail=f"{path} cannot be read ({name} lists no states)")
        states = [_bare(state) for state in listed[2].split(",")]
        if len(states) != int(listed[1]):
            raise PassingInvalid(
                what="BIF file",
                detail=f"{path} cannot be read ({name} has {len(states)} states, not {listed[1]})",
            )
        yield name, states


def _values(body: str, scope: list[str], states: dict[str, list[str]], path: str | Path) -> Array:
    """The table, shape (child states, parent states ...)."""
    shape = tuple(len(states[name]) for name in scope)
    table = np.full(shape, np.nan)
    places: list[dict[str, int]] = [{state: k for k, state in enumerate(states[name])} for name in scope[1:]]
    try:
        row: re.Match[str]
        for row in _ROW.finditer(body):
            numbers = np.array([float(n) for n in (row["all"] or row["values"] or "").split(",")])
            if row["word"] == "table":
                # A whole table lists the child's states last but one: parents vary fastest.
                table[...] = numbers.reshape(shape)
            elif row["word"] == "default":
                empty = np.isnan(table)
                table[empty] = np.broadcast_to(
                    numbers.reshape(-1, *[1] * (len(shape) - 1)), shape
                )[empty]  # fmt: skip
            else:
                given = [_bare(state) for state in row["given"].split(",")]
                column = table
                for place, state in zip(places, given, strict=True):
                    column = column[:, place[state]]
                column[:] = numbers
    except (ValueError, KeyError) as error:
        raise PassingInvalid(
            what="BIF file", detail=f"{path} cannot be read (table of {scope[0]}: {error})"
        ) from error
    if np.isnan(table).any():
        raise PassingInvalid(
            what="BIF file", detail=f"{path} cannot be read (table of {scope[0]}: a row is missing)"
        )
    return table
