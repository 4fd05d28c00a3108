"""Variables and contexts from YAML: strict, with the file and line of whatever is wrong."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hal9.errors.holograph import ContextsCyclic, ContextsDoNotOverlap, SpecInvalid, UnknownVariable

__all__ = ["Context", "Problem", "Variable", "check_cover", "load_problem"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Variable(_Strict):
    """One variable: a short name, and what it is in words."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^|,\n]+$")
    description: str = ""


class Context(_Strict):
    """A setting in which some of the variables are seen together."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[^|\n]+$")
    variables: tuple[str, ...] = Field(min_length=2)
    description: str = ""


class _VariablesFile(_Strict):
    variables: tuple[Variable, ...] = Field(min_length=2, max_length=200)
    domain: str = ""


class _ContextsFile(_Strict):
    contexts: tuple[Context, ...] = Field(min_length=1, max_length=64)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be found out: variables, contexts, and the domain in a phrase."""

    variables: tuple[Variable, ...]
    contexts: tuple[Context, ...] = ()
    domain: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The variables' names, in the file's order."""
        return tuple(variable.name for variable in self.variables)

    def members(self) -> dict[str, tuple[str, ...]]:
        """Variables per context; empty when there are no contexts."""
        return {context.name: context.variables for context in self.contexts}

    def texts(self) -> list[str]:
        """Name and description of every variable, for embedding."""
        return [f"{v.name} {v.description}".strip() for v in self.variables]

    def describe(self, name: str) -> str:
        """A variable's description, or its name."""
        for variable in self.variables:
            if variable.name == name:
                return variable.description or name
        raise UnknownVariable(name=name, where="problem", known=self.names)


FileModel = TypeVar("FileModel", bound=_Strict)


def _locate(node: yaml.Node | None, path: tuple[int | str, ...]) -> int:
    """Line (from 1) of the deepest node on a pydantic error's path."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if getattr(key, "value", None) == step:
                    line, found = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
            line = found.start_mark.line + 1
        if found is None:
            return line
        node = found
    return line


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> tuple[str, ...]:
    inner: dict[str, type[BaseModel]] = {"variables": Variable, "contexts": Context}
    current = model
    for step in path[:-1]:
        if isinstance(step, str) and step in inner:
            current = inner[step]
    return tuple(current.model_fields)


def _load(path: Path, model: type[FileModel]) -> tuple[FileModel, yaml.Node | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecInvalid(
            path=str(path), line=1, problem=f"the file cannot be read ({error})", remedy="Check the path."
        ) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SpecInvalid(
            path=str(path),
            line=mark.line + 1 if mark else 1,
            problem=f"not YAML: {getattr(error, 'problem', error)}",
            remedy="Fix the syntax.",
        ) from error
    if raw is None or not isinstance(raw, dict):
        keys = ", ".join(model.model_fields)
        raise SpecInvalid(
            path=str(path), line=1, problem="the file must be a mapping", remedy=f"Its keys are: {keys}."
        )
    try:
        return model.model_validate(raw), node
    except ValidationError as error:
        # A misspelt key also makes the right one missing; the misspelling is what helps.
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        where = first["loc"]
        line = _locate(node, where)
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, where)
            near = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.0)
            raise SpecInvalid(
                path=str(path),
                line=line,
                problem=f"unknown key {where[-1]!r}",
                remedy=f"Did you mean {near[0]!r}?",
            ) from error
        field_name = ".".join(str(step) for step in where)
        raise SpecInvalid(
            path=str(path), line=line, problem=f"{field_name}: {_plain(first)}", remedy="Correct the value."
        ) from error


def _plain(error: ErrorDetails) -> str:
    """What is wrong, without the names of Python's types."""
    context = error.get("ctx", {})
    if error["type"] == "too_short":
        return f"at least {context['min_length']} are needed, there are {context['actual_length']}"
    if error["type"] == "too_long":
        return f"at most {context['max_length']} are allowed"
    if error["type"] == "string_pattern_mismatch":
        return "a name may not contain a comma, a bar or a line break"
    if error["type"] == "missing":
        return "it is missing"
    if error["type"] == "tuple_type":
        return "it must be a list, each item on a line of its own that begins with a dash"
    return error["msg"]


def _no_duplicates(path: Path, node: yaml.Node | None, section: str, names: list[str]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise SpecInvalid(
                path=str(path),
                line=_locate(node, (section, position)),
                problem=f"{name!r} appears twice",
                remedy="Names must be unique.",
            )


def load_problem(variables: Path, contexts: Path | None = None, *, allow_cyclic: bool = False) -> Problem:
    """Read and check a problem.

    Raises:
        SpecInvalid: a file is not readable, not YAML, or has an unknown key, a bad value or an unknown name.
        ContextsDoNotOverlap: some contexts share nothing with the others.
        ContextsCyclic: contexts overlap in a ring with nothing in common, and `allow_cyclic` is off.
    """
    listed, node = _load(variables, _VariablesFile)
    names = [variable.name for variable in listed.variables]
    _no_duplicates(variables, node, "variables", names)
    if contexts is None:
        return Problem(listed.variables, (), listed.domain)
    cover, cover_node = _load(contexts, _ContextsFile)
    _no_duplicates(contexts, cover_node, "contexts", [context.name for context in cover.contexts])
    for position, context in enumerate(cover.contexts):
        for inner, name in enumerate(context.variables):
            spot = ("contexts", position, "variables", inner)
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(names[:12])}."
                raise SpecInvalid(
                    path=str(contexts),
                    line=_locate(cover_node, spot),
                    problem=f"context {context.name!r} names the unknown variable {name!r}",
                    remedy=hint,
                )
            if name in context.variables[:inner]:
                raise SpecInvalid(
                    path=str(contexts),
                    line=_locate(cover_node, spot),
                    problem=f"context {context.name!r} names {name!r} twice",
                    remedy="Name it once.",
                )
    problem = Problem(listed.variables, cover.contexts, listed.domain)
    check_cover(problem, allow_cyclic=allow_cyclic)
    return problem


def check_cover(problem: Problem, *, allow_cyclic: bool = False) -> None:
    """Refuse contexts that cannot be glued: groups without overlap, and rings with nothing in common.

    Raises:
        ContextsDoNotOverlap: see there. ContextsCyclic: see there.
    """
    members = {name: set(group) for name, group in problem.members().items()}
    groups = _components(members)
    if len(groups) > 1:
        raise ContextsDoNotOverlap(groups=tuple(tuple(group) for group in groups))
    if not allow_cyclic:
        ring = _bare_ring(members)
        if ring:
            raise ContextsCyclic(cycle=ring)


def _components(members: Mapping[str, set[str]]) -> list[list[str]]:
    left = list(members)
    groups: list[list[str]] = []
    while left:
        group, frontier = [left[0]], [left.pop(0)]
        while frontier:
            current = frontier.pop()
            for other in [name for name in left if members[name] & members[current]]:
                left.remove(other)
                group.append(other)
                frontier.append(other)
        groups.append(group)
    return groups


def _bare_ring(members: Mapping[str, set[str]]) -> tuple[str, ...]:
    """An independent cycle of the nerve that no chain of triple overlaps fills in, or nothing.

    Three contexts that meet in a common variable fill their triangle. What is left over is found as the first
    homology of the nerve with two-element coefficients; the ring shown is a shortest one that is not filled.
    """
    names = list(members)
    edges = [pair for pair in combinations(names, 2) if members[pair[0]] & members[pair[1]]]
    row = {edge: k for k, edge in enumerate(edges)}
    basis: dict[int, int] = {}

    def reduce(vector: int) -> int:
        while vector and vector.bit_length() in basis:
            vector ^= basis[vector.bit_length()]
        return vector

    for a, b, c in combinations(names, 3):
        if members[a] & members[b] & members[c]:
            rest = reduce((1 << row[a, b]) | (1 << row[b, c]) | (1 << row[a, c]))
            if rest:
                basis[rest.bit_length()] = rest
    rings = sorted((_ring_through(edge, edges) for edge in edges), key=len)
    for ring in rings:
        if len(ring) < 3:
            continue
        closed = zip(ring, (*ring[1:], ring[0]), strict=True)
        vector = 0
        for a, b in closed:
            vector ^= 1 << (row[a, b] if (a, b) in row else row[b, a])
        if reduce(vector):
            return ring
    return ()


def _ring_through(edge: tuple[str, str], edges: list[tuple[str, str]]) -> tuple[str, ...]:
    """A shortest cycle through an edge, by breadth-first search without it."""
    start, goal = edge
    paths: dict[str, tuple[str, ...]] = {start: (start,)}
    frontier = [start]
    while frontier:
        node = frontier.pop(0)
        for a, b in edges:
            if (a, b) == edge or node not in (a, b):
                continue
            other = b if node == a else a
            if other not in paths:
                paths[other] = (*paths[node], other)
                frontier.append(other)
    return paths.get(goal, ())
