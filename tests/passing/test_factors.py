import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.passing import EvidenceContradictory, PassingDiverged, PassingInvalid, TableBudgetExceeded
from hal9.passing import ConvergenceWarning, FactorGraph, Inference, Loopy

Factors = list[tuple[list[int], Any]]
UNDAMPED = Loopy(damping=0.0, tol=1e-13)


class Enumeration:
    """The slow twin: every joint state, one after the other."""

    def __init__(self, cardinality: list[int], factors: Factors) -> None:
        self.cardinality = cardinality
        self.weight: dict[tuple[int, ...], float] = {}
        for states in itertools.product(*map(range, cardinality)):
            score = sum(float(table[tuple(states[v] for v in scope)]) for scope, table in factors)
            if score > -math.inf:
                self.weight[states] = score

    @property
    def log_z(self) -> float:
        top = max(self.weight.values())
        return top + math.log(sum(math.exp(w - top) for w in self.weight.values()))

    def joint(self, scope: list[int]) -> Any:
        out = np.zeros([self.cardinality[v] for v in scope])
        for states, score in self.weight.items():
            out[tuple(states[v] for v in scope)] += math.exp(score - self.log_z)
        return out

    def best(self) -> float:
        return max(self.weight.values())


def build(cardinality: list[int], factors: Factors) -> FactorGraph:
    graph = FactorGraph(cardinality)
    for scope, table in factors:
        graph.add(scope, table)
    return graph


def assert_marginals(found: Inference, wanted: Enumeration, atol: float) -> None:
    for v, share in enumerate(found.marginals):
        np.testing.assert_allclose(share, wanted.joint([v]), atol=atol)


@st.composite
def networks(draw: st.DrawFn, *, tree: bool = False, zeros: bool = False) -> tuple[list[int], Factors]:
    cardinality = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6))
    n = len(cardinality)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    scopes = [[v] for v in range(n)]
    if tree:
        for v in range(1, n):
            other = draw(st.integers(0, v - 1))
            scopes.append([other, v] if draw(st.booleans()) else [v, other])
    else:
        chosen = st.lists(st.integers(0, n - 1), min_size=1, max_size=3, unique=True)
        scopes += draw(st.lists(chosen, max_size=6))
    factors = []
    for scope in draw(st.permutations(scopes)):
        table = rng.normal(size=[cardinality[v] for v in scope]) * 2
        if zeros and len(scope) > 1:
            table = np.where(rng.random(table.shape) < 0.25, -np.inf, table)
        factors.append((list(scope), table))
    return cardinality, factors


@given(networks(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_exact_inference_equals_enumeration(case: tuple[list[int], Factors], reversed_order: bool) -> None:
    cardinality, factors = case
    wanted = Enumeration(cardinality, factors)
    graph = build(cardinality, factors[::-1] if reversed_order else factors)
    found = graph.infer()
    assert (found.method, found.exact, found.converged, found.iterations) == ("exact", True, True, 0)
    assert_marginals(found, wanted, 1e-12)
    assert found.log_z == pytest.approx(wanted.log_z, abs=1e-10)
    order = factors[::-1] if reversed_order else factors
    for number, (scope, _) in enumerate(order):
        np.testing.assert_allclose(found.factor_marginal(number), wanted.joint(scope), atol=1e-12)
    best = graph.infer(mode="max")
    assert best.log_z == pytest.approx(wanted.best(), abs=1e-10)
    assert graph.log_potential(best.assignment)[0] == pytest.approx(wanted.best(), abs=1e-10)


@given(networks(zeros=True))
@settings(deadline=None, max_examples=50)
def test_zeros_are_respected_or_reported_as_contradiction(case: tuple[list[int], Factors]) -> None:
    cardinality, factors = case
    wanted = Enumeration(cardinality, factors)
    graph = build(cardinality, factors)
    if not wanted.weight:
        with pytest.raises(EvidenceContradictory):
            graph.infer()
        return
    assert_marginals(graph.infer(), wanted, 1e-12)


@given(
    networks(tree=True, zeros=True), st.sampled_from(["colour", "parallel"]), st.sampled_from(["bp", "trw"])
)
@settings(deadline=None, max_examples=60)
def test_passing_is_exact_on_trees(case: tuple[list[int], Factors], schedule: Any, method: Any) -> None:
    cardinality, factors = case
    wanted = Enumeration(cardinality, factors)
    graph = build(cardinality, factors)
    how = Loopy(damping=0.0, tol=1e-13, schedule=schedule)
    if not wanted.weight:
        with pytest.raises(EvidenceContradictory):
            graph.infer(method=method, loopy=how)
        return
    found = graph.infer(method=method, loopy=how)
    assert found.converged
    assert not found.exact
    assert_marginals(found, wanted, 1e-12)
    assert found.log_z == pytest.approx(wanted.log_z, abs=1e-9)
    for number, (scope, _) in enumerate(factors):
        np.testing.assert_allclose(found.factor_marginal(number), wanted.joint(scope), atol=1e-11)
    best = graph.infer(method="bp", mode="max", loopy=how)
    assert best.log_z == pytest.approx(wanted.best(), abs=1e-9)


@given(networks(tree=True))
@settings(deadline=None, max_examples=30)
def test_a_constant_added_to_tables_only_moves_log_z(case: tuple[list[int], Factors]) -> None:
    cardinality, factors = case
    moved = [(scope, table + 3.0) for scope, table in factors]
    for method in ("exact", "bp"):
        a = build(cardinality, factors).infer(method=method, loopy=UNDAMPED)
        b = build(cardinality, moved).infer(method=method, loopy=UNDAMPED)
        for x, y in zip(a.marginals, b.marginals, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-12)
        assert b.log_z - a.log_z == pytest.approx(3.0 * len(factors), abs=1e-9)


@given(networks(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_renaming_variables_renames_the_answers(case: tuple[list[int], Factors], random: Any) -> None:
    cardinality, factors = case
    names = list(range(len(cardinality)))
    random.shuffle(names)
    renamed = [0] * len(names)
    for old, new in enumerate(names):
        renamed[new] = cardinality[old]
    other = build(renamed, [([names[v] for v in scope], table) for scope, table in factors])
    for method in ("exact", "bp"):
        a = build(cardinality, factors).infer(method=method, on_failure="ignore")
        b = other.infer(method=method, on_failure="ignore")
        if not (a.converged and b.converged):
            continue
        for old, new in enumerate(names):
            np.testing.assert_allclose(a.marginals[old], b.marginals[new], atol=1e-7)


def grid(side: int, scale: float, seed: int, states: int = 2) -> FactorGraph:
    rng = np.random.default_rng(seed)
    ids = np.arange(side * side).reshape(side, side)
    pairs = np.concatenate(
        [
            np.stack([ids[:, :-1].ravel(), ids[:, 1:].ravel()], 1),
            np.stack([ids[:-1].ravel(), ids[1:].ravel()], 1),
        ]
    )
    graph = FactorGraph([states] * side * side)
    graph.add_many(ids.reshape(-1, 1), 0.3 * rng.normal(size=(side * side, states)))
    graph.add_many(pairs, scale * rng.normal(size=(len(pairs), states, states)))
    return graph


def spin_glass(side: int, spread: float, seed: int) -> FactorGraph:
    """Random couplings of alternating sign: the standard hard case for loopy passing."""
    rng = np.random.default_rng(seed)
    like = grid(side, 0.0, seed).potentials()
    pairs = like.groups[0].variables
    spins = np.array([-1.0, 1.0])
    graph = FactorGraph([2] * side * side)
    graph.add_many(np.arange(side * side)[:, None], 0.3 * rng.normal(size=(side * side, 1)) * spins)
    graph.add_many(pairs, spread * rng.normal(size=(len(pairs), 1, 1)) * np.outer(spins, spins))
    return graph


def plain_loopy(graph: FactorGraph, rounds: int) -> list[Any]:
    """The slow twin of parallel sum-product: dictionaries of normalised messages."""
    factors = []
    for group in graph.potentials().all_groups:
        for f, scope in enumerate(group.variables.tolist()):
            factors.append((scope, np.exp(group.table[..., f if group.table.shape[-1] > 1 else 0])))
    cards = graph.cardinality.tolist()
    to_var = {(f, v): np.ones(cards[v]) for f, (scope, _) in enumerate(factors) for v in scope}
    holders: dict[int, list[int]] = {
        v: [f for f, (s, _) in enumerate(factors) if v in s] for v in range(len(cards))
    }
    for f, (scope, table) in enumerate(factors):
        if len(scope) == 1:
            to_var[f, scope[0]] = table
    for _ in range(rounds):
        new = dict(to_var)
        for f, (scope, table) in enumerate(factors):
            for v in scope if len(scope) > 1 else []:
                total = table
                for axis, u in enumerate(scope):
                    if u == v:
                        continue
                    answer = np.prod([to_var[g, u] for g in holders[u] if g != f], axis=0)
                    shape = [1] * len(scope)
                    shape[axis] = cards[u]
                    total = total * np.asarray(answer).reshape(shape)
                message = total.sum(axis=tuple(i for i, u in enumerate(scope) if u != v))
                new[f, v] = message / message.sum()
        to_var = new
    out = []
    for v in range(len(cards)):
        belief = np.prod([to_var[f, v] for f in holders[v]], axis=0)
        out.append(belief / belief.sum())
    return out


@pytest.mark.parametrize("states", [2, 3])
def test_a_number_of_parallel_rounds_equals_the_plain_loop(states: int) -> None:
    graph = grid(4, 0.8, 0, states)
    rng = np.random.default_rng(1)
    graph.add([0, 5, 10], rng.normal(size=[states] * 3))
    graph.add_many([[1, 2], [6, 3]], rng.normal(size=(states, states)))
    how = Loopy(schedule="parallel", damping=0.0, tol=None, max_iter=7)
    found = graph.infer(method="bp", loopy=how)
    assert found.converged is None
    assert found.iterations == 7
    np.testing.assert_allclose(found.marginals.stack(), plain_loopy(graph, 7), atol=1e-12)


def test_bethe_and_the_tree_bound_on_a_small_grid() -> None:
    for seed in range(5):
        graph = grid(4, 0.5, seed)
        exact = graph.infer(method="exact")
        bp = graph.infer(method="bp")
        trw = graph.infer(method="trw")
        assert bp.converged
        assert trw.converged
        assert abs(bp.log_z - exact.log_z) < 0.05
        assert trw.log_z >= exact.log_z - 1e-9
        assert np.abs(bp.marginals.stack() - exact.marginals.stack()).max() < 0.05


def test_trw_bounds_log_z_with_parallel_factors() -> None:
    rng = np.random.default_rng(5)
    graph = grid(3, 0.7, 3)
    graph.add([0, 1], rng.normal(size=(2, 2)))
    graph.add([1, 0], rng.normal(size=(2, 2)))
    assert graph.infer(method="trw").log_z >= graph.infer(method="exact").log_z - 1e-9


def test_red_black_converges_where_flooding_does_not() -> None:
    settled = {}
    for schedule, damping in (("parallel", 0.0), ("colour", 0.3)):
        how = Loopy(schedule=schedule, damping=damping, max_iter=300, tol=1e-6)  # type: ignore[arg-type]
        settled[schedule] = sum(
            bool(spin_glass(12, 0.9, seed).infer(method="bp", loopy=how, on_failure="ignore").converged)
            for seed in range(8)
        )
    assert settled["colour"] > settled["parallel"]


def test_schedules_and_damping_share_their_fixed_points() -> None:
    graph = grid(6, 0.4, 2)
    base = graph.infer(method="bp", loopy=Loopy(tol=1e-12))
    for schedule, damping in (("parallel", 0.0), ("parallel", 0.5), ("colour", 0.0), ("colour", 0.7)):
        how = Loopy(schedule=schedule, damping=damping, tol=1e-12)  # type: ignore[arg-type]
        other = graph.infer(method="bp", loopy=how)
        np.testing.assert_allclose(other.marginals.stack(), base.marginals.stack(), atol=1e-10)
        again = graph.infer(method="bp", loopy=Loopy(schedule=schedule, damping=damping, tol=1e-9), init=base)  # type: ignore[arg-type]
        assert again.iterations == 1


def test_no_coupling_leaves_every_variable_to_itself() -> None:
    graph = grid(5, 0.0, 1)
    found = graph.infer(method="bp")
    own = graph.potentials().local({}, {}).blocks[2][:, 0].T
    np.testing.assert_allclose(
        found.marginals.stack(), np.exp(own) / np.exp(own).sum(axis=1, keepdims=True), atol=1e-12
    )
    assert found.iterations <= 2


@pytest.mark.parametrize("method", ["exact", "bp", "trw"])
def test_a_batch_of_cases_equals_one_after_the_other(method: Any) -> None:
    graph = grid(4, 0.4, 4, states=3)
    rng = np.random.default_rng(6)
    seen = np.array([0, 2, 1, 1])
    soft = rng.normal(size=(4, 3))
    how = Loopy(tol=None, max_iter=60)
    batch = graph.infer(method=method, evidence={3: seen, 9: 2}, unary={7: soft}, loopy=how)
    assert batch.marginals.stack().shape == (4, 16, 3)
    for case in range(4):
        one = graph.infer(
            method=method, evidence={3: int(seen[case]), 9: 2}, unary={7: soft[case]}, loopy=how
        )
        np.testing.assert_allclose(batch.marginals.stack()[case], one.marginals.stack(), atol=1e-12)
        assert batch.log_z[case] == pytest.approx(one.log_z, abs=1e-9)
        assert one.marginals[3][seen[case]] == 1.0
    best = graph.infer(method="exact", mode="max", evidence={3: seen}, unary={7: soft})
    assert best.assignment.shape == (4, 16)
    assert best.assignment[:, 3].tolist() == seen.tolist()


def test_evidence_equals_conditioning() -> None:
    rng = np.random.default_rng(7)
    cardinality = [2, 3, 2, 3]
    factors: Factors = [
        ([0, 1], rng.normal(size=(2, 3))),
        ([1, 2, 3], rng.normal(size=(3, 2, 3))),
        ([3, 0], rng.normal(size=(3, 2))),
    ]
    observed = np.full(3, -np.inf)
    observed[1] = 0.0
    found = build(cardinality, factors).infer(evidence={1: 1})
    assert_marginals(found, Enumeration(cardinality, [*factors, ([1], observed)]), 1e-12)
    assert found.log_z == pytest.approx(Enumeration(cardinality, [*factors, ([1], observed)]).log_z)


@pytest.mark.parametrize("method", ["exact", "bp"])
def test_impossible_evidence_is_an_error_not_a_number(method: Any) -> None:
    same = np.where(np.eye(2) > 0, 0.0, -np.inf)
    for states in (2, 3):
        graph = FactorGraph([states] * 3)
        table = np.where(np.eye(states) > 0, 0.0, -np.inf)
        graph.add([0, 1], table)
        graph.add([1, 2], table)
        with pytest.raises(EvidenceContradictory, match="no possible state"):
            graph.infer(method=method, evidence={0: 0, 2: 1})
        fine = graph.infer(method=method, evidence={0: 1})
        assert fine.marginals[2][1] == 1.0
    assert same.shape == (2, 2)


def test_strong_potentials_do_not_underflow() -> None:
    graph = FactorGraph([2] * 4)
    for v in range(3):
        graph.add([v, v + 1], [[0.0, -900.0], [-900.0, 0.0]])
    graph.add([0], [0.0, 5.0])
    for method in ("exact", "bp"):
        found = graph.infer(method=method, loopy=UNDAMPED)
        np.testing.assert_allclose(
            found.marginals[3], [1 / (1 + math.exp(5)), 1 / (1 + math.exp(-5))], atol=1e-12
        )


def test_a_hub_of_many_weak_votes() -> None:
    """The product of 2,000 small messages is 0 in plain numbers, and harmless as a sum of logs."""
    graph = FactorGraph([2] * 2001)
    graph.add_many(
        np.stack([np.zeros(2000, dtype=int), np.arange(1, 2001)], 1), np.log([[0.01, 0.02], [0.02, 0.01]])
    )
    found = graph.infer(method="bp", loopy=UNDAMPED)
    np.testing.assert_allclose(found.marginals[0], [0.5, 0.5], atol=1e-9)


def test_auto_says_what_it_fell_back_to() -> None:
    easy = grid(7, 0.3, 0).infer(table_budget=100, on_failure="ignore")
    assert (easy.method, easy.exact, easy.converged) == ("bp", False, True)
    assert "budget" in easy.fallback
    hard = spin_glass(9, 1.0, 9)
    how = Loopy(max_iter=700, tol=1e-5)
    plain = hard.infer(method="bp", loopy=how, on_failure="ignore")
    assert plain.converged is False
    chosen = hard.infer(table_budget=100, loopy=how, on_failure="ignore")
    assert chosen.method == "trw"
    assert chosen.converged
    assert "did not converge" in chosen.fallback


def test_not_converging_is_never_silent() -> None:
    hard = spin_glass(14, 2.5, 3)
    how = Loopy(max_iter=20, schedule="parallel", damping=0.0)
    with pytest.warns(ConvergenceWarning, match="did not converge in 20"):
        found = hard.infer(method="bp", loopy=how)
    assert found.converged is False
    assert len(found.residuals) == 20
    assert "converged=False" in repr(found)
    with pytest.raises(PassingDiverged):
        hard.infer(method="bp", loopy=how, on_failure="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hard.infer(method="bp", loopy=how, on_failure="ignore")


def test_the_budget_of_exact_inference_is_kept() -> None:
    with pytest.raises(TableBudgetExceeded, match="the budget is 1,000"):
        grid(12, 0.5, 0).infer(method="exact", table_budget=1000)
    chain = FactorGraph([2] * 3000)
    chain.add_many(np.stack([np.arange(2999), np.arange(1, 3000)], 1), [[0.5, 0.0], [0.0, 0.5]])
    found = chain.infer(evidence={0: 1})
    assert found.exact
    assert found.log_z == pytest.approx(2999 * math.log(math.exp(0.5) + 1.0), rel=1e-12)


def test_adding_a_factor_changes_the_next_answer() -> None:
    graph = FactorGraph([2, 2])
    graph.add([0, 1], np.zeros((2, 2)))
    for method in ("exact", "bp"):
        assert graph.infer(method=method).marginals[0].tolist() == [0.5, 0.5]
    graph.add([0], [0.0, math.log(3.0)])
    for method in ("exact", "bp"):
        np.testing.assert_allclose(graph.infer(method=method).marginals[0], [0.25, 0.75])  # type: ignore[arg-type]


def test_variables_without_factors_and_mixed_states() -> None:
    found = FactorGraph([2, 3, 1]).infer()
    assert [m.tolist() for m in found.marginals] == [[0.5, 0.5], pytest.approx([1 / 3] * 3), [1.0]]
    assert found.log_z == pytest.approx(math.log(6))
    assert len(found.marginals[0:2]) == 2
    with pytest.raises(PassingInvalid, match="differ"):
        found.marginals.stack()
    with pytest.raises(PassingInvalid, match="mode 'max'"):
        _ = found.assignment


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.add([0, 0], np.zeros((2, 2))), "each variable once"),
        (lambda g: g.add([0, 9], np.zeros((2, 2))), "not all of"),
        (lambda g: g.add([], 0.0), "at least one"),
        (lambda g: g.add([0, 1], np.zeros((2, 2))), "expected shape"),
        (lambda g: g.add([0], [0.0, np.nan]), "nan"),
        (lambda g: g.add([0], [0.0, np.inf]), "inf"),
        (lambda g: g.add_many([0, 1], np.zeros((2, 3))), "factors, arity"),
        (lambda g: g.add_many([[0, 1], [1, 0]], np.zeros((2, 3))), "same numbers of states"),
        (lambda g: g.add_many([[0, 1]], np.zeros((3, 3))), "expected shape"),
        (lambda g: g.infer(method="guess"), "unknown"),
        (lambda g: g.infer(evidence={0: 2}), "states 0..1"),
        (lambda g: g.infer(evidence={5: 0}), "not in 0..2"),
        (lambda g: g.infer(evidence={0: [0, 1], 1: [0, 1, 2]}), "disagree"),
        (lambda g: g.infer(unary={1: [0.0, 1.0]}), "needs logs of shape"),
        (lambda g: g.log_potential([0, 0, 7]), "within its variable"),
        (lambda g: g.infer().factor_marginal(3), "not in"),
        (lambda _: Loopy(damping=1.0), "damping"),
        (lambda _: FactorGraph([2, 0]), "at least one state"),
    ],
)
def test_senseless_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(PassingInvalid, match=message):
        call(FactorGraph([2, 3, 2]))


def test_trw_needs_pairs_and_init_needs_the_same_graph() -> None:
    graph = FactorGraph([2, 2, 2])
    graph.add([0, 1, 2], np.zeros((2, 2, 2)))
    with pytest.raises(PassingInvalid, match="pairwise"):
        graph.infer(method="trw")
    with pytest.raises(PassingInvalid, match="init"):
        graph.infer(method="bp", init=grid(3, 0.1, 0).infer(method="bp"))
