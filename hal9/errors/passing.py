"""Errors of passing."""

from dataclasses import dataclass

from hal9.errors.base import PassingError, install_hint

__all__ = [
    "EvidenceContradictory",
    "GraphInvalid",
    "PassingDiverged",
    "PassingExtraMissing",
    "PassingInvalid",
    "TableBudgetExceeded",
]


@dataclass(eq=False, kw_only=True)
class GraphInvalid(PassingError):
    """Edges, weights or nodes do not make a graph."""

    what: str
    detail: str

    def message(self) -> str:
        return f"The graph's {self.what} cannot be used: {self.detail}."


@dataclass(eq=False, kw_only=True)
class PassingInvalid(PassingError):
    """An argument of a solver makes no sense."""

    what: str
    detail: str
    remedy: str = ""

    def message(self) -> str:
        return f"{self.what}: {self.detail}." + (f" {self.remedy}." if self.remedy else "")


@dataclass(eq=False, kw_only=True)
class PassingDiverged(PassingError):
    """An iteration stopped at its limit without reaching its tolerance."""

    what: str
    iterations: int
    residual: float

    def message(self) -> str:
        return (
            f"{self.what} did not converge in {self.iterations} iterations (last change {self.residual:.3g}). "
            "Allow more iterations, add damping, choose another schedule, or relax the tolerance."
        )


@dataclass(eq=False, kw_only=True)
class EvidenceContradictory(PassingError):
    """The evidence and the hard constraints leave no state possible."""

    variable: int

    def message(self) -> str:
        return (
            f"Variable {self.variable} has no possible state left under the given evidence and the zeros in the "
            "tables. Check the evidence, or soften the tables."
        )


@dataclass(eq=False, kw_only=True)
class TableBudgetExceeded(PassingError):
    """Exact inference would need larger tables than allowed."""

    needed: int
    budget: int

    def message(self) -> str:
        return (
            f"Exact inference needs tables of at least {self.needed:,} entries "
            f"({self.needed * 8 / 2**30:.2f} GiB), the budget is {self.budget:,}. "
            "Raise table_budget, or choose method 'bp'."
        )


@dataclass(eq=False, kw_only=True)
class PassingExtraMissing(PassingError):
    """An optional library is not installed."""

    library: str
    extra: str
    purpose: str

    def message(self) -> str:
        return f"{self.purpose} needs {self.library}. Install it with: {install_hint(self.extra)}."
