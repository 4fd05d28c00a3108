"""Discrete Bayesian networks with names, from BIF files, pgmpy models or plain tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hal9.errors.passing import PassingInvalid
from hal9.passing.models.factor_graph import FactorGraph
from hal9.passing.result import Array
from hal9.passing.tables.inference import Inference

__all__ = ["BayesNet", "NetMarginals"]


class BayesNet:
    """A factor graph whose variables and states have names.

    Attributes:
        names: Variable names; their order is the numbering of `graph`.
        states: Per variable the names of its states.
        graph: One factor per conditional table.
    """

    def __init__(self, states: Mapping[str, Sequence[str]]) -> None:
        self.names = list(states)
        self.states = [list(s) for s in states.values()]
        self.graph = FactorGraph([len(s) for s in self.states])
        self._number = {name: i for i, name in enumerate(self.names)}

    def number(self, name: str) -> int:
        """The variable's number."""
        if name not in self._number:
            raise PassingInvalid(what="variable", detail=f"{name!r} is not in this network")
        return self._number[name]

    def add(self, child: str, parents: Sequence[str], table: Any) -> int:
        """Add P(child | parents), shape (child states, parent states ...); returns the factor.

        Columns that sum to 1 but for rounding in print are scaled to do so.
        """
        values = np.asarray(table, dtype=np.float64)
        if (values < 0).any() or not np.allclose(values.sum(axis=0), 1.0, atol=1e-3):
            raise PassingInvalid(what=f"table of {child}", detail="every column must be a distribution")
        values = values / values.sum(axis=0)
        with np.errstate(divide="ignore"):
            factor = self.graph.add([self.number(child), *map(self.number, parents)], np.log(values))
        self.graph.conditionals[factor] = self.number(child)
        return factor

    def evidence(self, seen: Mapping[str, str]) -> dict[int, int]:
        """Names to numbers."""
        out = {}
        for name, state in seen.items():
            v = self.number(name)
            if state not in self.states[v]:
                raise PassingInvalid(
                    what="evidence", detail=f"{name} has states {self.states[v]}, not {state!r}"
                )
            out[v] = self.states[v].index(state)
        return out

    def infer(self, seen: Mapping[str, str] | None = None, **options: Any) -> Inference:
        """`FactorGraph.infer` with evidence by name."""
        return self.graph.infer(evidence=self.evidence(seen or {}), **options)

    def marginals(
        self, seen: Mapping[str, str] | None = None, *, query: Sequence[str] | None = None, **options: Any
    ) -> "NetMarginals":
        """Distribution of every variable, or of those asked about, by name.

        Args:
            seen: evidence by name.
            query: names; None for all. What cannot matter for them is not looked at.
            options: of `FactorGraph.infer`, or of `FactorGraph.query`.
        """
        if query is None:
            return NetMarginals(self.names, self.infer(seen, **options))
        found = self.graph.query(
            [self.number(name) for name in query], evidence=self.evidence(seen or {}), **options
        )
        return NetMarginals(self.names, found, query)

    @classmethod
    def from_tables(cls, data: Mapping[str, Any]) -> "BayesNet":
        """From `{"states": {name: [...]}, "tables": [{"child": ..., "parents": [...], "values": ...}]}`."""
        net = cls(data["states"])
        for row in data["tables"]:
            net.add(row["child"], row["parents"], row["values"])
        return net

    @classmethod
    def from_pgmpy(cls, model: Any) -> "BayesNet":
        """From a pgmpy model whose nodes have tabular conditional distributions."""
        tables = {cpd.variable: cpd for cpd in model.get_cpds()}
        net = cls({str(v): [str(s) for s in cpd.state_names[v]] for v, cpd in tables.items()})
        for cpd in tables.values():
            scope = [str(v) for v in cpd.variables]
            net.add(scope[0], scope[1:], cpd.values)
        return net


class NetMarginals(dict[str, Array]):
    """Distributions by name, and how they were obtained.

    Attributes:
        exact: whether the figures are exact up to rounding.
        method: "exact", "bp" or "trw".
        converged: whether messages settled; True for exact inference.
        fallback: why it is not exact, "" when it is.
        inference: everything else.
    """

    def __init__(
        self, names: Sequence[str], inference: Inference, query: Sequence[str] | None = None
    ) -> None:
        place = {name: k for k, name in enumerate(names)}
        chosen = names if query is None else query
        super().__init__((name, inference.marginals[place[name]]) for name in chosen)
        self.inference = inference
        self.exact, self.method, self.converged = inference.exact, inference.method, inference.converged
        self.fallback = inference.fallback

    def __repr__(self) -> str:
        return f"NetMarginals({dict.__repr__(self)}, exact={self.exact}, method={self.method!r})"
