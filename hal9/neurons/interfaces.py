"""What a neuron needs from the other rooms, as small protocols, and plain defaults for each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hal9.memory import Recall
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request
from hal9.neurons.messages.likely_bodies import SymbolPlace
from hal9.promptgram import Promptgram
from hal9.signals import Grant, RoutingDecision, TaskPayload, TaskScope
from hal9.workbench import ChangeSet

__all__ = [
    "CallContext",
    "Directory",
    "MemoryRetriever",
    "ModelClient",
    "NoMap",
    "PromptSource",
    "RepositoryMapper",
    "Router",
    "WorkspaceAccess",
]


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom a model call is made; `call_id` is stable, so that accounts count a call once."""

    task_id: str
    call_id: str
    neuron: str
    grant: Grant = field(default_factory=Grant)


class ModelClient(Protocol):
    """Makes model calls within budgets."""

    async def think(
        self, model: str, request: Request, *, call: CallContext, on_token: OnToken | None = None
    ) -> Reply:
        """Ask the mind that `model` names ("default" is the home's default).

        Raises:
            LimitError: a budget does not allow the call.
            MindError: the mind failed.
        """
        ...

    async def capabilities(self, model: str) -> Capabilities:
        """What the mind can do by itself.

        Raises:
            MindError: it cannot be opened; names the remedy.
        """
        ...

    def window(self, model: str) -> int:
        """Most tokens that prompt and reply of one call may have together, as far as is known."""
        ...


class MemoryRetriever(Protocol):
    """Finds the memory that applies to a task, or none."""

    async def recall(
        self, objective: str, *, scope: TaskScope, neuron: str, layer: int, part: bool = False
    ) -> Recall | None:
        """One memory or none; `part` says that the objective is one part of a divided task."""
        ...


class Router(Protocol):
    """Chooses a neuron of the next layer."""

    def choose(
        self, source: str, candidates: Sequence[str], *, task_class: str, task_id: str, text: str = ""
    ) -> RoutingDecision:
        """Choose one of the candidates (never empty); `text` is what is asked."""
        ...


class Directory(Protocol):
    """Knows which neurons can be reached now."""

    async def wait_candidates(self, names: Sequence[str], *, exclude: str, task_id: str) -> dict[str, int]:
        """`candidates`, as soon as there is one; whoever asks bounds the wait."""
        ...

    def candidates(self, names: Sequence[str], *, exclude: str) -> dict[str, int]:
        """Reachable neurons for names or layers ("L3"), with their layers; never `exclude` itself."""
        ...


class RepositoryMapper(Protocol):
    """Draws the ranked map of a workspace."""

    async def map(self, workspace: Path, task: str, *, tokens: int) -> str:
        """Text of at most `tokens` tokens; empty when there is nothing worth showing."""
        ...

    async def map_with_symbols(
        self, workspace: Path, task: str, *, tokens: int, symbols: int
    ) -> tuple[str, list[SymbolPlace]]:
        """The map, and the functions and classes that matter most, best first."""
        ...


class PromptSource(Protocol):
    """The promptgram a neuron works with; a canary may get another one than the rest."""

    def prompt_for(self, neuron: str, *, task_id: str) -> Promptgram:
        """Promptgram in force for this neuron and task."""
        ...

    def compares(self, neuron: str) -> bool:
        """Whether two promptgrams of this neuron are being compared on its tasks."""
        ...


class WorkspaceAccess(Protocol):
    """Gets the workspaces of tasks from other machines, and gives what a turn changed back to them."""

    async def is_away(self, task: TaskPayload) -> bool:
        """Whether the task's workspace is on another machine."""
        ...

    async def fetch(self, task: TaskPayload, task_id: str, into: Path) -> None:
        """Have a copy of the workspace in the new folder `into`, whole or not at all.

        Raises:
            WorkspaceAway: it cannot be had.
        """
        ...

    async def fetch_changes(self, task: TaskPayload, task_id: str, name: str, into: Path) -> None:
        """Have a change set of the task that is kept there in the new folder `into`.

        Raises:
            WorkspaceAway: it cannot be had.
        """
        ...

    async def give_back(
        self, task: TaskPayload, task_id: str, kept: ChangeSet, name: str, *, carry: bool
    ) -> None:
        """Have a change set kept there under a name; with `carry` also carried over, once.

        Raises:
            WorkspaceConflict: the workspace was changed meanwhile; nothing was changed.
            WorkspaceAway: it could not be done there.
        """
        ...

    async def was_carried(self, task: TaskPayload, task_id: str, name: str) -> bool:
        """Whether the change set of this name was carried over.

        Raises:
            WorkspaceAway: nobody answers.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoMap:
    """Draws nothing."""

    async def map(self, workspace: Path, task: str, *, tokens: int) -> str:
        return ""

    async def map_with_symbols(
        self, workspace: Path, task: str, *, tokens: int, symbols: int
    ) -> tuple[str, list[SymbolPlace]]:
        return "", []
