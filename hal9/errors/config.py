"""Errors of config."""

from dataclasses import dataclass

from hal9.errors.base import ConfigError

__all__ = [
    "ConfigInvalid",
    "ConfigMissing",
    "ConfigProblem",
    "PathUnusable",
]


@dataclass(frozen=True, kw_only=True)
class ConfigProblem:
    """One mistake in a file of the user's."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(eq=False, kw_only=True)
class ConfigInvalid(ConfigError):
    """A configuration file has mistakes; all of them are listed."""

    problems: tuple[ConfigProblem, ...]

    def message(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(eq=False, kw_only=True)
class ConfigMissing(ConfigError):
    """There is no such configuration file."""

    path: str

    def message(self) -> str:
        if not self.path.endswith("hal9.yaml"):
            return f"{self.path} does not exist. Name a file that is there."
        return (
            f"{self.path} does not exist. `hal9 init DIR` writes a fresh home; --home DIR names another one."
        )


@dataclass(eq=False, kw_only=True)
class PathUnusable(ConfigError):
    """The system refuses a path that was named on the command line."""

    path: str
    detail: str

    def message(self) -> str:
        return f"{self.path}: {self.detail}. Name another path, or make this one usable for this user."
