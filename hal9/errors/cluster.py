"""Errors of cluster."""

from dataclasses import dataclass

from hal9.errors.base import ClusterError, ConfigError

__all__ = [
    "ClientClosed",
    "ClusterNameTaken",
    "DaemonFailed",
    "DaemonNotRunning",
    "DaemonRunning",
    "HomeExists",
    "HomeMissing",
    "HomeNotOnFiles",
    "HomeUnwritable",
    "HostUnknown",
    "NeuronHostedElsewhere",
    "RequestInvalid",
    "StopTimeout",
    "TaskFailed",
    "TaskFinished",
    "TaskInvalid",
    "TaskNotQueued",
    "TaskUnfinished",
    "TaskUnknown",
    "WorkloadUnreadable",
]


@dataclass(eq=False, kw_only=True)
class HomeNotOnFiles(ClusterError):
    """What works on copies of a home's files was asked of one whose state is on a server."""

    exit_code = 2
    what: str

    def message(self) -> str:
        return (
            f"{self.what} works on copies of a home's files, and the state of this home is on PostgreSQL "
            f"(state.url). Make a home for it (`hal9 init DIR`) and name it with --home DIR."
        )


@dataclass(eq=False, kw_only=True)
class HomeMissing(ConfigError):
    """There is no HAL9 home where one was looked for."""

    tried: tuple[str, ...]

    def message(self) -> str:
        return (
            f"no HAL9 home found (looked in {', '.join(self.tried)}). "
            "`hal9 init DIR` makes one; --home DIR or HAL9_HOME names it."
        )


@dataclass(eq=False, kw_only=True)
class HomeExists(ConfigError):
    """`init` would overwrite something."""

    path: str

    def message(self) -> str:
        return f"{self.path} already exists; `hal9 init` never overwrites. Choose an empty directory."


@dataclass(eq=False, kw_only=True)
class HomeUnwritable(ConfigError):
    """The state folder is read-only, full, or somebody else's."""

    home: str
    detail: str

    def message(self) -> str:
        return (
            f"the home {self.home} cannot be written ({self.detail}). Make .hal9/ writable for this user, free "
            "disk space, or use another home; nothing was changed."
        )


@dataclass(eq=False, kw_only=True)
class DaemonRunning(ClusterError):
    """A second daemon on one home."""

    home: str
    pid: int | None

    def message(self) -> str:
        return (
            f"a cluster already runs on {self.home} (process {self.pid or 'unknown'}); `hal9 stop` ends it."
        )


@dataclass(eq=False, kw_only=True)
class DaemonNotRunning(ClusterError):
    """The command needs a running cluster."""

    home: str

    def message(self) -> str:
        return f"no cluster runs on {self.home}; start it with `hal9 up --detach`."


@dataclass(eq=False, kw_only=True)
class ClusterNameTaken(ClusterError):
    """Another home runs a cluster of this name on the same broker."""

    exit_code = 4
    cluster: str
    broker: str
    other: str

    def message(self) -> str:
        return (
            f"another home ({self.other}) runs a cluster of the name {self.cluster!r} on {self.broker}. Give this "
            "one another name (cluster.name in config/hal9.yaml)."
        )


@dataclass(eq=False, kw_only=True)
class NeuronHostedElsewhere(ClusterError):
    """Another process serves this neuron's inbox already."""

    name: str
    node: str

    def message(self) -> str:
        return (
            f"neuron {self.name!r} is already served by {self.node!r}. Take it out of neurons.enabled there "
            "(and restart), or stop that process."
        )


@dataclass(eq=False, kw_only=True)
class DaemonFailed(ClusterError):
    """The detached daemon ended before it was ready."""

    log: str
    detail: str
    code: int = 1

    def __post_init__(self) -> None:
        # The daemon's own exit code says what it is about.
        self.exit_code = self.code  # type: ignore[misc]

    def message(self) -> str:
        return f"the cluster did not come up: {self.detail.removeprefix('hal9: ')}\nIts log: {self.log}"


@dataclass(eq=False, kw_only=True)
class StopTimeout(ClusterError):
    """The daemon did not end in time."""

    pid: int
    seconds: float

    def message(self) -> str:
        return f"process {self.pid} did not end within {self.seconds:.0f} s; `hal9 stop --force` kills it."


@dataclass(eq=False, kw_only=True)
class RequestInvalid(ClusterError):
    """Something was asked of the daemon that it could only refuse."""

    exit_code = 2
    kind: str
    problem: str

    def message(self) -> str:
        return f"this {self.kind} request was not taken: {self.problem}"


@dataclass(eq=False, kw_only=True)
class TaskUnknown(ClusterError):
    """No task, or several, by that id."""

    exit_code = 7
    given: str
    matches: tuple[str, ...] = ()

    def message(self) -> str:
        if self.matches:
            return f"{self.given!r} fits several tasks: {', '.join(self.matches)}"
        return f"no task {self.given!r}; `hal9 tasks` lists them."


@dataclass(eq=False, kw_only=True)
class TaskNotQueued(ClusterError):
    """The task was cancelled or taken up meanwhile."""

    task_id: str

    def message(self) -> str:
        return f"task {self.task_id} is not queued any more"


@dataclass(eq=False, kw_only=True)
class TaskFinished(ClusterError):
    """What was asked needs a task that is still going on."""

    task_id: str
    state: str

    def message(self) -> str:
        return f"task {self.task_id} is {self.state} already"


@dataclass(eq=False, kw_only=True)
class TaskUnfinished(ClusterError):
    """What was asked needs a task that is over."""

    task_id: str
    state: str

    def message(self) -> str:
        short = self.task_id[-12:]
        return f"task {self.task_id} is still {self.state}; `hal9 watch {short}` follows it, `hal9 cancel {short}` ends it."


@dataclass(eq=False, kw_only=True)
class TaskInvalid(ClusterError):
    """A task cannot be accepted as it was given."""

    exit_code = 2
    problem: str

    def message(self) -> str:
        return f"the task was not accepted: {self.problem}"


@dataclass(eq=False, kw_only=True)
class WorkloadUnreadable(ClusterError):
    """A workload's process said something that the protocol does not allow; it ends its own task only."""

    line: str
    problem: str

    def message(self) -> str:
        return (
            f"the workload's line {self.line!r} {self.problem}. Each line is one JSON object: "
            '{"progress": {"line": TEXT, "tally": {…}}} or {"result": {…}}.'
        )


@dataclass(eq=False, kw_only=True)
class TaskFailed(ClusterError):
    """A task ended without an answer."""

    exit_code = 8
    task_id: str
    reason: str

    def message(self) -> str:
        return f"task {self.task_id} failed: {self.reason}"


@dataclass(eq=False, kw_only=True)
class ClientClosed(ClusterError):
    """A client was used after it was closed."""

    def message(self) -> str:
        return "this client is closed; connect again"


@dataclass(eq=False, kw_only=True)
class HostUnknown(ClusterError):
    """No daemon of this cluster calls its host so."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        if not self.known:
            return (
                "Only clusters whose state is on PostgreSQL (state.url) have hosts to drain; none is up now."
            )
        return f"No host of this cluster is called {self.name!r}; there are {', '.join(self.known)}."
