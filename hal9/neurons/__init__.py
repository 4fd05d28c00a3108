"""Neurons: load one from its file, let it take its turn, route its work to the next layer."""

from hal9.neurons.definition import NeuronDefinition, NeuronMeta, load_neuron, load_neurons
from hal9.neurons.interfaces import (
    CallContext,
    Directory,
    FixedPrompts,
    FixedRouter,
    MemoryRetriever,
    ModelClient,
    NoMap,
    NoRecall,
    PromptSource,
    RepositoryMapper,
    Router,
)
from hal9.neurons.neuron import WAITING_TURNS, GradientHandler, Neuron
from hal9.neurons.origin import answer_to, given_to, refused_result
from hal9.neurons.splitting import failed_result, task_class
from hal9.neurons.turn import NeuronServices

__all__ = [
    "WAITING_TURNS",
    "CallContext",
    "Directory",
    "FixedPrompts",
    "FixedRouter",
    "GradientHandler",
    "MemoryRetriever",
    "ModelClient",
    "Neuron",
    "NeuronDefinition",
    "NeuronMeta",
    "NeuronServices",
    "NoMap",
    "NoRecall",
    "PromptSource",
    "RepositoryMapper",
    "Router",
    "answer_to",
    "failed_result",
    "given_to",
    "load_neuron",
    "load_neurons",
    "refused_result",
    "task_class",
]
