"""Discrete Bayesian networks with names, from BIF files, pgmpy models or plain tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hal9.errors.passing import PassingExtraMissing, PassingInvalid
from hal9.passing.models.factor_graph import FactorGraph
from hal9.passing.result import Array
from hal9.passing.tables.inference import Inference

__all__ = ["BayesNet", "load_bif"]


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
            return self.graph.add([self.number(child), *map(self.number, parents)], np.log(values))

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

    def marginals(self, seen: Mapping[str, str] | None = None, **options: Any) -> dict[str, Array]:
        """Distribution of every variable by name."""
        return dict(zip(self.names, self.infer(seen, **options).marginals, strict=True))

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


def _as_printed(values: Array) -> Array:
    """The shortest decimals behind numbers that were read in single precision (0.01, not 0.0099999998)."""
    single = values.astype(np.float32)
    if not np.array_equal(single, values):
        return values
    return np.array([float(str(x)) for x in single.ravel()]).reshape(values.shape)


def load_bif(path: str | Path) -> BayesNet:
    """Read a BIF file (the format of the bnlearn repository) with pyAgrum.

    Raises:
        PassingExtraMissing: pyAgrum is not installed (extra "bayes").
        PassingInvalid: The file does not exist or is not BIF.
    """
    try:
        import pyagrum  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise PassingExtraMissing(library="pyagrum", extra="bayes", purpose="Reading BIF files") from error
    if not Path(path).is_file():
        raise PassingInvalid(what="BIF file", detail=f"{path} does not exist")
    try:
        source = pyagrum.loadBN(str(path), verbose=False)
    except (pyagrum.GumException, RuntimeError, ValueError) as error:
        raise PassingInvalid(what="BIF file", detail=f"{path} cannot be read ({error})") from error
    names = [source.variable(i).name() for i in sorted(source.nodes())]
    net = BayesNet({name: list(source.variable(name).labels()) for name in names})
    for name in names:
        table: Any = source.cpt(name)
        # pyAgrum lists a table's variables child first and stores its array the other way round.
        scope = list(table.names)
        values = table.toarray().transpose(tuple(reversed(range(len(scope)))))
        net.add(scope[0], scope[1:], _as_printed(values))
    return net
