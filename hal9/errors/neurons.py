"""Errors of neurons."""

from dataclasses import dataclass

from hal9.errors.base import ClusterError, ConfigError

__all__ = [
    "NeuronInvalid",
    "NeuronMissing",
    "NeuronUnknownTarget",
    "ReplyUnusable",
    "TurnFailed",
]


@dataclass(eq=False, kw_only=True)
class NeuronInvalid(ConfigError):
    """A neuron's file does not describe a neuron."""

    path: str
    problem: str

    def message(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(eq=False, kw_only=True)
class NeuronMissing(ConfigError):
    """A neuron or layer that is needed has no file."""

    what: str
    folder: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"no {self.what} in {self.folder}; there are: {', '.join(self.known) or 'none'}"


@dataclass(eq=False, kw_only=True)
class NeuronUnknownTarget(ConfigError):
    """A neuron would pass its work on to somebody who does not exist."""

    name: str
    target: str
    path: str

    def message(self) -> str:
        return (
            f"{self.name} passes work to {self.target!r} (next in {self.path}), and no neuron of this home is that. "
            "Correct the name, or add the neuron's file."
        )


@dataclass(eq=False, kw_only=True)
class ReplyUnusable(ClusterError):
    """A mind's reply is not of the form that was asked for."""

    detail: str
    text: str

    def message(self) -> str:
        return f"the reply cannot be used: {self.detail}"


@dataclass(eq=False, kw_only=True)
class TurnFailed(ClusterError):
    """A neuron's turn ended without a result; `reason` is one of signals.StopReason."""

    reason: str
    detail: str

    def message(self) -> str:
        return f"{self.reason}: {self.detail}"
