"""`FactorGraph`: discrete variables, log tables over any number of them, and inference."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from hal9.errors.passing import EvidenceContradictory, PassingInvalid, TableBudgetExceeded
from hal9.passing.exact.elimination import Elimination, Order, Plan, plan
from hal9.passing.exact.junction import JunctionTree, neighbourhoods
from hal9.passing.exact.large import LargeNetwork
from hal9.passing.exact.lazy_propagation import TooLarge, Underflow
from hal9.passing.loopy.loopy import Loopy, LoopyPlan
from hal9.passing.result import ApproximateWarning, Array, OnFailure, report_failure
from hal9.passing.tables.inference import Inference, Mode
from hal9.passing.tables.potentials import Group, Local, Potentials
from hal9.text import split_lines

__all__ = ["FactorGraph", "InferenceMethod"]

InferenceMethod: TypeAlias = Literal["auto", "exact", "bp", "trw"]
_DENSE = (
    2**15
)  # entries of all clique tables together up to which whole tables are quicker than lists of them
_COPIES = 4  # tables of a clique's size that are alive at a time, all cliques together
_MOST_BYTES = 2**32


class FactorGraph:
    """A product of non-negative tables over discrete variables, kept as logs.

    Attributes:
        cardinality: states per variable.
        factors: how many factors.
        conditionals: factor number of a table P(child | others) → its child; `BayesNet` fills it in. Such a
            table costs nothing where nobody asks about its child.
        elimination: order of exact inference: "min-fill", "min-weight", or "auto", the cheaper of both.

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
        self.conditionals: dict[int, int] = {}
        self.elimination: Elimination = "auto"
        self._exact: tuple[Elimination, Plan, LargeNetwork] | None = None
        self._junction: JunctionTree | None = None

    def _changed(self) -> None:
        self._potentials = self._plan = self._exact = self._junction = None

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
        table_budget: int | None = None,
        on_failure: OnFailure = "warn",
    ) -> Inference:
        """Marginals (mode "sum") or the most probable state (mode "max").

        Args:
            method: "exact" (junction tree), "bp", "trw" (pairwise factors only), or "auto": exact when the
                tables fit the budget, else, with a warning, belief propagation, else, if that does not
                converge and factors are pairwise, tree-reweighted. The result says which one it was.
            mode: Sum- or max-product.
            evidence: Observed states: variable → state, or → shape (batch,) for many cases at once.
            unary: Extra log potentials: variable → shape (states,) or (batch, states).
            loopy: Settings of the message passing.
            init: An earlier result of this graph whose messages to start from.
            table_budget: Largest number of entries in all clique tables together; None for what fits into
                half of the free memory, at most 4 GiB.
            on_failure: What to do when messages do not converge, or when "auto" cannot be exact.

        Raises:
            EvidenceContradictory: No joint state is left.
            TableBudgetExceeded: Method "exact" (or "auto" that must not fall back), and the tables are larger
                than allowed.
            PassingInvalid: An argument makes no sense.
        """
        if method not in ("auto", "exact", "bp", "trw") or mode not in ("sum", "max"):
            raise PassingInvalid(what="infer", detail=f"method {method!r} with mode {mode!r} is unknown")
        local = self.potentials().local(evidence or {}, unary or {})
        if method in ("auto", "exact"):
            found, needed, budget = self._infer_exact(local, mode, table_budget, None)
            if found is not None:
                return found
            over = TableBudgetExceeded(needed=needed, budget=budget)
            if method == "exact" or on_failure == "raise":
                raise over
            if on_failure == "warn":
                warnings.warn(
                    f"The result is approximate. {over.message()}", ApproximateWarning, stacklevel=2
                )
        return self._infer_loopy(method, mode, local, loopy or Loopy(), init=init, on_failure=on_failure)

    def query(
        self,
        variables: Sequence[int],
        *,
        evidence: Mapping[int, int] | None = None,
        table_budget: int | None = None,
    ) -> Inference:
        """Exact marginals of some variables; what cannot matter for them is not looked at.

        Barren conditional tables and what the evidence separates from the variables are pruned before a tree
        is built. Marginals of other variables are nan.

        Args:
            variables: Which ones.
            evidence: Observed states.
            table_budget: As in `infer`.

        Raises:
            EvidenceContradictory: No joint state is left.
            TableBudgetExceeded: The tables are larger than allowed.
        """
        asked = frozenset(self._checked(list(variables)).tolist())
        local = self.potentials().local(evidence or {}, {})
        if local.batched:
            raise PassingInvalid(what="query", detail="takes the evidence of one case")
        found, needed, budget = self._infer_exact(local, "sum", table_budget, asked)
        if found is None:
            raise TableBudgetExceeded(needed=needed, budget=budget)
        return found

    def _infer_exact(
        self, local: Local, mode: Mode, table_budget: int | None, query: frozenset[int] | None
    ) -> tuple[Inference | None, int, int]:
        """The result, or None; the entries needed, and those allowed."""
        whole, large = self._plans()
        budget = _entries_allowed() if table_budget is None else table_budget
        small = whole.order is not None and whole.entries <= min(_DENSE, budget) and query is None
        if not small and mode == "sum" and local.batch == 1:
            reduced = large.reduce(local, query)
            # Lists of tables seldom come near whole clique tables: without a budget given, it is tried out.
            if reduced.plan.order is not None and (table_budget is None or reduced.plan.entries <= budget):
                try:
                    return large.infer(local, reduced, budget), reduced.plan.entries, budget
                except TooLarge:
                    return None, reduced.plan.entries, budget
                except Underflow:
                    # The log scale, below, has no such limit.
                    pass
            elif query is not None or whole.order is None or whole.entries > budget:
                return None, reduced.plan.entries, budget
        needed = whole.entries * local.batch
        if whole.order is None or needed > budget:
            return None, needed, budget
        return self._tree(whole.order).infer(local, mode), needed, budget

    def _plans(self) -> tuple[Plan, LargeNetwork]:
        if self._exact is None or self._exact[0] != self.elimination:
            potentials = self.potentials()
            near = neighbourhoods(potentials)
            whole = plan(near, self.cardinality.tolist(), range(potentials.n), self.elimination)
            large = LargeNetwork(potentials, self.conditionals, self.elimination)
            self._exact, self._junction = (self.elimination, whole, large), None
        return self._exact[1], self._exact[2]

    def _tree(self, order: Order) -> JunctionTree:
        if self._junction is None:
            self._junction = JunctionTree(self.potentials(), order)
        return self._junction

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
        for group in self.potentials().groups:
            dead = np.isneginf(group.table.max(axis=tuple(range(group.arity))))
            if dead.any():
                raise EvidenceContradictory(variable=int(group.variables[int(dead.argmax()), 0]))
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


def _entries_allowed() -> int:
    """Entries of all clique tables that half of the free memory holds, with room for copies."""
    free = _MOST_BYTES
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in split_lines(meminfo.read_text(encoding="ascii")):
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024 // 2
    return min(free, _MOST_BYTES) // (8 * _COPIES)
