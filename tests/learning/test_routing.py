"""Policies as arithmetic, who is to blame for a failure, and what the simulator says of the default."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.learning.routing.betas import best_arm_probability
from hal9.learning.routing.credit import hand_overs, routes_of
from hal9.learning.routing.policies import POLICIES, Hal9Original, Policy, Thompson, make_policy, with_floor
from hal9.settings import RoutingSettings
from hal9.signals import Route, RoutingDecision, StepRecord, read_routes, record_parts, record_route

NAMES = sorted(POLICIES)


def policy(name: str, runs: int = 3, arms: int = 4) -> Policy:
    return make_policy(RoutingSettings(), runs=runs, arms=arms, policy=name)


def fed(name: str, rounds: int = 60, arms: int = 4, runs: int = 3) -> Policy:
    made, rng = policy(name, runs=runs, arms=arms), np.random.default_rng(3)
    for _ in range(rounds):
        chosen = np.full(runs, rng.integers(0, arms))
        made.learn(chosen, (rng.random(runs) < 0.2 + 0.15 * chosen).astype(float))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_shares_are_probabilities_and_worth_is_within_bounds(name: str) -> None:
    made = fed(name)
    for among in ([0, 1, 2, 3], [3, 1], [2]):
        probabilities = made.probabilities(among)
        assert probabilities.shape == (3, len(among))
        assert (probabilities >= 0).all()
        assert probabilities.sum(axis=1) == pytest.approx(1.0)
    assert made.worth().shape == (3, 4)
    assert ((made.worth() >= 0) & (made.worth() <= 1)).all()
    won, lost = made.evidence()
    assert (won >= 0).all()
    assert (lost >= 0).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "static"])
def test_samples_follow_the_probabilities(name: str) -> None:
    made = fed(name, rounds=25, runs=1)
    probabilities = made.probabilities(range(4))[0]
    rng = np.random.default_rng(11)
    drawn = np.array([made.sample(rng)[0] for _ in range(4000)])
    found = np.bincount(drawn, minlength=4) / len(drawn)
    assert found == pytest.approx(probabilities, abs=0.035)


@pytest.mark.parametrize("name", NAMES)
def test_growing_changes_nothing_for_the_others(name: str) -> None:
    small, large = policy(name, runs=1, arms=1), policy(name, runs=1, arms=3)
    small.grow(2)
    for chosen, reward in ((0, 1.0), (1, 0.0), (1, 1.0)):
        small.learn(np.array([chosen]), np.array([reward]))
        large.learn(np.array([chosen]), np.array([reward]))
    small.grow(3)
    assert small.probabilities([0, 1, 2]) == pytest.approx(large.probabilities([0, 1, 2]))
    assert small.worth() == pytest.approx(large.worth())


@pytest.mark.parametrize("name", NAMES)
def test_softening_moves_towards_the_unknown(name: str) -> None:
    made, fresh = fed(name, runs=1), policy(name, runs=1)
    before = abs(made.worth()[0, 3] - fresh.worth()[0, 3])
    made.soften(3, 0.25)
    assert abs(made.worth()[0, 3] - fresh.worth()[0, 3]) < before
    made.soften(3, 0.0)
    assert made.worth()[0, 3] == pytest.approx(fresh.worth()[0, 3])


def test_thompson_probabilities_of_two_arms_are_the_known_integral() -> None:
    made = Thompson(1, 2, change_rate=0.0)
    for chosen, reward in ((0, 1.0), (0, 1.0), (1, 0.0)):
        made.learn(np.array([chosen]), np.array([reward]))
    # P(X > Y) for X ~ Beta(3, 1), Y ~ Beta(1, 2): the integral of 3x² (1 - (1 - x)²) over 0..1.
    assert made.probabilities([0, 1])[0, 0] == pytest.approx(3 * (2 / 4 - 1 / 5), abs=1e-3)


def by_cells(a: np.ndarray, b: np.ndarray, cells: int) -> np.ndarray:
    """The same probabilities by exact masses of many equal cells of 0..1."""
    from scipy.special import betainc

    below = betainc(a[..., None], b[..., None], np.linspace(0.0, 1.0, cells + 1))
    mass, middle = np.diff(below, axis=-1), (below[..., 1:] + below[..., :-1]) / 2.0
    probabilities = [
        (mass[:, arm] * np.delete(middle, arm, axis=1).prod(axis=1)).sum(axis=-1) for arm in range(a.shape[1])
    ]
    found = np.stack(probabilities, axis=1)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("arms", [2, 3, 4, 8])
@pytest.mark.parametrize("most", [5, 100, 1000])
def test_probabilities_are_the_exact_integral_within_a_thousandth(arms: int, most: int) -> None:
    rng = np.random.default_rng(arms * most)
    count = rng.uniform(0, most, (100, arms)) * rng.choice([0.01, 0.1, 1.0], (100, arms))
    rate = np.clip(rng.random((100, 1)) + rng.normal(0, 0.05, (100, arms)), 0, 1)
    rate[:10], rate[10:20], rate[20:40] = 0.0, 1.0, rng.random((20, arms))
    a, b = 1 + count * rate, 1 + count * (1 - rate)
    assert best_arm_probability(a, b) == pytest.approx(by_cells(a, b, 32768), abs=1e-3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 5000), st.floats(1, 5000)), min_size=1, max_size=6),
)
def test_probabilities_sum_to_one_for_any_counts(counts: list[tuple[float, float]]) -> None:
    a, b = np.array([counts]).transpose(2, 0, 1)
    probabilities = best_arm_probability(a, b)
    assert np.isfinite(probabilities).all()
    assert (probabilities >= 0).all()
    assert probabilities.sum() == pytest.approx(1.0)
    mirrored = best_arm_probability(a[:, ::-1], b[:, ::-1])
    assert probabilities[:, ::-1] == pytest.approx(mirrored, abs=1e-9)


def test_a_choice_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hal9.learning.routing.policies import Thompson; "
        "print(Thompson(1, 4).probabilities(range(4))[0].tolist(), 'scipy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("]")[1].strip() == "False"


def test_a_reversal_is_noticed_within_a_few_dozen_tasks() -> None:
    made = Thompson(1, 2)
    for _ in range(300):
        made.learn(np.array([0]), np.array([1.0]))
        made.learn(np.array([1]), np.array([0.0]))
    assert made.probabilities([0, 1])[0, 0] > 0.99
    for _ in range(12):
        made.learn(np.array([0]), np.array([0.0]))
    assert made.probabilities([0, 1])[0, 1] > 0.3


def test_the_first_hal9s_rule_to_the_letter() -> None:
    made = Hal9Original(1, 2)
    made.learn(np.array([0]), np.array([1.0]))
    made.learn(np.array([1]), np.array([0.0]))
    assert made.worth()[0] == pytest.approx([0.5 + 0.1 * 0.95, 0.5 - 0.2 * 0.95])
    for _ in range(20):
        made.learn(np.array([1]), np.array([0.0]))
    assert made.worth()[0, 1] == 0.0
    assert made.probabilities([0, 1])[0].tolist() == [1.0, 0.0]


def test_the_floor_is_kept_and_is_at_most_an_equal_share() -> None:
    assert with_floor(np.array([[1.0, 0.0]]), 0.1)[0] == pytest.approx([0.9, 0.1])
    assert with_floor(np.array([[1.0, 0.0]]), 0.9)[0] == pytest.approx([0.5, 0.5])


# --- credit ---------------------------------------------------------------------------------


def step(neuron: str, outcome: str = "ok", **route: Any) -> StepRecord:
    return StepRecord.model_validate(
        {
            "id": f"{neuron}-{outcome}-{route}",
            "task_id": "t",
            "signal_id": "s",
            "neuron": neuron,
            "layer": 3,
            "kind": "pass",
            "started_at": 0.0,
            "ended_at": 1.0,
            "outcome": outcome,
            "route": route,
        }
    )


def route(source: str, target: str) -> dict[str, Any]:
    return {
        "from": source,
        "to": target,
        "odds": {target: 0.25},
        "policy": "sw_ucb",
        "task_class": "code",
    }


PARTS = [
    step("l4", **route("l4", "l3")),
    step("l3", parts=[route("l3", "a"), route("l3", "b"), route("l3", "c")]),
    step("a"),
    step("b", "failed"),
]


def verdicts(steps: list[StepRecord], **facts: object) -> dict[str, bool]:
    return {one.target: one.success for one in hand_overs(steps, **facts)}  # type: ignore[arg-type]


def test_parts_are_routes_of_their_own_with_their_probabilities() -> None:
    assert [one.target for one in routes_of(PARTS)] == ["l3", "a", "b", "c"]
    first = hand_overs(PARTS, success=True)[0]
    assert (first.source, first.probability, first.policy, first.task_class) == ("l4", 0.25, "sw_ucb", "code")


def test_success_is_everybodys_and_failure_belongs_to_those_who_failed() -> None:
    assert verdicts(PARTS[:3], success=True) == dict.fromkeys(("l3", "a", "b", "c"), True)
    assert verdicts(PARTS, success=False, reason="check_failed") == {"l3": False, "b": False}


def test_a_rejected_result_is_the_failure_of_all_who_worked_on_it() -> None:
    fine = [PARTS[0], PARTS[1], step("a"), step("b")]
    assert verdicts(fine, success=False) == {"l3": False, "a": False, "b": False}
    assert verdicts(fine, success=False, culprit="a") == {"l3": False, "a": False}


def test_who_never_answered_is_blamed_for_a_timeout_only() -> None:
    silent = [PARTS[0], step("l3", **route("l3", "a"))]
    assert verdicts(silent, success=False, reason="timeout") == {"l3": False, "a": False}
    assert verdicts(silent, success=False, reason="mind_failed") == {"l3": False}


def test_what_is_nobodys_fault_teaches_nothing() -> None:
    assert verdicts(PARTS, success=False, reason="cancelled") == {}
    assert verdicts(PARTS, success=False, reason="budget_exhausted") == {}


@pytest.mark.parametrize(
    ("row", "routes"),
    [
        ({}, ()),
        ({"from": "l4", "to": "l3"}, (Route("l4", "l3"),)),
        ({"from": "l4", "to": "l3", "odds": {"l3": 1}}, (Route("l4", "l3", probabilities={"l3": 1.0}),)),
        ({"from": "l4"}, ()),
        ({"parts": []}, ()),
        ({"parts": [{"from": "l4", "to": "a"}, "torn", {"to": "b"}]}, (Route("l4", "a"),)),
        ({"parts": "torn"}, ()),
        ({"from": "l4", "to": "l3", "odds": None, "policy": "static"}, (Route("l4", "l3", policy="static"),)),
    ],
)
def test_hand_overs_are_read_from_rows_of_every_age(
    row: dict[str, object], routes: tuple[Route, ...]
) -> None:
    assert read_routes(row) == routes


def test_what_is_recorded_reads_back_as_it_was() -> None:
    decision = RoutingDecision("a", {"a": 0.7, "b": 0.3}, "sw_ucb")
    route = Route.chosen("l4", decision, task_class="code")
    assert read_routes(record_route(route)) == (route,)
    assert read_routes(record_parts([route, route])) == (route, route)
    assert route.probability == 0.7
