"""Exact inference for large networks: lazy propagation in a junction tree.

Factors are not multiplied into clique tables; a message is made of just the factors that matter for it. A
conditional table whose child nobody else speaks of sums to one and is left out (a barren node), evidence is
cut out of the tables before the tree is built, and only what is asked for is worked out.

Source: Madsen and Jensen 1999; barren nodes: Shachter 1986.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hal9.errors.passing import EvidenceContradictory
from hal9.passing.exact.elimination import Order, maximal_cliques
from hal9.passing.result import Array

__all__ = ["LazyPropagation", "Term", "TooLarge", "Underflow"]

_JOINT = 2**14
"""Entries up to which a clique's joint is made once for all of its variables."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A table over some variables.

    Attributes:
        scope: variables, one per axis. table: non-negative, linear scale.
        heads: variables whose distribution given the others this is; it sums to one over all of them. Empty
            for a table that is no conditional distribution.
        log: what the table has to be multiplied by, as a log.
    """

    scope: tuple[int, ...]
    table: Array
    heads: frozenset[int] = frozenset()
    log: float = 0.0


class Underflow(Exception):
    """Products have become too small for the linear scale."""


class TooLarge(Exception):
    """A table would have more entries than allowed; carries how many."""

    def __init__(self, entries: int) -> None:
        super().__init__(entries)
        self.entries = entries


def _product(terms: Sequence[Term], out: Iterable[int], most: int) -> Term:
    """The terms multiplied, and summed over the variables to be left out in the last multiplication."""
    away = frozenset(out)
    left = sorted(terms, key=lambda t: t.table.size)
    heads: frozenset[int] = frozenset().union(*(t.heads for t in left))
    pure = all(t.heads for t in left)
    while len(left) > 2:
        # The two that make the smallest table.
        first = left.pop(0)
        k = min(range(len(left)), key=lambda i: _joint_size(first, left[i]))
        left.append(_einsum(first, left.pop(k), frozenset(), most))
    found = _einsum(left[0], left[1], away, most) if len(left) == 2 else _summed(left[0], away)
    if pure:
        return Term(found.scope, found.table, heads - away, found.log)
    top = float(found.table.max()) if found.table.size else 0.0
    if top < 1e-200:
        raise Underflow
    return Term(found.scope, found.table / top, frozenset(), found.log + float(np.log(top)))


def _joint_size(a: Term, b: Term) -> int:
    size = a.table.size
    for v, n in zip(b.scope, b.table.shape, strict=True):
        if v not in a.scope:
            size *= n
    return size


def _einsum(a: Term, b: Term, out: frozenset[int], most: int) -> Term:
    """The product of two tables summed over some variables, with at most so many entries."""
    names = {v: k for k, v in enumerate(dict.fromkeys((*a.scope, *b.scope)))}
    kept = tuple(v for v in names if v not in out)
    states = dict(zip((*a.scope, *b.scope), (*a.table.shape, *b.table.shape), strict=True))
    size = math.prod(states[v] for v in kept)
    if size > most:
        raise TooLarge(size)
    table = np.einsum(
        a.table, [names[v] for v in a.scope], b.table, [names[v] for v in b.scope], [names[v] for v in kept]
    )
    return Term(kept, table, frozenset(), a.log + b.log)


def _summed(a: Term, out: frozenset[int]) -> Term:
    axes = tuple(k for k, v in enumerate(a.scope) if v in out)
    table = a.table.sum(axis=axes) if axes else a.table
    return Term(tuple(v for v in a.scope if v not in out), np.asarray(table), frozenset(), a.log)


def _without_barren(terms: list[Term], keep: frozenset[int]) -> list[Term]:
    """Conditional tables dropped whose children are neither kept nor spoken of by another table."""
    uses: dict[int, int] = {}
    for term in terms:
        for v in term.scope:
            uses[v] = uses.get(v, 0) + 1
    waiting, dropped = list(range(len(terms))), set[int]()
    by_variable: dict[int, list[int]] = {}
    for k, term in enumerate(terms):
        for v in term.scope:
            by_variable.setdefault(v, []).append(k)
    while waiting:
        k = waiting.pop()
        term = terms[k]
        if k in dropped or not term.heads or term.heads & keep or any(uses[v] > 1 for v in term.heads):
            continue
        dropped.add(k)
        for v in term.scope:
            uses[v] -= 1
            if uses[v] == 1:
                waiting.extend(by_variable[v])
    return [term for k, term in enumerate(terms) if k not in dropped]


def marginalise(terms: Iterable[Term], keep: frozenset[int], most: int) -> list[Term]:
    """Tables over the kept variables alone whose product is the given tables' summed over all others."""
    pool = _without_barren(list(terms), keep)
    while True:
        near: dict[int, list[int]] = {}
        for k, term in enumerate(pool):
            for v in term.scope:
                if v not in keep:
                    near.setdefault(v, []).append(k)
        if not near:
            return pool
        choice, best = -1, np.inf
        for v, places in near.items():
            sizes = {u: n for k in places for u, n in zip(pool[k].scope, pool[k].table.shape, strict=True)}
            cost = float(np.prod([float(n) for n in sizes.values()]))
            if cost < best:
                best, choice = cost, v
        together = near[choice]
        # Variables that only these tables speak of go at once.
        out = [v for v, places in near.items() if set(places) <= set(together)]
        made = _product([pool[k] for k in together], out, most)
        pool = [term for k, term in enumerate(pool) if k not in set(together)]
        pool.append(made)
        if made.heads:
            pool = _without_barren(pool, keep)


class LazyPropagation:
    """Messages over a junction tree of lists of tables.

    Args:
        terms: all tables, evidence cut out.
        order: variables in elimination order, each with its neighbours at that moment.
        states: of each variable.
        most: entries that a single table may have.
    """

    def __init__(self, terms: Sequence[Term], order: Order, states: Sequence[int], most: int) -> None:
        self._states, self._most = states, most
        self.scopes, parents, self._home = maximal_cliques(order)
        self._parent = [self._home[p] if p >= 0 else -1 for p in parents]
        self._near: list[list[int]] = [[] for _ in self.scopes]
        for c, p in enumerate(self._parent):
            if p >= 0:
                self._near[c].append(p)
                self._near[p].append(c)
        rank = {v: k for k, (v, _) in enumerate(order)}
        self._own: list[list[Term]] = [[] for _ in self.scopes]
        self._constant = 0.0
        for term in terms:
            if term.scope:
                self._own[self._home[min(term.scope, key=rank.__getitem__)]].append(term)
            else:
                self._constant += float(np.log(term.table)) + term.log if term.table > 0 else -np.inf
        if np.isneginf(self._constant):
            raise EvidenceContradictory(variable=0)
        self._smallest: dict[int, int] = {}
        sizes = [float(np.prod([float(states[v]) for v in scope])) for scope in self.scopes]
        for c in sorted(range(len(sizes)), key=sizes.__getitem__, reverse=True):
            self._smallest.update(dict.fromkeys(self.scopes[c], c))
        self._sizes = sizes
        self._messages: dict[tuple[int, int], list[Term]] = {}
        self._joints: dict[int, Term] = {}

    def _message(self, source: int, target: int) -> list[Term]:
        """What one clique tells a neighbour; without recursion, as trees may be deep."""
        stack = [(source, target)]
        while stack:
            a, b = stack[-1]
            needed = [(n, a) for n in self._near[a] if n != b and (n, a) not in self._messages]
            if needed:
                stack.extend(needed)
                continue
            stack.pop()
            if (a, b) not in self._messages:
                terms = [*self._own[a]]
                for n in self._near[a]:
                    if n != b:
                        terms.extend(self._messages[n, a])
                self._messages[a, b] = marginalise(terms, self.scopes[a] & self.scopes[b], self._most)
        return self._messages[source, target]

    def _terms(self, clique: int) -> list[Term]:
        terms = [*self._own[clique]]
        for other in self._near[clique]:
            terms.extend(self._message(other, clique))
        return terms

    def joint(self, scope: frozenset[int]) -> Term:
        """Normalised joint distribution of variables that lie in one clique."""
        homes = [c for c, members in enumerate(self.scopes) if scope <= members]
        clique = min(homes, key=lambda c: len(self.scopes[c]))
        return self._joint_in(clique, scope)

    def marginal(self, variable: int) -> Array:
        """Distribution of one variable, shape (states,)."""
        clique = self._smallest[variable]
        if clique not in self._joints:
            if self._sizes[clique] > _JOINT:
                return self._joint_in(clique, frozenset((variable,))).table
            self._joints[clique] = self._joint_in(clique, self.scopes[clique])
        found = _summed(self._joints[clique], self.scopes[clique] - {variable}).table
        return np.asarray(found / found.sum())

    def _joint_in(self, clique: int, scope: frozenset[int]) -> Term:
        terms = marginalise(self._terms(clique), scope, self._most)
        # Of a variable that no table speaks of, every state is as likely as another.
        silent = scope.difference(*(term.scope for term in terms))
        terms += [Term((v,), np.ones(self._states[v])) for v in silent]
        found = _product(terms, (), self._most)
        total = float(found.table.sum())
        if not total > 0:
            raise Underflow
        return Term(found.scope, found.table / total)

    def log_z(self) -> float:
        """Log of the sum over all variables."""
        total = self._constant
        for clique, parent in enumerate(self._parent):
            if parent < 0:
                for term in marginalise(self._terms(clique), frozenset(), self._most):
                    with np.errstate(divide="ignore"):
                        total += float(np.log(term.table)) + term.log
        return total
