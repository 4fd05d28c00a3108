"""Mean and max aggregation, 100,000 nodes, 1,000,000 edges, 64 float32 features, against PyG and torch."""

import numpy as np
import torch
from paired import paired, report
from torch_geometric.nn import MessagePassing

from hal9.passing import Graph, aggregate

NODES, EDGES, WIDTH = 100_000, 1_000_000, 64


class Conv(MessagePassing):
    def __init__(self, aggr: str) -> None:
        super().__init__(aggr=aggr)

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=x)

    def message(self, x_j):
        return x_j


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    src, dst = rng.integers(0, NODES, EDGES), rng.integers(0, NODES, EDGES)
    h = rng.normal(size=(NODES, WIDTH)).astype(np.float32)
    graph = Graph(src, dst, NODES)
    x = torch.from_numpy(h)
    edge_index = torch.from_numpy(np.stack([src, dst]))
    order = np.argsort(dst, kind="stable")
    by_receiver = torch.from_numpy(np.stack([src[order], dst[order]]))
    index = edge_index[1][:, None].expand(-1, WIDTH)
    degree = torch.bincount(edge_index[1], minlength=NODES).clamp(min=1)[:, None]

    def torch_mean():
        total = torch.zeros(NODES, WIDTH).index_add_(0, edge_index[1], x[edge_index[0]])
        return total / degree

    def torch_max():
        out = torch.full((NODES, WIDTH), -torch.inf)
        return out.scatter_reduce_(0, index, x[edge_index[0]], "amax", include_self=False)

    mean, largest = Conv("mean"), Conv("max")
    with torch.no_grad():
        tables = {
            "mean": paired(
                {
                    "hal9": lambda: aggregate(graph, h, how="mean"),
                    "PyG propagate": lambda: mean(x, edge_index),
                    "PyG propagate, edges sorted": lambda: mean(x, by_receiver),
                    "torch index_add_": torch_mean,
                },
                rounds=9,
            ),
            "max": paired(
                {
                    "hal9": lambda: aggregate(graph, h, how="max", empty=0.0),
                    "PyG propagate": lambda: largest(x, edge_index),
                    "torch scatter_reduce_": torch_max,
                },
                rounds=9,
            ),
        }
        notes = {
            "largest difference of means": float(
                np.abs(aggregate(graph, h, how="mean") - mean(x, edge_index).numpy()).max()
            ),
            "largest difference of maxima": float(
                np.abs(aggregate(graph, h, how="max", empty=0.0) - largest(x, edge_index).numpy()).max()
            ),
        }
    report("aggregate", tables, notes, "torch", "torch_geometric")


main()
