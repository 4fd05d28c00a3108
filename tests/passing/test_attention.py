import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.passing import PassingInvalid
from hal9.passing import (
    ConvergenceWarning,
    Graph,
    Hierarchy,
    attention,
    edge_scores,
    hierarchical_attention,
    multi_head_attention,
    propagate,
    relevance_gate,
    relevance_passing,
    sparse_routes,
)


def plain_attention(q: Any, k: Any, v: Any, allowed: Any = None) -> Any:
    """The slow twin: one query at a time, one key at a time."""
    out = []
    for i, query in enumerate(q):
        keys = [j for j in range(len(k)) if allowed is None or allowed[i][j]]
        weights = [
            math.exp(sum(a * b for a, b in zip(query, k[j], strict=True)) / math.sqrt(len(query)))
            for j in keys
        ]
        out.append(
            [
                sum(w * v[j][f] for w, j in zip(weights, keys, strict=True)) / max(sum(weights), 1e-300)
                for f in range(len(v[0]))
            ]
        )
    return np.array(out)


def qkv(seed: int, n: int = 9, d: int = 4, f: int = 3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)), rng.normal(size=(n, f))


@given(st.integers(0, 500))
@settings(deadline=None, max_examples=30)
def test_dense_complete_and_plain_attention_agree(seed: int) -> None:
    q, k, v = qkv(seed)
    wanted = plain_attention(q, k, v)
    np.testing.assert_allclose(attention(q, k, v), wanted, atol=1e-12)
    np.testing.assert_allclose(attention(q, k, v, edges=Graph.complete(9)), wanted, atol=1e-12)


@given(st.integers(0, 500))
@settings(deadline=None, max_examples=30)
def test_sparse_edges_equal_a_mask_and_the_engine(seed: int) -> None:
    q, k, v = qkv(seed)
    rng = np.random.default_rng(seed)
    allowed = rng.random((9, 9)) < 0.3
    receivers, senders = np.nonzero(allowed)
    edges = Graph(senders, receivers, 9)
    wanted = plain_attention(q, k, v, allowed)
    np.testing.assert_allclose(attention(q, k, v, edges=edges), wanted, atol=1e-12)
    np.testing.assert_allclose(attention(q, k, v, mask=allowed), wanted, atol=1e-12)
    state = np.concatenate([q, k, v], axis=1)
    passed = propagate(
        edges,
        state,
        message=lambda sender, receiver, _: (
            (receiver[:, :4] * sender[:, 4:8]).sum(axis=1) / 2.0,
            sender[:, 8:],
        ),
        aggregate="softmax",
        update=lambda own, received: np.concatenate([own[:, :8], received], axis=1),
        tol=None,
        max_iter=1,
    )
    np.testing.assert_allclose(passed.state[:, 8:], wanted, atol=1e-12)


def test_heads_are_independent_attentions() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6))
    w: Any = [rng.normal(size=(6, 8)) for _ in range(3)]
    out = rng.normal(size=(8, 5))
    heads_of: Any = multi_head_attention
    got = heads_of(x, *w, out, heads=4)
    for b in range(2):
        heads = [attention(*(x[b] @ m[:, 2 * h : 2 * h + 2] for m in w)) for h in range(4)]
        np.testing.assert_allclose(got[b], np.concatenate(heads, axis=1) @ out, atol=1e-12)
    sparse = heads_of(x, *w, out, heads=4, edges=Graph.complete(7))
    np.testing.assert_allclose(sparse, got, atol=1e-12)
    with pytest.raises(PassingInvalid, match="do not divide"):
        heads_of(x, *w, out, heads=3)


def test_many_rows_extreme_scores_and_single_precision() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(1500, 8)).astype(np.float32) for _ in range(3))
    got = attention(q, k, v)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[1400:1403], plain_attention(q[1400:1403], k, v), atol=1e-5)
    huge = attention([[1e4]], [[1.0], [-1.0]], [[1.0], [2.0]], scale=1.0)
    assert huge.tolist() == [[1.0]]
    with pytest.raises(PassingInvalid, match="fit together"):
        attention(np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 1)))
    with pytest.raises(PassingInvalid, match="5 nodes"):
        attention(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)), edges=Graph.complete(5))
    with pytest.raises(PassingInvalid, match="not both"):
        attention(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)), edges=Graph.complete(2), mask=True)


def plain_gate(g: Graph, scores: Any, k: int | None, mass: float | None) -> list[bool]:
    keep = [False] * g.m
    for v in range(g.n):
        edges = [e for e in range(g.m) if g.dst[e] == v]
        best = sorted(edges, key=lambda e: (-scores[e], e))
        total, held = sum(scores[e] for e in edges), 0.0
        for rank, e in enumerate(best):
            if k is not None:
                keep[e] = rank < k
            else:
                keep[e] = rank == 0 or (held < (mass or 0.0) * total and scores[e] > 0)
                held += scores[e]
        for e in edges:
            keep[e] = keep[e] or bool(g.src[e] == v)
    return keep


@st.composite
def scored(draw: st.DrawFn) -> tuple[Graph, Any]:
    n = draw(st.integers(1, 7))
    node = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=30))
    g = Graph([a for a, _ in pairs], [b for _, b in pairs], n)
    # Halves are exact, so the plain loop and the cumulative sum agree to the last bit.
    return g, np.array(draw(st.lists(st.integers(0, 8), min_size=g.m, max_size=g.m)), dtype=float) / 2


@given(scored(), st.integers(1, 4), st.sampled_from([0.25, 0.5, 1.0]))
@settings(deadline=None)
def test_gates_keep_the_best_of_every_receiver(case: tuple[Graph, Any], k: int, mass: float) -> None:
    g, scores = case
    choices: list[dict[str, Any]] = [{"k": k, "mass": None}, {"k": None, "mass": mass}]
    for options in choices:
        keep = relevance_gate(g, scores, **options)
        assert keep.tolist() == plain_gate(g, scores, **options)
        kept = g.keep(keep)
        assert kept.m <= g.m
        assert ((kept.in_degree > 0) == (g.in_degree > 0)).all()


def test_gating_does_not_starve_large_inputs_as_a_threshold_does() -> None:
    for n in (64, 256):
        g = Graph.complete(n, self_loops=False)
        q, k, _ = qkv(n, n, 16)
        scores = edge_scores(g, q, k)
        assert relevance_gate(g, scores, k=8).sum() == 8 * n
        share = np.exp(scores)
        kept = relevance_gate(g, share, mass=0.5)
        by_receiver = np.bincount(g.dst, weights=share * kept) / np.bincount(g.dst, weights=share)
        assert by_receiver.min() >= 0.5
        assert kept.sum() < g.m / 2


def test_relevance_is_computed_anew_as_states_change() -> None:
    rng = np.random.default_rng(3)
    g = Graph.complete(12)
    h = rng.normal(size=(12, 3))

    def score(sender: Any, receiver: Any, _: Any) -> Any:
        return -((sender - receiver) ** 2).sum(axis=1)

    found, used = relevance_passing(
        g, h, score, k=3, update=lambda own, got: 0.5 * own + 0.5 * got, max_iter=6
    )
    assert len(used) == 6
    assert all(mask.sum() == 36 for mask in used)
    assert any((used[0] != mask).any() for mask in used[1:])
    assert found.converged is None
    plain, _ = relevance_passing(g, h, score, k=12, max_iter=1)
    scores = score(h[g.src], h[g.dst], None).reshape(12, 12)
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(plain.state, share @ h, atol=1e-12)
    by_mass, masks = relevance_passing(g, h, score, mass=0.9, tol=1e-9, max_iter=500)
    assert by_mass.converged
    assert masks[0].sum() < g.m
    with pytest.warns(ConvergenceWarning):
        relevance_passing(g, h, score, k=3, tol=1e-12, max_iter=1)


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None)
def test_hierarchies_take_weighted_means_with_a_ragged_tail(n: int, chunk: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, relevance = rng.normal(size=(n, 2)), rng.integers(0, 3, n).astype(float)
    layers = Hierarchy(n, chunk)
    chunks, summary = layers.up(h, relevance)
    assert len(chunks) == layers.chunks == -(-n // chunk)
    for c in range(layers.chunks):
        part, weight = h[c * chunk : (c + 1) * chunk], relevance[c * chunk : (c + 1) * chunk]
        wanted = np.average(part, axis=0, weights=weight if weight.sum() > 0 else None)
        np.testing.assert_allclose(chunks[c], wanted, atol=1e-12)
    np.testing.assert_allclose(
        summary, np.average(h, axis=0, weights=relevance if relevance.sum() > 0 else None), atol=1e-12
    )
    back = layers.down(h, chunks, summary, share=(0.3, 0.2))
    np.testing.assert_allclose(back[-1], 0.5 * h[-1] + 0.3 * chunks[-1] + 0.2 * summary, atol=1e-12)


def test_hierarchical_attention_is_exact_when_everything_is_kept_and_close_when_little_is() -> None:
    q, k, v = qkv(5, 50, 8)
    np.testing.assert_allclose(
        hierarchical_attention(q, k, v, chunk=7, keep=8), attention(q, k, v), atol=1e-12
    )
    # Eight groups of tokens that look alike: the gate finds each group's own chunk.
    rng = np.random.default_rng(6)
    centre = np.repeat(rng.normal(size=(8, 16)) * 4, 16, axis=0)
    q, k = centre + 0.1 * rng.normal(size=(2, 128, 16))
    v = rng.normal(size=(128, 3))
    few = hierarchical_attention(q, k, v, chunk=16, keep=1)
    assert np.abs(few - attention(q, k, v)).max() < 1e-3
    chosen = Hierarchy(128, 16).gate(q, k, 1)
    assert (chosen == np.eye(8, dtype=bool)).all()


def layered() -> tuple[Graph, Any]:
    """One node, three below it, two below those; weights by hand."""
    src = [0, 0, 0, 1, 1, 2, 2, 3, 3]
    dst = [3, 1, 2, 4, 5, 4, 5, 4, 5]
    weight = [0.1, 0.6, 0.3, 0.9, 0.1, 0.5, 0.5, 0.2, 0.8]
    return Graph(src, dst, 6, weight=weight), np.array(src)


def test_routes_follow_weight_and_relevance() -> None:
    g, src = layered()
    plain = sparse_routes(g, 0, k=1)
    assert plain.carry.tolist() == [False, True, False, True, False, True, False, False, True]
    assert plain.flow[1] > plain.flow[2] > plain.flow[0]
    for sender in range(4):
        assert plain.flow[src == sender].sum() == pytest.approx(plain.reach.scores[sender], rel=1e-9)
    turned = sparse_routes(g, 0, relevance=[1, 0.01, 0.01, 1, 1, 1], k=1)
    assert turned.carry[:3].tolist() == [True, False, False]
    wide = sparse_routes(g, {0: 1.0}, mass=0.85)
    assert wide.carry[:3].tolist() == [False, True, True]
    assert plain.reach.converged


def test_routes_never_carry_what_no_signal_reaches() -> None:
    g = Graph([0, 1, 2, 2], [1, 2, 0, 3], 4, weight=[1.0, 0.0, 1.0, 1.0])
    routes = sparse_routes(g, 0, k=2)
    assert routes.carry.tolist() == [True, False, False, False]
    with pytest.raises(PassingInvalid, match="4 finite"):
        sparse_routes(g, 0, relevance=[1, 2], k=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: relevance_gate(g, np.ones(g.m)), "exactly one"),
        (lambda g: relevance_gate(g, np.ones(g.m), k=1, mass=0.5), "exactly one"),
        (lambda g: relevance_gate(g, np.ones(g.m), k=0), "silence"),
        (lambda g: relevance_gate(g, np.ones(g.m), mass=1.5), "not in"),
        (lambda g: relevance_gate(g, -np.ones(g.m), mass=0.5), "non-negative"),
        (lambda g: relevance_gate(g, np.ones(3), k=1), "one per edge"),
        (lambda g: relevance_gate(g, np.full(g.m, np.nan), k=1), "nan"),
        (lambda _: Hierarchy(0, 3), "tokens"),
        (lambda _: Hierarchy(3, 2).up(np.ones((2, 1))), "3 states"),
        (lambda _: Hierarchy(3, 2).down(np.ones(3), np.ones(2), 0.0, share=(0.9, 0.2)), "share"),
        (lambda _: hierarchical_attention(np.ones((3, 2)), np.ones((4, 2)), np.ones((4, 1))), "one n"),
    ],
)
def test_senseless_gates_are_refused(call: Any, message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        call(Graph.complete(4))


def test_a_float_mask_is_added_and_a_mask_of_whole_numbers_is_refused() -> None:
    """As torch has it: True or 0.0 may be looked at, False or -inf may not."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 2))
    causal = np.tril(np.ones((4, 4), dtype=bool))
    added = np.where(causal, 0.0, -np.inf)
    wanted = attention(q, k, v, mask=causal)
    np.testing.assert_allclose(attention(q, k, v, mask=added), wanted, atol=1e-12)
    bias = rng.normal(size=(4, 4))
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(3) + bias
    share = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(attention(q, k, v, mask=bias), share @ v, atol=1e-12)
    with pytest.raises(PassingInvalid, match="may mean a choice or a score"):
        attention(q, k, v, mask=np.ones((4, 4), dtype=int))
    with pytest.raises(PassingInvalid, match="broadcast"):
        attention(q, k, v, mask=np.ones((3, 5), dtype=bool))
    with pytest.raises(PassingInvalid, match="nan"):
        attention(q, k, v, mask=np.full((4, 4), np.nan))


def test_several_heads_take_a_mask_shared_or_their_own() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 5, 4))
    a, b, c = (rng.normal(size=(4, 6)) for _ in range(3))
    out = rng.normal(size=(6, 2))
    causal = np.tril(np.ones((5, 5), dtype=bool))
    whole = multi_head_attention(x, a, b, c, out, heads=2, mask=causal)
    first = multi_head_attention(x[:, :1], a, b, c, out, heads=2)
    np.testing.assert_allclose(whole[:, :1], first, atol=1e-12)
    per_head = np.stack([causal, causal])
    np.testing.assert_allclose(multi_head_attention(x[0], a, b, c, out, heads=2, mask=per_head), whole[0])
    batch = np.stack([causal] * 3)
    np.testing.assert_allclose(multi_head_attention(x, a, b, c, out, heads=2, mask=batch), whole)
