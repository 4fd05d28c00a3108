"""Factor tables grouped by shape, and what is known of each variable by itself.

Layout: states first, factors (or variables) last, a batch axis before that. Sums over states are then
a few long vector operations instead of many short ones, which is what makes the message passing fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.result import Array

__all__ = ["Group", "Local", "Potentials", "logsumexp", "score_group"]


def logsumexp(x: Array, axes: tuple[int, ...], *, largest: bool = False) -> Array:
    """Log of the sum of exponentials over `axes` (or the maximum); -inf where everything is -inf.

    The result has the shape of `x` without the `axes`.
    """
    if not axes:
        return x
    top: Array = x.max(axis=axes, keepdims=True)
    if largest:
        return top.squeeze(axes)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out: Array = np.log(np.exp(x - shift).sum(axis=axes)) + shift.squeeze(axes)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Factors of one shape.

    Attributes:
        ids: Factor numbers, shape (F,).
        variables: Shape (F, arity).
        table: Logs, shape (k1, ..., kr, F), or (k1, ..., kr, 1) when all share one table.
    """

    ids: Array
    variables: Array
    table: Array

    @property
    def arity(self) -> int:
        """Variables per factor."""
        return int(self.variables.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """States of each variable."""
        return self.table.shape[:-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Local:
    """Log potentials of single variables: tables, evidence and likelihoods together.

    Attributes:
        blocks: Number of states → shape (states, batch, variables with so many states); may hold -inf.
        batch: Number of cases.
        batched: Whether a batch axis was asked for.
    """

    blocks: dict[int, Array]
    batch: int
    batched: bool


class Potentials:
    """All factors of a graph, ready for solvers.

    Attributes:
        groups: Factors of two and more variables.
        position: Index of each variable among those with as many states, shape (n,).
        members: Number of states → variables with so many states.
    """

    def __init__(self, cardinality: Array, groups: list[Group], factors: int) -> None:
        self.cardinality = cardinality
        self.n = len(cardinality)
        self.factors = factors
        self.all_groups = groups
        self.groups = [g for g in groups if g.arity > 1]
        self.members = {int(k): np.flatnonzero(cardinality == k) for k in np.unique(cardinality)}
        self.position: Array = np.zeros(self.n, dtype=np.intp)
        for members in self.members.values():
            self.position[members] = np.arange(len(members))
        self._own = {k: np.zeros((k, len(members))) for k, members in self.members.items()}
        for group in groups:
            if group.arity == 1:
                where = self.position[group.variables[:, 0]]
                table = np.broadcast_to(group.table, (group.shape[0], len(where)))
                for state in range(group.shape[0]):
                    np.add.at(self._own[group.shape[0]][state], where, table[state])

    @property
    def pairwise(self) -> bool:
        """Whether no factor joins more than two variables."""
        return all(g.arity == 2 for g in self.groups)

    def find(self, factor: int) -> tuple[Group, int]:
        """The group that holds a factor, and its place there."""
        for group in self.all_groups:
            place = np.flatnonzero(group.ids == factor)
            if len(place):
                return group, int(place[0])
        raise PassingInvalid(what="factor", detail=f"{factor} is not in 0..{self.factors - 1}")

    def score(self, states: Array) -> Array:
        """Sum of all log tables at joint `states`, shape (batch, n) → (batch,)."""
        if states.shape[1] != self.n or (states < 0).any() or (states >= self.cardinality).any():
            raise PassingInvalid(what="states", detail=f"expected {self.n} states, each within its variable")
        total: Array = np.zeros(len(states))
        for group in self.all_groups:
            total += score_group(group, states)
        return total

    def local(self, evidence: Mapping[int, Any], unary: Mapping[int, Any]) -> Local:
        """Fold evidence and extra potentials into the variables' own."""
        seen = {self._variable(v): np.asarray(s) for v, s in evidence.items()}
        extra = {self._variable(v): np.asarray(t, dtype=np.float64) for v, t in unary.items()}
        sizes = {len(s) for s in seen.values() if s.ndim == 1} | {
            len(t) for t in extra.values() if t.ndim == 2
        }
        if len(sizes) > 1:
            raise PassingInvalid(
                what="batch", detail=f"evidence and potentials disagree on its size: {sorted(sizes)}"
            )
        batch = sizes.pop() if sizes else 1
        batched = any(s.ndim == 1 for s in seen.values()) or any(t.ndim == 2 for t in extra.values())
        blocks = {k: np.repeat(own[:, None, :], batch, axis=1) for k, own in self._own.items()}
        for v, table in extra.items():
            k = int(self.cardinality[v])
            if table.shape not in ((k,), (batch, k)) or np.isnan(table).any() or np.isposinf(table).any():
                raise PassingInvalid(
                    what="unary", detail=f"variable {v} needs logs of shape ({k},) or (batch, {k})"
                )
            blocks[k][:, :, self.position[v]] += table.T if table.ndim == 2 else table[:, None]
        for v, state in seen.items():
            k = int(self.cardinality[v])
            if state.ndim > 1 or state.dtype.kind not in "iu" or (state < 0).any() or (state >= k).any():
                raise PassingInvalid(
                    what="evidence", detail=f"variable {v} has states 0..{k - 1}, not {state.tolist()!r}"
                )
            excluded = np.arange(k)[:, None] != np.broadcast_to(state, (batch,))
            blocks[k][:, :, self.position[v]][excluded] = -np.inf
        return Local(blocks=blocks, batch=batch, batched=batched)

    def _variable(self, v: int) -> int:
        if not 0 <= int(v) < self.n:
            raise PassingInvalid(what="variable", detail=f"{v} is not in 0..{self.n - 1}")
        return int(v)


def score_group(group: Group, states: Array) -> Array:
    """Sum of a group's log tables at joint states, shape (batch, n) → (batch,)."""
    place = (
        np.arange(len(group.ids)) if group.table.shape[-1] > 1 else np.zeros(len(group.ids), dtype=np.intp)
    )
    at = tuple(states[:, group.variables[:, slot]] for slot in range(group.arity))
    out: Array = group.table[(*at, place)].sum(axis=1)
    return out
