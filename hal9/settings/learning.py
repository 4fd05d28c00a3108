"""Settings of learning: what counts as an error, how fast and how far anything may change, who decides."""

from typing import Annotated, Literal, Self

from pydantic import Field

from hal9.settings.base import Count, Positive, Seconds, Section, Share

__all__ = [
    "BackwardPropagationSettings",
    "ErrorWeights",
    "GateSettings",
    "NeuronLearning",
    "QualitySettings",
    "RoutingSettings",
    "SafetySettings",
]


class ErrorWeights(Section):
    """Weight of each error type in a gradient's magnitude."""

    task_failed: Share = 0.8
    incorrect_output: Share = 0.7
    timeout: Share = 0.5
    resource_exhausted: Share = 0.6
    low_quality: Share = 0.6
    user_rejection: Share = 0.9
    tool_execution_failed: Share = 0.4
    communication_error: Share = 0.5


class BackwardPropagationSettings(Section):
    """Learning from errors."""

    enabled: bool = True
    learning_rate: Share = 0.1
    pattern_threshold: Positive = 3
    adjustment_decay: Share = 0.95
    max_gradient_depth: Positive = 3
    gradient_decay: Share = 0.9
    min_magnitude: Share = 0.001
    error_weights: ErrorWeights = Field(default_factory=ErrorWeights)


class QualitySettings(Section):
    """When a result counts as an error although nothing failed outright."""

    low_quality_threshold: Share = 0.5
    timeout_threshold_seconds: Seconds = 600.0


class NeuronLearning(Section):
    """What holds for one neuron in place of the general bounds; a key that is not given stays general."""

    learning_rate: Share | None = None
    max_adjustment: Annotated[float, Field(gt=0, le=0.1)] | None = None
    cooldown_seconds: Annotated[float, Field(ge=0)] | None = None
    major_change: Share | None = None


class SafetySettings(Section):
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


class GateSettings(Section):
    """Candidate, replay, canary, promotion."""

    enabled: bool = True
    replay_tasks: Count = 8
    canary_share: Share = 0.25
    canary_tasks: Positive = 12
    canary_window: Positive = 200
    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class RoutingSettings(Section):
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
