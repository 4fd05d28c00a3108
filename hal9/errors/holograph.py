"""Errors of holograph."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from hal9.errors.base import HolographError

__all__ = [
    "ContextsCyclic",
    "ContextsDoNotOverlap",
    "KnowledgeContradictory",
    "NoOutcome",
    "NotFitted",
    "NotStable",
    "RunBusy",
    "RunDiffers",
    "RunNotFound",
    "SpecInvalid",
    "StoreUnusable",
    "TableInvalid",
    "TooFewRows",
    "UnknownVariable",
]


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known[:12]) or 'none'}."


@dataclass(eq=False, kw_only=True)
class UnknownVariable(HolographError):
    """A variable was named that does not exist."""

    exit_code: ClassVar[int] = 3
    name: str
    where: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"{self.where}: there is no variable {self.name!r}. {_nearest(self.name, self.known)}"


@dataclass(eq=False, kw_only=True)
class NotStable(HolographError):
    """A belief has a unit feedback loop or a singular noise."""

    what: str
    variables: tuple[str, ...]

    def message(self) -> str:
        return (
            f"The {self.what} over {', '.join(self.variables[:6])} does not exist: the marginalised part feeds back on "
            "itself with gain one, or its noise is singular. Lower the weights on that cycle."
        )


@dataclass(eq=False, kw_only=True)
class SpecInvalid(HolographError):
    """A variables or contexts file is wrong."""

    exit_code: ClassVar[int] = 3
    path: str
    line: int
    problem: str
    remedy: str

    def message(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class ContextsDoNotOverlap(HolographError):
    """Some contexts share no variable with the others, so their beliefs cannot be compared."""

    exit_code: ClassVar[int] = 3
    groups: tuple[tuple[str, ...], ...]

    def message(self) -> str:
        parts = " and ".join("{" + ", ".join(group) + "}" for group in self.groups)
        return (
            f"The contexts fall into groups that share no variable: {parts}. "
            "Add a shared variable to a context of each group, or discover each group by itself."
        )


@dataclass(eq=False, kw_only=True)
class ContextsCyclic(HolographError):
    """Contexts overlap in a ring with nothing common to all: pairwise agreement does not glue."""

    exit_code: ClassVar[int] = 3
    cycle: tuple[str, ...]

    def message(self) -> str:
        ring = " - ".join((*self.cycle, self.cycle[0]))
        return (
            f"The contexts {ring} overlap in a ring but no variable is in all of them, so agreeing in pairs does not "
            "make them one picture. Add a variable that all of them have, a context that spans the ring, or pass --allow-cyclic."
        )


@dataclass(eq=False, kw_only=True)
class TableInvalid(HolographError):
    """A data table cannot be used."""

    exit_code: ClassVar[int] = 3
    path: str
    line: int
    column: str
    problem: str
    remedy: str

    def message(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        column = f", column {self.column!r}" if self.column else ""
        end = "" if self.remedy.endswith("?") else "."
        return f"{where}{column}: {self.problem}. {self.remedy}{end}"


@dataclass(eq=False, kw_only=True)
class TooFewRows(HolographError):
    """The table is too short for its number of columns."""

    exit_code: ClassVar[int] = 3
    path: str
    rows: int
    needed: int

    def message(self) -> str:
        return (
            f"{self.path} has {self.rows} rows; at least {self.needed} are needed for its variables. "
            "Give more rows, fewer variables, or leave the table out and use language only."
        )


@dataclass(eq=False, kw_only=True)
class KnowledgeContradictory(HolographError):
    """Background knowledge cannot hold all at once."""

    exit_code: ClassVar[int] = 3
    problem: str

    def message(self) -> str:
        return f"The background knowledge contradicts itself: {self.problem}. Take one of it back."


@dataclass(eq=False, kw_only=True)
class NotFitted(HolographError):
    """A result was asked for before anything was fitted."""

    def message(self) -> str:
        return "Nothing was fitted yet. Call fit() with a table first."


@dataclass(eq=False, kw_only=True)
class RunNotFound(HolographError):
    """There is no such run in the store."""

    exit_code: ClassVar[int] = 3
    run: str
    store: str
    known: tuple[str, ...]

    def message(self) -> str:
        if not self.known:
            return (
                f"{self.store} has no run {self.run!r}: it holds none. "
                "Name the file of the run with --store, or start one with `holograph discover`."
            )
        return f"{self.store} has no run {self.run!r}. {_nearest(self.run, self.known)}"


@dataclass(eq=False, kw_only=True)
class StoreUnusable(HolographError):
    """The file that holds the runs cannot be made or opened."""

    exit_code: ClassVar[int] = 3
    store: str
    detail: str

    def message(self) -> str:
        return f"Runs cannot be kept in {self.store}: {self.detail}. Choose a writable place with --store."


@dataclass(eq=False, kw_only=True)
class RunBusy(HolographError):
    """Another process is working on the run."""

    run: str
    lock: str

    def message(self) -> str:
        return f"Run {self.run!r} is being worked on by another process (it holds {self.lock}). Wait for it or stop it."


@dataclass(eq=False, kw_only=True)
class RunDiffers(HolographError):
    """A resumed run was given other inputs than it started with."""

    exit_code: ClassVar[int] = 3
    run: str
    field: str

    def message(self) -> str:
        return f"Run {self.run!r} was started with other {self.field}. Resume it with the same input, or start a new run."


@dataclass(eq=False, kw_only=True)
class NoOutcome(HolographError):
    """The rows cannot say what causes what."""

    exit_code: ClassVar[int] = 3
    problem: str

    def message(self) -> str:
        return f"No causes can be looked for: {self.problem}."
