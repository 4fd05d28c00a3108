"""Types of what `hal9` offers; the names themselves are resolved on first use."""

from hal9.cluster.blocking import BlockingCluster as BlockingCluster
from hal9.cluster.blocking import connect_blocking as connect_blocking
from hal9.cluster.client import Cluster as Cluster
from hal9.cluster.client import connect as connect
from hal9.neurons.in_code import Neuron as Neuron
from hal9.neurons.in_code import Workspace as Workspace
from hal9.neurons.in_code import tool as tool

__version__: str
__all__: list[str]
