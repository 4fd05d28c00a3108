"""Neurons: load one from its file, let it take its turn, route its work to the next layer."""

from hal9.neurons.definition import NeuronDefinition, NeuronMeta, load_neuron, load_neurons
from hal9.neurons.neuron import GradientHandler, Neuron
from hal9.neurons.seams import (
    CallContext,
    Cartographer,
    Choice,
    Directory,
    FixedPrompts,
    FixedRouter,
    NoMap,
    NoRecall,
    PromptSource,
    Recaller,
    Router,
    Thinker,
)
from hal9.neurons.splitting import failed_result, task_class
from hal9.neurons.turn import House

__all__ = [
    "CallContext",
    "Cartographer",
    "Choice",
    "Directory",
    "FixedPrompts",
    "FixedRouter",
    "GradientHandler",
    "House",
    "Neuron",
    "NeuronDefinition",
    "NeuronMeta",
    "NoMap",
    "NoRecall",
    "PromptSource",
    "Recaller",
    "Router",
    "Thinker",
    "failed_result",
    "load_neuron",
    "load_neurons",
    "task_class",
]
