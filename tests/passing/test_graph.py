import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.passing import GraphInvalid
from hal9.passing import Graph


@st.composite
def edge_lists(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    n = draw(st.integers(1, 12))
    node = st.integers(0, n - 1)
    return n, draw(st.lists(st.tuples(node, node), max_size=40))


def split(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@given(edge_lists())
@settings(deadline=None)
def test_edges_are_sorted_by_receiver_and_keep_their_input_position(
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    n, pairs = case
    g = Graph(*split(pairs), n, weight=np.arange(len(pairs)))
    assert [(int(a), int(b)) for a, b in zip(g.src, g.dst, strict=True)] == [pairs[i] for i in g.order]
    assert list(zip(g.dst, g.src, g.order, strict=True)) == sorted(zip(g.dst, g.src, g.order, strict=True))
    assert g.weight is not None
    assert g.unsort(g.weight).tolist() == list(range(len(pairs)))
    for v in range(n):
        assert (g.dst[g.indptr[v] : g.indptr[v + 1]] == v).all()
    assert g.in_degree.tolist() == [sum(b == v for _, b in pairs) for v in range(n)]
    assert g.out_degree.tolist() == [sum(a == v for a, _ in pairs) for v in range(n)]


@given(edge_lists(), st.booleans())
@settings(deadline=None)
def test_reverse_pairs_every_edge_with_one_that_runs_back(
    case: tuple[int, list[tuple[int, int]]], symmetric: bool
) -> None:
    n, pairs = case
    g = Graph.undirected(*split(pairs), n) if symmetric else Graph(*split(pairs), n)
    ends = list(zip(g.src.tolist(), g.dst.tolist(), strict=True))
    for e, back in enumerate(g.reverse.tolist()):
        a, b = ends[e]
        if back >= 0:
            assert ends[back] == (b, a)
            assert g.reverse[back] == e
        else:
            assert not symmetric
            # No partner is left only when there are more edges this way than back.
            assert ends.count((a, b)) > ends.count((b, a))


@given(edge_lists())
@settings(deadline=None)
def test_colours_differ_along_every_edge(case: tuple[int, list[tuple[int, int]]]) -> None:
    n, pairs = case
    g = Graph(*split(pairs), n)
    assert g.colours.shape == (n,)
    assert g.colours.min() == 0
    real = g.src != g.dst
    assert (g.colours[g.src] != g.colours[g.dst])[real].all()


def test_a_bipartite_graph_needs_two_colours_and_a_triangle_three() -> None:
    assert set(Graph.grid(7, 9).colours.tolist()) == {0, 1}
    chain = np.arange(4999)
    assert set(Graph.undirected(chain, chain + 1, 5000).colours.tolist()) == {0, 1}
    assert set(Graph.undirected([0, 1, 2], [1, 2, 0], 3).colours.tolist()) == {0, 1, 2}
    assert Graph([], [], 4).colours.tolist() == [0, 0, 0, 0]


def test_shapes_of_ready_made_graphs() -> None:
    assert Graph.complete(4).m == 16
    assert Graph.complete(4, self_loops=False).m == 12
    assert Graph.grid(3, 4).m == 2 * (3 * 3 + 2 * 4)
    torus = Graph.grid(3, 4, periodic=True)
    assert set(torus.in_degree.tolist()) == {4}
    two = Graph.bipartite([0, 1, 1], [0, 0, 2], 2, 3)
    assert (two.n, two.src.tolist(), two.dst.tolist()) == (5, [0, 1, 1], [2, 2, 4])


def test_disjoint_graphs_keep_weights_and_order() -> None:
    a = Graph([0], [1], 2, weight=[3.0])
    b = Graph([1, 0], [0, 1], 2)
    both = Graph.disjoint([a, b])
    assert both.n == 4
    assert both.matrix().toarray()[1, 0] == 3.0
    assert both.matrix().toarray()[2, 3] == 1.0
    assert Graph.disjoint([]).n == 0


def test_matrix_sums_parallel_edges() -> None:
    g = Graph([0, 0, 1], [1, 1, 1], 2, weight=[2, 3, 5])
    assert g.matrix().toarray().tolist() == [[0, 0], [5, 5]]
    assert g.matrix("ones").toarray().tolist() == [[0, 0], [2, 1]]
    assert g.matrix() is g.matrix()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 5], [1, 1], 3), "node 5 is not in 0..2"),
        (([0, -1], [1, 1], 3), "node -1 is not in"),
        (([0], [1, 1], 3), "lengths differ"),
        (([0.5], [1], 3), "expected integers"),
        (([[0]], [[1]], 3), "one dimension"),
        (([], [], -1), "-1 nodes"),
    ],
)
def test_impossible_graphs_are_refused(arguments: tuple[list[int], list[int], int], message: str) -> None:
    with pytest.raises(GraphInvalid, match=message):
        Graph(*arguments)


def test_edge_data_of_the_wrong_length_is_refused_and_the_error_survives_pickling() -> None:
    with pytest.raises(GraphInvalid, match="expected 1 rows") as caught:
        Graph([0], [1], 2, weight=[1.0, 2.0])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert Graph([0], [1], 2).nbytes > 0
    assert repr(Graph([0], [1], 2)) == "Graph(n=2, m=1)"
