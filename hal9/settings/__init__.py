"""Every setting of a HAL9 home, as strict models. The documented YAML is `config/hal9.yaml`.

A test keeps that file and these models in step: each key is written there, with its default and a comment.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hal9.settings.base import Count, Positive, Seconds, Section, Share
from hal9.settings.learning import (
    BackwardPropagationSettings,
    ErrorWeights,
    GateSettings,
    NeuronLearning,
    QualitySettings,
    RoutingSettings,
    SafetySettings,
)

__all__ = [
    "ApiSettings",
    "BackwardPropagationSettings",
    "BrokerSettings",
    "BudgetSettings",
    "CapSettings",
    "ClusterSettings",
    "ErrorWeights",
    "GateSettings",
    "ImplementerSettings",
    "LayerPermissions",
    "LoggingSettings",
    "McpServerSettings",
    "MemorySettings",
    "MindSettings",
    "NeuronLearning",
    "NeuronSettings",
    "PassThroughSettings",
    "PersonSettings",
    "PolicyRule",
    "PriceSettings",
    "QualitySettings",
    "RepositoryMapSettings",
    "RoutingSettings",
    "SafetySettings",
    "Settings",
    "StateSettings",
    "TelemetrySettings",
    "ToolSettings",
    "WorkbenchSettings",
]


class ClusterSettings(Section):
    """The daemon and what it promises about tasks."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")] = "hal9"
    task_timeout_seconds: Seconds = 900.0
    signal_ttl_seconds: Seconds = 3600.0
    lease_seconds: Seconds = 60.0
    drain_seconds: Seconds = 20.0
    max_hops: Positive = 64
    max_depth: Positive = 4
    max_children: Positive = 8
    concurrent_turns: Positive = 4
    retention_days: Positive = 30


class BrokerSettings(Section):
    """Where signals travel. Without a URL the embedded broker runs on loopback."""

    url: str | list[str] | None = None
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    allow_plaintext: bool = False
    everything: bool = False
    server_path: str | None = None
    store_max_mb: Positive = 256
    store_max_age_hours: Positive = 72


class StateSettings(Section):
    """Where journal, budgets and memory are. Without a URL they are SQLite files in the home."""

    url: Annotated[str, Field(pattern=r"^postgres(ql)?://")] | None = None
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None


class PriceSettings(Section):
    """US dollars per million tokens."""

    prompt_usd: Annotated[float, Field(ge=0)]
    completion_usd: Annotated[float, Field(ge=0)]


class MindSettings(Section):
    """Language models."""

    default: str = "auto"
    threads: Count = 0
    context_tokens: Annotated[int, Field(ge=512)] = 4096
    timeout_seconds: Seconds = 300.0
    attempts: Positive = 4
    concurrent_calls: Positive = 2
    key_variable: str = "OPENAI_API_KEY"
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    agent_model: str = ""
    agent_usd_per_call: Annotated[float, Field(ge=0)] | None = 0.5
    agent_tokens_per_call: Positive = 60_000
    agent_variables: list[str] = Field(default_factory=list)
    record_to: str | None = None
    critic: str = "none"
    judge: str = "none"
    trusted_rule_writers: list[str] = Field(default_factory=list)


class PassThroughSettings(Section):
    """When strategy and design hand a small task on without asking a model."""

    enabled: bool = True
    max_words: Count = 220


class ImplementerSettings(Section):
    """How an implementing neuron answers a failing check."""

    attempts: Positive = 4
    retry_prompt: Literal["fresh", "append", "resample"] = "fresh"
    retry_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    shown_tokens: Count = 12_000
    first_check: bool = True


class PlannerSettings(Section):
    """How strategy and design look before they divide a task, and how parts that do not fit are mended."""

    steps: Positive = 16
    mends: Count = 2


class NeuronSettings(Section):
    """Which neurons run in the daemon, and how they take their turns."""

    enabled: list[str] = Field(default_factory=lambda: ["*"])
    pass_through: PassThroughSettings = Field(default_factory=PassThroughSettings)
    planner: PlannerSettings = Field(default_factory=PlannerSettings)
    implementer: ImplementerSettings = Field(default_factory=ImplementerSettings)


class LayerPermissions(Section):
    """What a layer may do in a task's workspace."""

    read: bool = True
    write: bool = False
    run: bool = False
    network: bool = False


LayerName = Literal["L4", "L3", "L2"]


def _layer_permissions() -> dict[LayerName, LayerPermissions]:
    return {
        "L4": LayerPermissions(),
        "L3": LayerPermissions(),
        "L2": LayerPermissions(write=True, run=True),
    }


class WorkbenchSettings(Section):
    """Files and commands of a task."""

    isolation: Literal["auto", "bubblewrap", "none"] = "auto"
    timeout_seconds: Seconds = 120.0
    output_kb: Positive = 64
    memory_mb: Positive = 2048
    file_mb: Positive = 64
    disk_mb: Positive = 4096
    temporary_mb: Positive = 1024
    processes: Positive = 256
    environment: str = ""
    read_only_folders: list[str] = Field(default_factory=list)
    shared_folders: list[str] = Field(default_factory=list)
    visible_files: list[str] = Field(default_factory=list)
    snapshot_mb: Positive = 2048
    snapshot_files: Positive = 200_000
    snapshot_seconds: Seconds = 120.0
    travel_mb: Positive = 512
    travel_seconds: Seconds = 300.0
    layers: dict[LayerName, LayerPermissions] = Field(default_factory=_layer_permissions)


class CapSettings(Section):
    """One budget; null means no cap of that kind."""

    tokens: Count | None = None
    usd: Annotated[float, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None


class BudgetSettings(Section):
    """Checked before every model call; a call that might pass a cap is not made."""

    task: CapSettings = Field(default_factory=lambda: CapSettings(tokens=200_000, usd=1.0))
    hour: CapSettings = Field(default_factory=lambda: CapSettings(usd=10.0))
    day: CapSettings = Field(default_factory=lambda: CapSettings(usd=100.0))


class MemorySettings(Section):
    """What is remembered and recalled."""

    embedder: str = "auto"
    recall_limit: Annotated[int, Field(ge=0, le=10)] = 3
    recall_tokens: Positive = 400
    rule_file_tokens: Annotated[int, Field(ge=0)] = 2000
    guards: Literal["off", "remind", "require-once"] = "require-once"
    min_similarity: Share = 0.2
    scope_gate: bool = True
    retention_days: Positive = 30
    min_importance: Share = 0.3
    max_entries: Positive = 100_000
    index_above: Positive = 100_000
    sleep_every_tasks: Positive = 200


class PolicyRule(Section):
    """One rule on actions; all conditions given must hold, the first rule that fits decides."""

    name: Annotated[str, Field(min_length=1)]
    verdict: Literal["allow", "remind", "ask", "refuse"]
    reason: str = ""
    neurons: list[str] = Field(default_factory=lambda: ["*"])
    tools: list[str] = Field(default_factory=list)
    programs: list[str] = Field(default_factory=list)
    paths: list[str] = Field(default_factory=list)
    outside: list[str] = Field(default_factory=list)
    text: str = ""

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not (self.tools or self.programs or self.paths or self.outside or self.text):
            raise ValueError("a rule needs at least one of tools, programs, paths, outside, text")
        return self


def _default_policy() -> list[PolicyRule]:
    return [
        PolicyRule(
            name="no-push",
            verdict="refuse",
            programs=["git push"],
            reason="nothing is pushed from here; leave the change in the workspace",
        )
    ]


class PersonSettings(Section):
    """What happens when a neuron asks a person."""

    ask: bool = True
    wait_seconds: Seconds = 259_200.0
    unanswered: Literal["continue", "stop"] = "continue"


class McpServerSettings(Section):
    """One MCP server: a program that is started, or an address."""

    command: str | None = None
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    folder: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    neurons: list[str] = Field(default_factory=lambda: ["*"])
    tools: list[str] = Field(default_factory=lambda: ["*"])
    start_seconds: Seconds = 20.0
    timeout_seconds: Seconds = 60.0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("an MCP server has either a command or a url")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"{self.url!r} is no http address")
        return self


class ToolSettings(Section):
    """Turns that go step by step with tools."""

    steps: Positive = 60
    tokens: Count | None = None
    usd: Annotated[float, Field(ge=0)] | None = None
    observation_chars: Annotated[int, Field(ge=500)] = 10_000
    context_tokens: Annotated[int, Field(ge=2048)] = 96_000
    reply_tokens: Annotated[int, Field(ge=256)] = 8192
    shown_tokens: Count = 3000
    servers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")], McpServerSettings] = Field(
        default_factory=dict
    )
    policy: list[PolicyRule] = Field(default_factory=_default_policy)
    person: PersonSettings = Field(default_factory=PersonSettings)


def _map_tokens() -> dict[LayerName, int]:
    return {"L4": 0, "L3": 1024, "L2": 1024}


class RepositoryMapSettings(Section):
    """The ranked map of the workspace that neurons see; 0 tokens turns it off for a layer."""

    tokens: dict[LayerName, Count] = Field(default_factory=_map_tokens)
    min_files: Count = 3
    max_files: Positive = 100_000
    timeout_seconds: Seconds = 60.0
    cache_megabytes: Positive = 1000


class ApiSettings(Section):
    """The HTTP interface and the dashboard."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    names: list[str] = Field(default_factory=list)
    tls_certificate: str | None = None
    tls_key: str | None = None
    allow_plaintext: bool = False
    workspaces: list[str] = Field(default_factory=list)
    max_body_mb: Positive = 8
    max_upload_mb: Positive = 64
    uploads_keep_hours: Positive = 72
    requests_per_minute: Positive = 6000
    max_streams: Positive = 2000
    a2a: bool = False


class TelemetrySettings(Section):
    """Traces of finished tasks and figures, sent to a collector of the user's and nowhere else."""

    otlp_url: str | None = None
    metrics_seconds: Seconds | None = 60.0
    headers: dict[str, str] = Field(default_factory=dict)
    service_name: str = "hal9"
    content: bool = False


class LoggingSettings(Section):
    """The daemon's log file."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_mb: Positive = 10
    keep: Positive = 3


class Settings(Section):
    """A whole `config/hal9.yaml`."""

    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    minds: MindSettings = Field(default_factory=MindSettings)
    neurons: NeuronSettings = Field(default_factory=NeuronSettings)
    workbench: WorkbenchSettings = Field(default_factory=WorkbenchSettings)
    tools: ToolSettings = Field(default_factory=ToolSettings)
    budgets: BudgetSettings = Field(default_factory=BudgetSettings)
    backward_propagation: BackwardPropagationSettings = Field(default_factory=BackwardPropagationSettings)
    quality: QualitySettings = Field(default_factory=QualitySettings)
    safety: SafetySettings = Field(default_factory=SafetySettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    routing: RoutingSettings = Field(default_factory=RoutingSettings)
    memory: MemorySettings = Field(default_factory=MemorySettings)
    repository_map: RepositoryMapSettings = Field(default_factory=RepositoryMapSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    telemetry: TelemetrySettings = Field(default_factory=TelemetrySettings)
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
