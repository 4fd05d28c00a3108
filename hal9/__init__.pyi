from hal9.cluster.blocking import BlockingCluster, connect_blocking
from hal9.cluster.client import Cluster, connect
from hal9.cluster.workloads.contract import Workload
from hal9.neurons.definitions.in_code import Neuron, Workspace, tool

__version__: str
__all__ = [
    "BlockingCluster",
    "Cluster",
    "Neuron",
    "Workload",
    "Workspace",
    "__version__",
    "connect",
    "connect_blocking",
    "tool",
]
