"""Runs out of files: streaming, each run once, secrets masked.

Files whose lines stand for themselves are read line by line; a session file is gathered until its end, since
its results follow its calls. What was read before is left out by the run's fingerprint, so that reading can
be repeated and resumed at any time.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from hal9.errors.ingest import RunFileUnreadable, RunFormatUnknown
from hal9.ingest.formats import RunFormat, format_of
from hal9.ingest.masking import mask_secrets
from hal9.ingest.own_journal import JOURNAL, is_journal, journal_runs
from hal9.ingest.records import Run, RunStep
from hal9.memory import repository_of

__all__ = ["Progress", "ReadReport", "fingerprint", "read_runs", "step_marks"]

_MOST_OUTPUT = 20_000
_MOST_COMMAND = 100_000
_MOST_LINE = 50_000_000
_LINE_PER_RUN = frozenset({"mini-swe-agent", "whole runs"})
_LOOK = 200
"""Lines at a file's beginning among which its format must show."""

Progress = Callable[[str, int], None]
"""Told the file and how many runs it has given so far."""


@dataclass(slots=True)
class ReadReport:
    """What reading came to."""

    files: int = 0
    runs: int = 0
    steps: int = 0
    known: int = 0
    bad_lines: int = 0
    formats: dict[str, int] = field(default_factory=dict)


def fingerprint(run: Run) -> str:
    """Equal for equal runs, whichever file they stand in."""
    made = hashlib.sha256(f"{run.agent}\0{run.id}\0{len(run.steps)}".encode("utf-8", "replace"))
    for step in run.steps:
        made.update(f"{step.command}\0{step.exit_code}\0{step.path}\0".encode("utf-8", "replace"))
    return made.hexdigest()[:32]


def step_marks(run: Run) -> dict[int, str]:
    """Marks of steps by their place, equal in every copy of a session.

    Calls without an id of their own have none, nor have those that nobody has answered yet.
    """
    return {
        place: hashlib.sha256(
            f"{run.agent}\0{step.call_id}\0{step.command}".encode("utf-8", "replace")
        ).hexdigest()[:32]
        for place, step in enumerate(run.steps)
        if step.call_id and (step.exit_code is not None or not step.executed)
    }


def read_runs(
    files: Iterable[Path],
    *,
    known: set[str] | None = None,
    report: ReadReport | None = None,
    progress: Progress | None = None,
) -> Iterator[Run]:
    """All runs of these files that were not read before.

    Args:
        files: files, plain or gzipped; folders are searched for ``.json``, ``.jsonl``,
                their ``.gz``, and for journals of HAL9.
        known: fingerprints of runs, and marks of steps, that were read before; what is read now is added.
        report: counted up while reading.
        progress: called after each run.

    Raises:
        RunFileUnreadable: a file cannot be opened.
        RunFormatUnknown: a named file holds nothing that looks like a run.
    """
    known = set() if known is None else known
    report = report or ReadReport()
    for file in _expanded(files):
        report.files += 1
        given = 0
        for run in _runs_of(file, report):
            mark = fingerprint(run)
            if mark in known:
                report.known += 1
                continue
            marks = step_marks(run)
            before = frozenset(place for place, one in marks.items() if one in known)
            if before and len(before) == len(marks):
                report.known += 1
                continue
            known.update((mark, *marks.values()))
            given += 1
            report.runs += 1
            report.steps += len(run.steps) - len(before)
            report.formats[run.agent] = report.formats.get(run.agent, 0) + 1
            if progress is not None:
                progress(str(file), given)
            yield _at_home(replace(run, known_steps=before))


def _expanded(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            yield from sorted(
                one
                for one in file.rglob("*")
                if one.is_file()
                and (one.name.removesuffix(".gz").endswith((".json", ".jsonl")) or one.name == JOURNAL)
            )
        else:
            yield file


def _runs_of(file: Path, report: ReadReport) -> Iterator[Run]:
    if is_journal(file):
        yield from map(_bounded, journal_runs(file))
        return
    name = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    gathered: list[Mapping[str, Any]] = []
    found: RunFormat | None = None
    for seen, record in enumerate(_records(file, report), start=1):
        fits = found or format_of(record)
        if fits is None and seen > _LOOK:
            break
        found = fits
        if found is not None and found.name in _LINE_PER_RUN:
            yield from map(_bounded, found.runs([record], f"{name}:{seen}"))
        else:
            gathered.append(record)
    if found is None:
        raise RunFormatUnknown(file=str(file))
    if found.name not in _LINE_PER_RUN:
        yield from map(_bounded, found.runs(gathered, name))


def _records(file: Path, report: ReadReport) -> Iterator[Mapping[str, Any]]:
    """JSON objects of a file: one a line, one array of them, or one object over many lines."""
    try:
        with _opened(file) as stream:
            first = stream.readline(_MOST_LINE)
            whole = first.lstrip().startswith("[") or _cannot_stand_alone(first)
            if whole:
                value = json.loads(first + stream.read())
                yield from (
                    one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)
                )
                return
            line = first
            while line:
                yield from _line(line, report)
                line = stream.readline(_MOST_LINE)
    except (OSError, EOFError) as error:
        raise RunFileUnreadable(file=str(file), problem=str(error)) from error
    except ValueError as error:
        raise RunFileUnreadable(file=str(file), problem=f"it is no JSON ({error})") from error


def _line(line: str, report: ReadReport) -> Iterator[Mapping[str, Any]]:
    if not line.strip():
        return
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        report.bad_lines += 1  # a session that still runs ends in the middle of a line
        return
    if isinstance(value, Mapping):
        yield value


def _cannot_stand_alone(line: str) -> bool:
    if not line.lstrip().startswith("{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return len(line.strip()) < 3  # the first line of an indented object
    return False


def _opened(file: Path) -> TextIO:
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8", errors="replace")
    return file.open("rt", encoding="utf-8", errors="replace", newline="\n")


def _at_home(run: Run) -> Run:
    """A run that tells only its folder belongs to the folder's repository, as what is learned live does."""
    if not run.repo.startswith("/"):
        return run
    return replace(run, repo=repository_of(run.repo).identity)


def _bounded(run: Run) -> Run:
    return replace(
        run, task=mask_secrets(run.task[:_MOST_OUTPUT]), steps=tuple(map(_bounded_step, run.steps))
    )


def _bounded_step(step: RunStep) -> RunStep:
    output = step.output
    if len(output) > _MOST_OUTPUT:
        half = _MOST_OUTPUT // 2
        output = f"{output[:half]}\n… {len(output) - _MOST_OUTPUT} characters left out …\n{output[-half:]}"
    return replace(
        step,
        command=mask_secrets(step.command[:_MOST_COMMAND]),
        output=mask_secrets(output),
        text=mask_secrets(step.text[:_MOST_COMMAND]),
        arguments={},
    )
