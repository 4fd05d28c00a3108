"""Neurons: load one from its file, let it take its turn, route its work to the next layer."""

from hal9.neurons.definitions.definition import NeuronDefinition, NeuronMeta, NeuronOptions, load_neuron
from hal9.neurons.definitions.loading import known_purposes, load_file, load_neurons, neuron_files
from hal9.neurons.dividing.splitting import failed_result, task_class
from hal9.neurons.interfaces import (
    CallContext,
    Directory,
    MemoryRetriever,
    ModelClient,
    NoMap,
    PromptSource,
    RepositoryMapper,
    Router,
)
from hal9.neurons.neuron import WAITING_TURNS, GradientHandler, Neuron
from hal9.neurons.origin import answer_to, given_to, refused_result
from hal9.neurons.turn import NeuronServices

__all__ = [
    "WAITING_TURNS",
    "CallContext",
    "Directory",
    "GradientHandler",
    "MemoryRetriever",
    "ModelClient",
    "Neuron",
    "NeuronDefinition",
    "NeuronMeta",
    "NeuronOptions",
    "NeuronServices",
    "NoMap",
    "PromptSource",
    "RepositoryMapper",
    "Router",
    "answer_to",
    "failed_result",
    "given_to",
    "known_purposes",
    "load_file",
    "load_neuron",
    "load_neurons",
    "neuron_files",
    "refused_result",
    "task_class",
]
