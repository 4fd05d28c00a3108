"""What a process of a cluster is to be: decided before anything is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hal9.bus import FailureHandler
from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.neurons import NeuronDefinition
from hal9.settings import Settings

__all__ = ["NodePlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a process is to be.

    Attributes:
        home: whose neurons these are.
        node: the process's name on the broker.
        definitions: the neurons it hosts.
        settings: in force now.
        clock: time.
        snapshots: where it keeps the copies of workspaces that turns work in.
        whole_tasks: whether this journal holds the tasks' whole paths; else steps travel with results.
        alert: shows a warning to the user.
        on_failure: asked when a signal is given up.
    """

    home: Home
    node: str
    definitions: Mapping[str, NeuronDefinition]
    settings: Callable[[], Settings]
    clock: Clock
    snapshots: Path
    whole_tasks: bool
    alert: Callable[[str], None]
    on_failure: FailureHandler
