"""Errors of learning report."""

from dataclasses import dataclass

from hal9.errors.base import LearningError

__all__ = [
    "ReportExtraMissing",
    "ReportUnwritable",
]


@dataclass(eq=False, kw_only=True)
class ReportExtraMissing(LearningError):
    """matplotlib is not installed."""

    def message(self) -> str:
        return (
            "PNG charts need matplotlib; the SVG charts were written without it. "
            "Install it with: pip install 'hal9[pictures]'"
        )


@dataclass(eq=False, kw_only=True)
class ReportUnwritable(LearningError):
    """The report's folder cannot be written."""

    folder: str
    detail: str

    def message(self) -> str:
        return f"the report cannot be written into {self.folder}: {self.detail}. Name another folder"
