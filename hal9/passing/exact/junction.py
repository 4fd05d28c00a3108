"""Exact inference: a junction tree from an elimination order, messages in the log domain.

Source: Shafer and Shenoy 1990 (messages without division, so zeros need no care).
"""

from dataclasses import dataclass, field

import numpy as np

from hal9.errors.passing import EvidenceContradictory
from hal9.passing.exact.elimination import Order, maximal_cliques
from hal9.passing.result import Array
from hal9.passing.tables.inference import Inference, Marginals, Mode
from hal9.passing.tables.potentials import Local, Potentials, logsumexp

__all__ = ["JunctionTree", "neighbourhoods"]


@dataclass(eq=False)
class _Clique:
    """One node of the tree; its variables are sorted, so the axes of all tables agree in order."""

    variables: list[int]
    table: Array
    parent: int = -1
    children: list[int] = field(default_factory=list)
    # The separator to the parent: axes of this clique that are summed out, and the shapes in which the
    # message fits into the parent's table and back into this one.
    drop: tuple[int, ...] = ()
    in_parent: tuple[int, ...] = ()
    in_child: tuple[int, ...] = ()
    drop_in_parent: tuple[int, ...] = ()
    own: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)


def neighbourhoods(potentials: Potentials) -> list[set[int]]:
    """Per variable, those that share a factor with it."""
    near: list[set[int]] = [set() for _ in range(potentials.n)]
    for group in potentials.groups:
        for row in group.variables.tolist():
            for v in row:
                near[v].update(row)
    for v, others in enumerate(near):
        others.discard(v)
    return near


class JunctionTree:
    """Cliques of a triangulated graph, in an order where every clique comes before its parent."""

    def __init__(self, potentials: Potentials, order: Order) -> None:
        self._potentials = potentials
        states = potentials.cardinality.tolist()
        scopes, parents, self._home = maximal_cliques(order)
        self.cliques = [
            _Clique(variables=sorted(s), table=np.zeros((1, *(states[u] for u in sorted(s))))) for s in scopes
        ]
        self.order: list[int] = []
        self._link(parents)
        self._assign({v: i for i, (v, _) in enumerate(order)})

    def _link(self, parents: list[int]) -> None:
        for c, clique in enumerate(self.cliques):
            if parents[c] < 0:
                continue
            clique.parent = self._home[parents[c]]
            above = self.cliques[clique.parent]
            above.children.append(c)
            shared = set(clique.variables) & set(above.variables)
            clique.drop = tuple(1 + i for i, v in enumerate(clique.variables) if v not in shared)
            clique.drop_in_parent = tuple(1 + i for i, v in enumerate(above.variables) if v not in shared)
            sizes = self._potentials.cardinality
            clique.in_parent = tuple(int(sizes[v]) if v in shared else 1 for v in above.variables)
            clique.in_child = tuple(int(sizes[v]) if v in shared else 1 for v in clique.variables)
        done: list[int] = []
        stack = [c for c, clique in enumerate(self.cliques) if clique.parent < 0]
        while stack:
            c = stack.pop()
            done.append(c)
            stack.extend(self.cliques[c].children)
        self.order = done[::-1]

    def _assign(self, rank: dict[int, int]) -> None:
        """Multiply every factor into a clique that covers it, and note where each variable lives."""
        for v, c in self._home.items():
            clique = self.cliques[c]
            shape = tuple(int(self._potentials.cardinality[v]) if u == v else 1 for u in clique.variables)
            clique.own.append((v, shape))
        for group in self._potentials.groups:
            for f, row in enumerate(group.variables.tolist()):
                clique = self.cliques[self._home[min(row, key=rank.__getitem__)]]
                table = group.table[..., f if group.table.shape[-1] > 1 else 0]
                axes = np.argsort(row)
                scope = set(row)
                shape = tuple(
                    int(self._potentials.cardinality[u]) if u in scope else 1 for u in clique.variables
                )
                clique.table += table.transpose(axes).reshape(shape)

    @property
    def entries(self) -> int:
        """Entries of all clique tables together."""
        return sum(c.table.size for c in self.cliques)

    def infer(self, local: Local, mode: Mode) -> Inference:
        """Two passes of messages, then beliefs; see `FactorGraph.infer`."""
        run = _Run(self, self._potentials, local, mode)
        marginals = {
            k: np.empty((k, local.batch, len(members))) for k, members in self._potentials.members.items()
        }
        for c, clique in enumerate(self.cliques):
            belief = run.belief(c)
            for v, _ in clique.own:
                keep = clique.variables.index(v)
                others = tuple(1 + i for i in range(len(clique.variables)) if i != keep)
                share = belief.max(axis=others) if mode == "max" else belief.sum(axis=others)
                share = share / share.sum(axis=1, keepdims=True)
                marginals[share.shape[1]][:, :, self._potentials.position[v]] = share.T
        return Inference(
            marginals=Marginals(
                marginals, self._potentials.cardinality, self._potentials.position, batched=local.batched
            ),
            method="exact",
            mode=mode,
            log_z=lambda: run.log_z,
            factor=run.factor,
            assignment=run.decode,
            batched=local.batched,
        )

    def home(self, v: int) -> int:
        """The clique in which variable `v` lives."""
        return self._home[v]


class _Run:
    """Messages and beliefs for one set of local potentials."""

    def __init__(self, tree: JunctionTree, potentials: Potentials, local: Local, mode: Mode) -> None:
        self._tree = tree
        self._potentials = potentials
        self._largest = mode == "max"
        self._batch = local.batch
        cliques = tree.cliques
        self._base: list[Array] = []
        for clique in cliques:
            table = clique.table
            for v, shape in clique.own:
                own = local.blocks[int(potentials.cardinality[v])][:, :, potentials.position[v]]
                table = table + own.T.reshape(local.batch, *shape)
            self._base.append(table)
        self._up: dict[int, Array] = {}
        self._down: dict[int, Array] = {}
        self.log_z: Array = np.zeros(local.batch)
        self._beliefs: dict[int, Array] = {}
        for c in tree.order:
            total = self._total(c, without=-1)
            clique = cliques[c]
            if clique.parent >= 0:
                self._up[c] = logsumexp(total, clique.drop, largest=self._largest)
            else:
                value = logsumexp(total, tuple(range(1, total.ndim)), largest=self._largest)
                if np.isneginf(value).any():
                    raise EvidenceContradictory(variable=clique.variables[0])
                self.log_z += value
        for c in reversed(tree.order):
            clique = cliques[c]
            if clique.parent >= 0:
                total = self._total(clique.parent, without=c)
                self._down[c] = logsumexp(total, clique.drop_in_parent, largest=self._largest)

    def _total(self, c: int, *, without: int) -> Array:
        clique = self._tree.cliques[c]
        total = self._base[c]
        for child in clique.children:
            if child != without:
                total = total + self._up[child].reshape(self._batch, *self._tree.cliques[child].in_parent)
        if clique.parent >= 0 and c in self._down:
            total = total + self._down[c].reshape(self._batch, *clique.in_child)
        return total

    def belief(self, c: int) -> Array:
        """Normalised joint of a clique, shape (batch, ...)."""
        if c not in self._beliefs:
            total = self._total(c, without=-1)
            axes = tuple(range(1, total.ndim))
            share = np.exp(total - total.max(axis=axes, keepdims=True))
            self._beliefs[c] = share / share.sum(axis=axes, keepdims=True)
        return self._beliefs[c]

    def factor(self, factor: int) -> Array:
        """Normalised joint of a factor's variables, shape (batch, ...)."""
        group, place = self._potentials.find(factor)
        row = group.variables[place].tolist()
        scope = set(row)
        c = next(i for i, clique in enumerate(self._tree.cliques) if scope <= set(clique.variables))
        variables = self._tree.cliques[c].variables
        belief = self.belief(c)
        axes = tuple(1 + i for i, v in enumerate(variables) if v not in scope)
        table = belief.max(axis=axes) if self._largest else belief.sum(axis=axes)
        table = table / table.sum(axis=tuple(range(1, table.ndim)), keepdims=True)
        # Clique axes are in order of variable number, the factor's in the order in which it was given.
        ranks = np.argsort(np.argsort(row))
        out: Array = table.transpose(0, *(1 + ranks))
        return out

    def decode(self) -> Array:
        """One best joint state per case: fix the root, then each clique given what is fixed above it."""
        states: Array = np.full((self._batch, self._potentials.n), -1, dtype=np.intp)
        for c in reversed(self._tree.order):
            variables = self._tree.cliques[c].variables
            table = self._base[c]
            for child in self._tree.cliques[c].children:
                table = table + self._up[child].reshape(self._batch, *self._tree.cliques[child].in_parent)
            for b in range(self._batch):
                known = tuple(int(s) if s >= 0 else slice(None) for s in states[b, variables])
                open_variables = [v for v in variables if states[b, v] < 0]
                if open_variables:
                    free = table[b][known]
                    best = np.unravel_index(int(free.argmax()), free.shape)
                    states[b, open_variables] = best
        return states
