"""Every setting of a HAL9 home, as strict models. The documented YAML is `config/hal9.yaml`.

A test keeps that file and these models in step: each key is written there, with its default and a comment.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    "TelemetrySettings",
    "ToolSettings",
    "WorkbenchSettings",
]

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClusterSettings(_Section):
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


class BrokerSettings(_Section):
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


class PriceSettings(_Section):
    """US dollars per million tokens."""

    prompt_usd: Annotated[float, Field(ge=0)]
    completion_usd: Annotated[float, Field(ge=0)]


class MindSettings(_Section):
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
    agent_usd_per_call: Annotated[float, Field(ge=0)] | None = None
    agent_tokens_per_call: Positive = 100_000
    record_to: str | None = None
    critic: str = "none"
    judge: str = "none"
    trusted_rule_writers: list[str] = Field(default_factory=list)


class PassThroughSettings(_Section):
    """When strategy and design hand a small task on without asking a model."""

    enabled: bool = True
    max_words: Count = 220


class ImplementerSettings(_Section):
    """How an implementing neuron answers a failing check."""

    attempts: Positive = 4
    retry_prompt: Literal["fresh", "append", "resample"] = "fresh"
    retry_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    shown_tokens: Count = 12_000
    first_check: bool = True


class PlannerSettings(_Section):
    """How strategy and design look before they divide a task, and how parts that do not fit are mended."""

    steps: Positive = 16
    mends: Count = 2


class NeuronSettings(_Section):
    """Which neurons run in the daemon, and how they take their turns."""

    enabled: list[str] = Field(default_factory=lambda: ["*"])
    pass_through: PassThroughSettings = Field(default_factory=PassThroughSettings)
    planner: PlannerSettings = Field(default_factory=PlannerSettings)
    implementer: ImplementerSettings = Field(default_factory=ImplementerSettings)


class LayerPermissions(_Section):
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


class WorkbenchSettings(_Section):
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
    layers: dict[LayerName, LayerPermissions] = Field(default_factory=_layer_permissions)


class CapSettings(_Section):
    """One budget; null means no cap of that kind."""

    tokens: Count | None = None
    usd: Annotated[float, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None


class BudgetSettings(_Section):
    """Checked before every model call; a call that might pass a cap is not made."""

    task: CapSettings = Field(default_factory=lambda: CapSettings(tokens=200_000, usd=1.0))
    hour: CapSettings = Field(default_factory=lambda: CapSettings(usd=10.0))
    day: CapSettings = Field(default_factory=lambda: CapSettings(usd=100.0))


class ErrorWeights(_Section):
    """Weight of each error type in a gradient's magnitude."""

    task_failed: Share = 0.8
    incorrect_output: Share = 0.7
    timeout: Share = 0.5
    resource_exhausted: Share = 0.6
    low_quality: Share = 0.6
    user_rejection: Share = 0.9
    tool_execution_failed: Share = 0.4
    communication_error: Share = 0.5


class BackwardPropagationSettings(_Section):
    """Learning from errors."""

    enabled: bool = True
    learning_rate: Share = 0.1
    pattern_threshold: Positive = 3
    adjustment_decay: Share = 0.95
    max_gradient_depth: Positive = 3
    gradient_decay: Share = 0.9
    min_magnitude: Share = 0.001
    error_weights: ErrorWeights = Field(default_factory=ErrorWeights)


class QualitySettings(_Section):
    """When a result counts as an error although nothing failed outright."""

    low_quality_threshold: Share = 0.5
    timeout_threshold_seconds: Seconds = 600.0


class NeuronLearning(_Section):
    """What holds for one neuron in place of the general bounds; a key that is not given stays general."""

    learning_rate: Share | None = None
    max_adjustment: Annotated[float, Field(gt=0, le=0.1)] | None = None
    cooldown_seconds: Annotated[float, Field(ge=0)] | None = None
    major_change: Share | None = None


class SafetySettings(_Section):
    """Bounds on what may be learned, and how fast."""

    max_adjustment: Annotated[float, Field(gt=0, le=0.1)] = 0.1
    cooldown_seconds: Annotated[float, Field(ge=0)] = 300.0
    oscillation_flips: Positive = 3
    rollback_window_tasks: Positive = 10
    rollback_drop: Share = 0.15
    major_change: Share = 0.08
    approval_kinds: list[str] = Field(default_factory=lambda: ["role", "model"])
    paused: bool = False
    frozen_neurons: list[str] = Field(default_factory=list)
    per_neuron: dict[str, NeuronLearning] = Field(default_factory=dict)

    def of(self, neuron: str) -> Self:
        """The bounds of one neuron."""
        own = self.per_neuron.get(neuron)
        given = own.model_dump(exclude_none=True, exclude={"learning_rate"}) if own else {}
        return self.model_copy(update=given) if given else self


class GateSettings(_Section):
    """Candidate, replay, canary, promotion."""

    enabled: bool = True
    replay_tasks: Count = 8
    canary_share: Share = 0.25
    canary_tasks: Positive = 12
    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class RoutingSettings(_Section):
    """How a neuron of the next layer is chosen."""

    policy: Literal["discounted_thompson", "sw_ucb", "epsilon_greedy", "hal9_original", "static"] = (
        "discounted_thompson"
    )
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    change_rate: Annotated[float, Field(ge=0, lt=1)] = 0.001
    window: Positive = 100
    epsilon: Share = 0.1
    exploration_floor: Share = 0.001
    cost_weight: Annotated[float, Field(ge=0)] = 0.0
    promotion_discount: Share = 0.5
    relevance_edges: Count = 0
    seed: Count = 0


class MemorySettings(_Section):
    """What is remembered and recalled."""

    embedder: str = "auto"
    recall_limit: Annotated[int, Field(ge=0, le=3)] = 1
    guards: Literal["off", "remind", "require-once"] = "require-once"
    min_similarity: Share = 0.2
    scope_gate: bool = True
    retention_days: Positive = 30
    min_importance: Share = 0.3
    max_entries: Positive = 100_000
    sleep_every_tasks: Positive = 200


class PolicyRule(_Section):
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


class PersonSettings(_Section):
    """What happens when a neuron asks a person."""

    ask: bool = True
    wait_seconds: Seconds = 259_200.0
    unanswered: Literal["continue", "stop"] = "continue"


class McpServerSettings(_Section):
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


class ToolSettings(_Section):
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


class RepositoryMapSettings(_Section):
    """The ranked map of the workspace that neurons see; 0 tokens turns it off for a layer."""

    tokens: dict[LayerName, Count] = Field(default_factory=_map_tokens)
    min_files: Count = 3
    max_files: Positive = 100_000
    timeout_seconds: Seconds = 60.0
    cache_megabytes: Positive = 1000


class ApiSettings(_Section):
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


class TelemetrySettings(_Section):
    """Traces of finished tasks, sent to a collector of the user's and nowhere else."""

    otlp_url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    service_name: str = "hal9"
    content: bool = False


class LoggingSettings(_Section):
    """The daemon's log file."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_mb: Positive = 10
    keep: Positive = 3


class Settings(_Section):
    """A whole `config/hal9.yaml`."""

    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
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
