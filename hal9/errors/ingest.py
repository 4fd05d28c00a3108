"""Errors of reading other agents' runs."""

from dataclasses import dataclass

from hal9.errors.base import LearningError

__all__ = ["RunFileUnreadable", "RunFormatUnknown"]


@dataclass(eq=False, kw_only=True)
class RunFormatUnknown(LearningError):
    """Nothing in the file looks like an agent's run."""

    exit_code = 2
    file: str

    def message(self) -> str:
        return (
            f"{self.file} holds no runs of a known kind. Known are trajectories of mini-swe-agent, sessions of Claude "
            'Code and Codex, events of OpenHands, and JSON lines such as {"run", "repo", "step", "command", "exit", '
            '"output"}.'
        )


@dataclass(eq=False, kw_only=True)
class RunFileUnreadable(LearningError):
    """The file cannot be opened or is no text."""

    exit_code = 2
    file: str
    problem: str

    def message(self) -> str:
        return f"{self.file} cannot be read: {self.problem}."
