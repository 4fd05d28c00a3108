"""Exact inference where clique tables would be large: evidence cut out, what does not matter pruned.

Works on one case in mode "sum"; conditional tables are known by their children, so that what nobody asks
about sums to one and costs nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hal9.passing.exact.elimination import Elimination, Plan, plan
from hal9.passing.exact.lazy_propagation import LazyPropagation, Term
from hal9.passing.result import Array
from hal9.passing.tables.inference import Inference, Marginals
from hal9.passing.tables.potentials import Local, Potentials

__all__ = ["LargeNetwork", "Reduced"]


@dataclass(slots=True)
class Reduced:
    """A graph with some evidence cut out.

    Attributes:
        terms: tables that are left. open: variables without evidence. seen: state of each other variable.
        plan: in which order the open variables are eliminated.
    """

    terms: list[Term]
    open: list[int]
    seen: Mapping[int, int]
    plan: Plan


@dataclass(slots=True)
class LargeNetwork:
    """Tables of a graph in linear scale.

    Attributes:
        potentials: the graph. children: factor number of a conditional table → its child.
        order: rule of elimination.
    """

    potentials: Potentials
    children: Mapping[int, int]
    order: Elimination = "auto"
    _terms: list[Term] = field(default_factory=list)
    _known: Mapping[int, int] | None = None
    _alone: set[int] = field(default_factory=set)
    _plans: dict[tuple[frozenset[int], frozenset[int]], Plan] = field(default_factory=dict)

    def reduce(self, local: Local, query: frozenset[int] | None = None) -> Reduced:
        """Cut out the evidence; with a query, drop what cannot matter for it.

        Args:
            local: evidence and single-variable potentials of one case.
            query: variables that are asked about; None for all.
        """
        own = {v: self._own(local, v) for v in range(self.potentials.n)}
        # A variable with one possible state is as good as seen.
        seen = {v: int(np.flatnonzero(row > -np.inf)[0]) for v, row in own.items() if _single(row)}
        terms = [_cut(term, seen) for term in self._all_terms()]
        for v, row in own.items():
            if v not in seen and np.any(row != 0.0):
                terms.append(self._own_term(v, row))
            elif v in seen and row[seen[v]] != 0.0:
                terms.append(Term((), np.asarray(1.0), frozenset(), float(row[seen[v]])))
        open_variables = [v for v in range(self.potentials.n) if v not in seen]
        if query is not None:
            terms, open_variables = _relevant(terms, open_variables, query)
        key = (frozenset(seen), frozenset(open_variables))
        if key not in self._plans:
            near: list[set[int]] = [set() for _ in range(self.potentials.n)]
            for term in terms:
                for v in term.scope:
                    near[v].update(u for u in term.scope if u != v)
            self._plans[key] = plan(near, self.potentials.cardinality.tolist(), open_variables, self.order)
        return Reduced(terms, open_variables, seen, self._plans[key])

    def infer(self, local: Local, reduced: Reduced, most: int) -> Inference:
        """Marginals of all open variables, worked out at once; joints and the normaliser when asked for.

        Args:
            local: evidence and single-variable potentials of one case.
            reduced: the graph without them.
            most: entries that a single table may have.

        Raises:
            TooLarge: a table would have more.
            Underflow: numbers became too small for the linear scale.
            EvidenceContradictory: no state is left.
        """
        order = reduced.plan.order
        if order is None:
            raise ValueError("the plan has no order")
        tree = LazyPropagation(reduced.terms, order, self.potentials.cardinality.tolist(), most)
        potentials = self.potentials
        blocks = {k: np.full((k, 1, len(members)), np.nan) for k, members in potentials.members.items()}
        for v in reduced.open:
            blocks[int(potentials.cardinality[v])][:, 0, potentials.position[v]] = tree.marginal(v)
        for v, state in reduced.seen.items():
            column = blocks[int(potentials.cardinality[v])][:, 0, potentials.position[v]]
            column[:] = 0.0
            column[state] = 1.0
        return Inference(
            marginals=Marginals(blocks, potentials.cardinality, potentials.position, batched=local.batched),
            method="exact",
            mode="sum",
            log_z=lambda: np.array([tree.log_z()]),
            factor=lambda factor: self._factor(tree, reduced, factor),
            assignment=lambda: np.zeros((1, 0), dtype=np.intp),
            batched=local.batched,
        )

    def _own(self, local: Local, v: int) -> Array:
        """Log potentials of one variable, shape (states,)."""
        row: Array = local.blocks[int(self.potentials.cardinality[v])][:, 0, self.potentials.position[v]]
        return row

    def _own_term(self, v: int, row: Array) -> Term:
        """A variable's own potentials; a root's distribution as long as nothing else is known of it."""
        values = np.exp(row)
        factor = self._conditional().get(v)
        if factor is not None and factor in self._alone and abs(float(values.sum()) - 1.0) < 1e-9:
            return Term((v,), values, frozenset((v,)))
        top = float(row.max())
        return Term((v,), np.exp(row - top), frozenset(), top)

    def _conditional(self) -> Mapping[int, int]:
        """Child → factor of the conditional tables, when these make up a product that sums to one."""
        if self._known is None:
            self._known = {child: factor for factor, child in self.children.items()}
            scopes = {
                int(number): row
                for group in self.potentials.all_groups
                for number, row in zip(group.ids.tolist(), group.variables.tolist(), strict=True)
            }
            self._alone = {number for number, row in scopes.items() if len(row) == 1}
            edges = [(u, c) for f, c in self.children.items() for u in scopes[f] if u != c]
            if len(self._known) < len(self.children) or _cyclic(edges):
                self._known = {}
        return self._known

    def _all_terms(self) -> list[Term]:
        if not self._terms:
            conditional = self._conditional()
            for group in self.potentials.groups:
                for f, (number, row) in enumerate(
                    zip(group.ids.tolist(), group.variables.tolist(), strict=True)
                ):
                    table = group.table[..., f if group.table.shape[-1] > 1 else 0]
                    top = float(table.max())
                    child = self.children.get(int(number))
                    known = child is not None and child in conditional
                    heads = frozenset((child,)) if known and child is not None else frozenset()
                    # A conditional table must go on summing to one.
                    shift = 0.0 if heads or not math.isfinite(top) else top
                    self._terms.append(Term(tuple(row), np.exp(table - shift), heads, shift))
        return self._terms

    def _factor(self, tree: LazyPropagation, reduced: Reduced, factor: int) -> Array:
        """Normalised joint of a factor's variables, shape (1, ...)."""
        group, place = self.potentials.find(factor)
        row = group.variables[place].tolist()
        left = [v for v in row if v not in reduced.seen]
        found = tree.joint(frozenset(left))
        table = found.table.transpose([found.scope.index(v) for v in left])
        whole = np.zeros([int(self.potentials.cardinality[v]) for v in row])
        whole[tuple(reduced.seen.get(v, slice(None)) for v in row)] = table
        return whole[None]


def _cyclic(edges: list[tuple[int, int]]) -> bool:
    waiting: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for source, target in edges:
        waiting[target] = waiting.get(target, 0) + 1
        waiting.setdefault(source, 0)
        children.setdefault(source, []).append(target)
    ready = [v for v, count in waiting.items() if count == 0]
    done = 0
    while ready:
        done += 1
        for child in children.get(ready.pop(), ()):
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return done < len(waiting)


def _single(row: Array) -> bool:
    return bool(row.size > 1 and np.count_nonzero(row > -np.inf) == 1)


def _cut(term: Term, seen: Mapping[int, int]) -> Term:
    """A table with its seen variables at their states."""
    if not any(v in seen for v in term.scope):
        return term
    at = tuple(seen.get(v, slice(None)) for v in term.scope)
    heads = frozenset() if any(v in seen for v in term.heads) else term.heads
    table = np.ascontiguousarray(term.table[at])
    log = term.log
    if not heads and table.size and 0 < (top := float(table.max())) < 1e-30:
        table, log = table / top, log + math.log(top)
    return Term(tuple(v for v in term.scope if v not in seen), table, heads, log)


def _relevant(
    terms: list[Term], open_variables: list[int], query: frozenset[int]
) -> tuple[list[Term], list[int]]:
    """Without barren nodes, and without what evidence separates from the query."""
    uses: dict[int, set[int]] = {}
    for k, term in enumerate(terms):
        for v in term.scope:
            uses.setdefault(v, set()).add(k)
    kept = set(range(len(terms)))
    waiting = list(kept)
    while waiting:
        k = waiting.pop()
        heads = terms[k].heads
        if k in kept and heads and not heads & query and all(uses[v] == {k} for v in heads):
            kept.discard(k)
            for v in terms[k].scope:
                uses[v].discard(k)
                waiting.extend(uses[v])
    reached, edge = set(query), list(query)
    while edge:
        for k in uses.get(edge.pop(), ()):
            new = set(terms[k].scope) - reached
            reached |= new
            edge.extend(new)
    left = [terms[k] for k in sorted(kept) if set(terms[k].scope) & reached]
    return left, [v for v in open_variables if v in reached]
