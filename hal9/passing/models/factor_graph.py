"""`FactorGraph`: discrete variables, log tables over any number of them, and inference."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from hal9.errors.passing import PassingInvalid, TableBudgetExceeded
from hal9.passing.exact.junction import JunctionTree
from hal9.passing.loopy.loopy import Loopy, LoopyPlan
from hal9.passing.result import Array, OnFailure, report_failure
from hal9.passing.tables.inference import Inference, Mode
from hal9.passing.tables.potentials import Group, Local, Potentials

__all__ = ["FactorGraph", "InferenceMethod"]

InferenceMethod: TypeAlias = Literal["auto", "exact", "bp", "trw"]
TABLE_BUDGET = 2**21  # entries of all clique tables together: 16 MiB of floats, well under a second


class FactorGraph:
    """A product of non-negative tables over discrete variables, kept as logs.

    >>> fg = FactorGraph([2, 2])
    >>> fg.add([0], [0.0, 1.0])
    0
    >>> fg.add([0, 1], [[1.0, 0.0], [0.0, 1.0]])
    1
    >>> fg.infer().marginals[1].round(3).tolist()
    [0.378, 0.622]
    """

    def __init__(self, cardinality: Sequence[int] | Array) -> None:
        """Create variables 0..n-1 with the given numbers of states."""
        self.cardinality: Array = np.asarray(cardinality, dtype=np.intp)
        if self.cardinality.ndim != 1 or (self.cardinality < 1).any():
            raise PassingInvalid(what="cardinality", detail="every variable needs at least one state")
        self.factors = 0
        self._bulk: list[Group] = []
        self._single: dict[tuple[int, ...], list[tuple[int, Array, Array]]] = {}
        self._potentials: Potentials | None = None
        self._plan: LoopyPlan | None = None
        self._tree: tuple[int, JunctionTree | None, int] | None = None

    def _changed(self) -> None:
        self._potentials = self._plan = self._tree = None

    def _checked(self, variables: Any) -> Array:
        ids = np.asarray(variables)
        if ids.size == 0 or ids.dtype.kind not in "iu":
            raise PassingInvalid(
                what="variables", detail="a factor needs at least one variable, given by number"
            )
        if ids.min() < 0 or ids.max() >= len(self.cardinality):
            raise PassingInvalid(
                what="variables", detail=f"not all of 0..{len(self.cardinality) - 1}: {ids.tolist()[:8]}"
            )
        return ids.astype(np.intp)

    @staticmethod
    def _usable(table: Array) -> None:
        if np.isnan(table).any() or np.isposinf(table).any():
            raise PassingInvalid(
                what="log_table",
                detail="holds nan or +inf",
                remedy="Use logs of finite, non-negative numbers",
            )

    def add(self, variables: Sequence[int], log_table: Any) -> int:
        """Add one factor; -inf in its table forbids a combination. Returns the factor's number."""
        ids = self._checked(variables)
        table = np.asarray(log_table, dtype=np.float64)
        shape = tuple(self.cardinality[ids].tolist())
        if ids.ndim != 1 or len(set(ids.tolist())) != len(ids):
            raise PassingInvalid(
                what="variables", detail=f"a factor names each variable once, found {list(variables)}"
            )
        if table.shape != shape:
            raise PassingInvalid(what="log_table", detail=f"expected shape {shape}, found {table.shape}")
        self._usable(table)
        self._single.setdefault(shape, []).append((self.factors, ids, table))
        self._changed()
        self.factors += 1
        return self.factors - 1

    def add_many(self, variables: Any, log_table: Any) -> range:
        """Add many factors of one shape at once.

        Args:
            variables: Shape (factors, arity).
            log_table: One shared table, shape (k1, ..., kr), or one per factor, (factors, k1, ..., kr).

        Returns:
            The factors' numbers.
        """
        ids = self._checked(variables)
        if ids.ndim != 2:
            raise PassingInvalid(
                what="variables", detail=f"expected shape (factors, arity), found {ids.shape}"
            )
        count = len(ids)
        shapes = self.cardinality[ids]
        ordered = np.sort(ids, axis=1)
        if (shapes != shapes[0]).any() or (ordered[:, 1:] == ordered[:, :-1]).any():
            raise PassingInvalid(
                what="variables", detail="all rows need the same numbers of states and no repeated variable"
            )
        shape = tuple(shapes[0].tolist())
        table = np.asarray(log_table, dtype=np.float64)
        if table.shape == (count, *shape):
            table = np.ascontiguousarray(np.moveaxis(table, 0, -1))
        elif table.shape == shape:
            table = table[..., None]
        else:
            raise PassingInvalid(
                what="log_table", detail=f"expected shape {shape} or {(count, *shape)}, found {table.shape}"
            )
        self._usable(table)
        numbers = range(self.factors, self.factors + count)
        self._bulk.append(Group(ids=np.arange(numbers.start, numbers.stop), variables=ids, table=table))
        self._changed()
        self.factors += count
        return numbers

    def potentials(self) -> Potentials:
        """The factors grouped by shape, single-variable ones folded into the variables."""
        if self._potentials is None:
            stacked = [
                Group(
                    ids=np.array([number for number, _, _ in rows]),
                    variables=np.stack([ids for _, ids, _ in rows]),
                    table=np.stack([table for _, _, table in rows], axis=-1),
                )
                for rows in self._single.values()
            ]
            self._potentials = Potentials(self.cardinality, [*self._bulk, *stacked], self.factors)
        return self._potentials

    def log_potential(self, states: Any) -> Array:
        """Sum of log tables at joint `states`, shape (variables,) or (batch, variables)."""
        return self.potentials().score(np.atleast_2d(np.asarray(states, dtype=np.intp)))

    def infer(
        self,
        *,
        method: InferenceMethod = "auto",
        mode: Mode = "sum",
        evidence: Mapping[int, Any] | None = None,
        unary: Mapping[int, Any] | None = None,
        loopy: Loopy | None = None,
        init: Inference | None = None,
        table_budget: int = TABLE_BUDGET,
        on_failure: OnFailure = "warn",
    ) -> Inference:
        """Marginals (mode "sum") or the most probable state (mode "max").

        Args:
            method: "exact" (junction tree), "bp", "trw" (pairwise factors only), or "auto": exact when the
                tables fit the budget, else belief propagation, else, if that does not converge and factors
                are pairwise, tree-reweighted. The result says which one it was.
            mode: Sum- or max-product.
            evidence: Observed states: variable → state, or → shape (batch,) for many cases at once.
            unary: Extra log potentials: variable → shape (states,) or (batch, states).
            loopy: Settings of the message passing.
            init: An earlier result of this graph whose messages to start from.
            table_budget: Largest number of entries in all clique tables together.
            on_failure: What to do when messages do not converge.

        Raises:
            EvidenceContradictory: No joint state is left.
            TableBudgetExceeded: Method "exact", and the tables are larger than allowed.
            PassingInvalid: An argument makes no sense.
        """
        if method not in ("auto", "exact", "bp", "trw") or mode not in ("sum", "max"):
            raise PassingInvalid(what="infer", detail=f"method {method!r} with mode {mode!r} is unknown")
        potentials = self.potentials()
        local = potentials.local(evidence or {}, unary or {})
        if method in ("auto", "exact"):
            tree, needed = self._junction_tree(table_budget)
            if tree is not None:
                return tree.infer(local, mode)
            if method == "exact":
                raise TableBudgetExceeded(needed=needed, budget=table_budget)
        return self._infer_loopy(method, mode, local, loopy or Loopy(), init=init, on_failure=on_failure)

    def _junction_tree(self, budget: int) -> tuple[JunctionTree | None, int]:
        if self._tree is None or self._tree[0] != budget:
            tree, needed = JunctionTree.within(self.potentials(), budget)
            self._tree = (budget, tree, needed)
        return self._tree[1], self._tree[2]

    def _infer_loopy(
        self,
        method: InferenceMethod,
        mode: Mode,
        local: Local,
        loopy: Loopy,
        *,
        init: Inference | None,
        on_failure: OnFailure,
    ) -> Inference:
        if self._plan is None:
            self._plan = LoopyPlan(self.potentials())
        messages = None if init is None or init.messages.size == 0 else init.messages
        first: Literal["bp", "trw"] = "trw" if method == "trw" else "bp"
        found = self._plan.run(local, loopy, mode=mode, method=first, messages=messages)
        if method == "auto":
            found.fallback = "tables exceed the budget of exact inference"
            if found.converged is False and self.potentials().pairwise and mode == "sum":
                second = self._plan.run(local, loopy, mode=mode, method="trw", messages=None)
                if second.converged:
                    second.fallback = f"belief propagation did not converge in {found.iterations} rounds"
                    found = second
        if found.converged is False:
            report_failure(
                f"Inference by {found.method}", found.iterations, float(found.residuals[-1]), on_failure
            )
        return found
