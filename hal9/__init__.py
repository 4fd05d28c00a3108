"""HAL9: a cluster of language-model neurons that learns from its errors.

Importing this package has no side effects and loads nothing heavy; everything else is
resolved on first use.

>>> import hal9
>>> sorted(hal9.__all__)[:5]
['BlockingCluster', 'Cluster', 'Neuron', 'Workload', 'Workspace']
"""

from hal9.lazy import lazy_names

__version__ = "0.1.0"
__all__ = [  # typed in __init__.pyi: imports here would tie every room to the cluster
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

__getattr__ = lazy_names(
    __name__,
    {
        "cluster.blocking": ("BlockingCluster", "connect_blocking"),
        "cluster.client": ("Cluster", "connect"),
        "cluster.workloads.contract": ("Workload",),
        "neurons.definitions.in_code": ("Neuron", "Workspace", "tool"),
    },
)
