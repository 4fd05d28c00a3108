"""Queries that read like users' issues, made from cases that read like commit messages.

Commit messages are written by who knows the fix. A user pastes a script, a stack trace and a list of versions
instead. For each case this adds lines of a related test as the reproduction, a synthetic trace whose frames
come from files around the fix, and version noise. Where the fixed file stands in the trace follows what is
known of real reports: innermost in 40 % of the traces, somewhere in 60 % (after Schröter, Bettenburg,
Premraj, "Do stack traces help developers fix bugs?", MSR 2010).
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hal9.ripmap.evaluation.evaluation import RankingCase
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.index_data import IndexData, index_data_of

__all__ = ["issue_like", "script_like"]

_TOP_FRAME = 0.4
_ANY_FRAME = 0.6
_TRACE = 0.5
"""Share of issues that carry a trace at all."""
_NAMED = 0.3
"""Share of reporters who name what has to be changed."""
_SNIPPET_LINES = 12
_MOST_IMPORTS = 10
_ELSEWHERE = "/usr/lib/python3/dist-packages/"
_OPENINGS = (
    "Hi, I ran into the following problem.",
    "After upgrading I noticed this.",
    "I am not sure whether this is a bug or whether I am holding it wrong.",
    "### Description",
    "**Describe the bug**",
)
_ERRORS = (
    "TypeError: unsupported operand type(s)",
    "AttributeError: 'NoneType' object has no attribute",
    "ValueError: invalid value",
    "KeyError",
    "RuntimeError",
    "AssertionError",
)
_SYSTEMS = ("Linux-6.5.0-x86_64-with-glibc2.35", "macOS-14.2.1-arm64", "Windows-10-10.0.19045")


def issue_like(case: RankingCase, index: Index, rng: np.random.Generator) -> RankingCase:
    """The case as a user might have reported it; equal generators give equal texts."""
    index_data = index_data_of(index)
    gold = [index.file_index(path) for path in case.gold if path in index]
    title, _, body = case.text.partition("\n")
    parts = [title, "", str(rng.choice(_OPENINGS)), body.strip()]
    snippet = _snippet(case, index, index_data, gold, rng)
    if snippet:
        parts += ["", "#### Steps to reproduce", "", "```python", snippet, "```"]
    if rng.random() < _TRACE:
        parts += ["", "```", _trace(index_data, gold, rng), "```"]
    return replace(case, text="\n".join([*parts, "", _versions(case, rng)]))


def script_like(case: RankingCase, index: Index, rng: np.random.Generator) -> RankingCase:
    """The case as a user might have reported it with a whole script.

    The script begins with its imports, traces come as the interpreter, a relative path or a test runner
    prints them, and three in ten reporters name one of the changed functions or classes.
    """
    index_data = index_data_of(index)
    gold = [index.file_index(path) for path in case.gold if path in index]
    title, _, body = case.text.partition("\n")
    parts = [title, "", str(rng.choice(_OPENINGS)), body.strip()]
    snippet = _snippet(case, index, index_data, gold, rng)
    if snippet:
        imports = _imports_of(snippet, index, index_data, gold)
        parts += ["", "#### Steps to reproduce", "", "```python", *imports, "", snippet, "```"]
    if rng.random() < _TRACE:
        style = _STYLES[int(rng.integers(len(_STYLES)))]
        parts += ["", "```", style(_trace(index_data, gold, rng)), "```"]
    if case.gold_symbols and rng.random() < _NAMED:
        name = str(rng.choice(case.gold_symbols)).rpartition("::")[2].rpartition(".")[2]
        parts.insert(3, f"It seems to happen in `{name}`.")
    return replace(case, text="\n".join([*parts, "", _versions(case, rng)]))


def _imports_of(snippet: str, index: Index, index_data: IndexData, gold: Sequence[int]) -> list[str]:
    """The imports that a snippet needs, from the test it was taken from."""
    first = snippet.split("\n", maxsplit=1)[0].strip()
    for test in _related_tests(index_data, gold):
        text = index.text(index_data.paths[test])
        if first in text:
            flat = re.sub(
                r"\(\s*([^()]*?)\s*\)", lambda found: f"({' '.join(found[1].split())})", text[:6000]
            )
            lines = [line for line in flat.split("\n") if re.match(r"(?:from [^.]|import )", line)]
            return [line for line in lines if _needed(line, snippet)][:_MOST_IMPORTS]
    return []


def _needed(line: str, snippet: str) -> bool:
    names = re.findall(r"\w+", line.partition("import")[2])
    return "test" not in line and any(re.search(rf"\b{re.escape(name)}\b", snippet) for name in names)


def _relative(trace: str) -> str:
    return trace.replace(_ELSEWHERE, "")


def _as_test_runner(trace: str) -> str:
    frames = re.findall(rf'File "{_ELSEWHERE}([^"]+)", line (\d+), in (\S+)', trace)
    lines = [f"{path}:{line}: in {name}" for path, line, name in frames]
    return "\n".join([*lines, f"E   {trace.rpartition(chr(10))[2]}"])


_STYLES = (str, _relative, _as_test_runner)


def _importers(index_data: IndexData, files: Sequence[int]) -> list[int]:
    links = index_data.imports
    rows: list[int] = links.row_of_entry[np.isin(links.indices, files)].tolist()
    return rows


def _related_tests(index_data: IndexData, gold: Sequence[int]) -> list[int]:
    found = set(_importers(index_data, gold))
    return sorted(file_index for file_index in found if index_data.tests[file_index])


def _snippet(
    case: RankingCase, index: Index, index_data: IndexData, gold: Sequence[int], rng: np.random.Generator
) -> str:
    """A few lines of a test that imports a gold file, one that uses a changed name when there is any."""
    tests = _related_tests(index_data, gold)
    if not tests:
        return ""
    names = {symbol.rpartition("::")[2].rpartition(".")[2] for symbol in case.gold_symbols}
    spans: list[tuple[int, int, int]] = []
    for test in tests:
        record = index.files[test]
        used = {(item.scope) for item in record.references if item.name in names and item.scope >= 0}
        spans += [
            (test, record.definitions[scope].line, record.definitions[scope].end_line)
            for scope in sorted(used)
            if record.definitions[scope].kind in ("function", "method")
        ]
    if not spans:
        test = tests[int(rng.integers(len(tests)))]
        spans = [
            (test, item.line, item.end_line)
            for item in index.files[test].definitions
            if item.kind in ("function", "method")
        ]
    if not spans:
        return ""
    test, first, last = spans[int(rng.integers(len(spans)))]
    lines = index.text(index_data.paths[test]).split("\n")[first : min(last, first + _SNIPPET_LINES)]
    return textwrap.dedent("\n".join(lines)).strip()


def _trace(index_data: IndexData, gold: Sequence[int], rng: np.random.Generator) -> str:
    """Three to six frames of files around the fix, outermost first."""
    around = _neighbours(index_data, gold)
    pool = around or [int(file_index) for file_index in np.flatnonzero(index_data.primary)]
    frames = [pool[int(rng.integers(len(pool)))] for _ in range(int(rng.integers(3, 7)))]
    draw = rng.random()
    if draw < _TOP_FRAME:
        frames[-1] = gold[0]
    elif draw < _ANY_FRAME:
        frames[int(rng.integers(len(frames) - 1))] = gold[0]
    lines = ["Traceback (most recent call last):", '  File "main.py", line 7, in <module>', "    main()"]
    for file_index in frames:
        symbols = np.flatnonzero(index_data.symbols.file_index == file_index)
        name, line = "<module>", 1
        if len(symbols):
            symbol = int(symbols[int(rng.integers(len(symbols)))])
            name, line = (
                index_data.symbols.names[index_data.symbols.name[symbol]],
                int(index_data.symbols.line[symbol]) + 1,
            )
        path = index_data.paths[file_index].removeprefix("src/").removeprefix("lib/")
        lines.append(f'  File "{_ELSEWHERE}{path}", line {line}, in {name}')
    return "\n".join([*lines, str(rng.choice(_ERRORS))])


def _neighbours(index_data: IndexData, gold: Sequence[int]) -> list[int]:
    """Primary files that import a gold file or are imported by one."""
    found = set(_importers(index_data, gold))
    found |= {int(target) for file_index in gold for target in index_data.imports.line(file_index)[0]}
    return sorted(file_index for file_index in found - set(gold) if index_data.primary[file_index])


def _versions(case: RankingCase, rng: np.random.Generator) -> str:
    name, _, version = case.tree.rpartition("-")
    return "\n".join(
        [
            "#### Versions",
            "",
            f"Python: 3.{int(rng.integers(8, 13))}.{int(rng.integers(0, 12))}",
            f"{name}: {version}",
            f"numpy: 1.{int(rng.integers(20, 27))}.{int(rng.integers(0, 5))}",
            f"System: {rng.choice(_SYSTEMS)}",
        ],
    )
