"""Errors of the hooks for other agents."""

from dataclasses import dataclass

from hal9.errors.base import LearningError, install_hint

__all__ = ["HookExtraMissing", "HookSettingsUnreadable"]


@dataclass(eq=False, kw_only=True)
class HookSettingsUnreadable(LearningError):
    """An agent's settings are not what they should be; nothing was written."""

    exit_code = 3
    file: str
    problem: str

    def message(self) -> str:
        return f"{self.file} was left as it is: {self.problem}. Mend it, then install the hook again."


@dataclass(eq=False, kw_only=True)
class HookExtraMissing(LearningError):
    """A package that only this needs is not installed."""

    exit_code = 3
    package: str

    def message(self) -> str:
        return f"This needs the package {self.package}: `{install_hint(self.package)}`."
