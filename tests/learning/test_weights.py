"""Connection weights in a real memory file: counting once, correcting, restarting, forgetting."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.clock import ManualClock
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings
from hal9.signals import RoutingDecision

A, B = "l2-a", "l2-b"


def over(target: str, success: bool, source: str = "l3", task_class: str = "code") -> HandOver:
    return HandOver(source=source, target=target, task_class=task_class, success=success)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db", clock=ManualClock()) as opened:
        yield opened


def book(store: MemoryStore, **changes: object) -> WeightStore:
    settings = RoutingSettings.model_validate(changes)
    return WeightStore(store, lambda: settings)


def counts(weights: WeightStore) -> dict[str, tuple[int, int]]:
    return {edge.target: (edge.success_count, edge.failure_count) for edge in weights.edges()}


def test_a_task_counts_once_per_edge_however_often_it_is_told(store: MemoryStore) -> None:
    weights = book(store)
    assert weights.observe("t1", [over(A, success=True), over(B, success=False)]) == 2
    before = weights.edges()
    assert weights.observe("t1", [over(A, success=True), over(B, success=False)]) == 0
    assert weights.edges() == before
    assert counts(weights) == {A: (1, 0), B: (0, 1)}
    good, bad = before
    assert (good.target, good.last_adjusted) == (A, store.clock.now())
    assert 0 < bad.weight < 0.5 < good.weight < 1


def test_one_edge_used_twice_in_a_task_fails_if_one_part_failed(store: MemoryStore) -> None:
    weights = book(store)
    assert weights.observe("t1", [over(A, success=True), over(A, success=False)]) == 1
    assert counts(weights) == {A: (0, 1)}


def test_a_corrected_verdict_leaves_what_it_would_have_left_at_once(
    store: MemoryStore, tmp_path: Path
) -> None:
    weights = book(store)
    for number, (target, success) in enumerate([(A, True), (B, False), (A, True), (A, True)]):
        weights.observe(f"t{number}", [over(target, success=success)])
    assert weights.observe("t0", [over(A, success=False)]) == 1
    with MemoryStore(tmp_path / "other.db", clock=ManualClock()) as fresh:
        other = book(fresh)
        for number, (target, success) in enumerate([(A, False), (B, False), (A, True), (A, True)]):
            other.observe(f"t{number}", [over(target, success=success)])
        assert other.edges() == weights.edges()
        assert other.probabilities("l3", [A, B], task_class="code") == weights.probabilities(
            "l3", [A, B], task_class="code"
        )


def test_another_book_on_the_file_sees_what_was_learned_and_a_restart_forgets_nothing(
    store: MemoryStore, tmp_path: Path
) -> None:
    first, second = book(store), None
    for number in range(30):
        first.observe(f"t{number}", [over((A, B)[number % 2], success=number % 2 == 0)])
    with MemoryStore(tmp_path / "memory.db", clock=ManualClock()) as again:
        second = book(again)
        probabilities = second.probabilities("l3", [A, B], task_class="code")
        assert probabilities == first.probabilities("l3", [A, B], task_class="code")
        assert probabilities[A] > 0.98
        first.observe("late", [over(A, success=False)])
        assert second.probabilities("l3", [A, B], task_class="code")[A] < probabilities[A]
        first.observe("t0", [over(A, success=False)])
        assert second.probabilities("l3", [A, B], task_class="code") == first.probabilities(
            "l3", [A, B], task_class="code"
        )


def test_probabilities_kept_between_outcomes_are_those_of_now(store: MemoryStore) -> None:
    weights = book(store)
    for number in range(12):
        weights.observe(f"t{number}", [over((A, B)[number % 2], success=number % 3 != 0)])
        for among in ([A, B], [B, A], [A, B, "l2-c"], [A]):
            found = weights.probabilities("l3", among, task_class="code")
            assert found == book(store).probabilities("l3", among, task_class="code")
            found[A] = 7.0  # what the caller does with it is the caller's
            assert weights.probabilities("l3", among, task_class="code")[A] <= 1.0
    for number in range(200):
        some = [A, f"other-{number}"]
        assert weights.probabilities("l3", some, task_class="code").keys() == set(some)


def test_choices_are_the_same_for_the_same_seed_and_task(store: MemoryStore) -> None:
    weights = book(store)
    for number in range(12):
        weights.observe(f"t{number}", [over((A, B)[number % 2], success=number % 3 != 0)])

    def picks(seed: int) -> list[RoutingDecision]:
        fresh = book(store, seed=seed)
        ids = [f"task-{number}" for number in range(40)]
        return [fresh.choose("l3", (B, A), task_class="code", task_id=one) for one in ids]

    assert picks(1) == picks(1)
    assert [pick.target for pick in picks(1)] != [pick.target for pick in picks(2)]


def test_the_parts_of_a_task_are_drawn_one_by_one(store: MemoryStore) -> None:
    weights = book(store)
    drawn = {weights.choose("l3", (A, B), task_class="x", task_id="one").target for _ in range(20)}
    assert drawn == {A, B}


def test_targets_are_drawn_as_often_as_their_probabilities_say(store: MemoryStore) -> None:
    weights = book(store)
    for number in range(9):
        weights.observe(f"t{number}", [over((A, B, "l2-c")[number % 3], success=number < 5)])
    picks = [
        weights.choose("l3", (A, B, "l2-c"), task_class="code", task_id=str(number)) for number in range(4000)
    ]
    probabilities = picks[0].probabilities
    assert sum(probabilities.values()) == pytest.approx(1.0)
    for name, share in probabilities.items():
        found = sum(pick.target == name for pick in picks) / len(picks)
        assert found == pytest.approx(share, abs=4 * (share * (1 - share) / len(picks)) ** 0.5)


def test_task_classes_and_sources_are_kept_apart(store: MemoryStore) -> None:
    weights = book(store)
    for number in range(20):
        weights.observe(f"t{number}", [over(A, success=True), over(B, success=False)])
    assert weights.probabilities("l3", [A, B], task_class="other") == {
        A: pytest.approx(0.5),
        B: pytest.approx(0.5),
    }
    assert weights.probabilities("l3-x", [A, B], task_class="code") == {
        A: pytest.approx(0.5),
        B: pytest.approx(0.5),
    }


def test_every_candidate_keeps_the_floor(store: MemoryStore) -> None:
    weights = book(store, exploration_floor=0.03)
    for number in range(200):
        weights.observe(f"t{number}", [over(A, success=True), over(B, success=False)])
    probabilities = weights.probabilities("l3", [A, B], task_class="code")
    assert probabilities[B] == pytest.approx(0.03, abs=1e-9)
    assert probabilities[A] == pytest.approx(0.97, abs=1e-9)


def test_a_promotion_makes_old_counts_weigh_less_and_is_not_lost(store: MemoryStore) -> None:
    weights = book(store, promotion_discount=0.5)
    for number in range(20):
        weights.observe(f"t{number}", [over(A, success=True), over(B, success=False)])
    before = {edge.target: edge for edge in weights.edges()}
    assert weights.promoted(A) == 1
    after = {edge.target: edge for edge in weights.edges()}
    assert after[A].discounted_success == pytest.approx(before[A].discounted_success / 2, rel=1e-4)
    assert after[A].success_count == before[A].success_count
    assert after[B].discounted_failure == before[B].discounted_failure
    assert book(store).probabilities("l3", [A, B], task_class="code") == weights.probabilities(
        "l3", [A, B], task_class="code"
    )
    assert weights.events("l3", A, limit=1)[0]["kind"] == "promotion"
    assert weights.promoted("l3") == 2
    assert weights.promoted("nobody") == 0


def test_reward_is_success_less_what_it_cost(store: MemoryStore) -> None:
    weights = book(store, cost_weight=2.0)
    for number in range(60):
        weights.observe(f"a{number}", [over(A, success=True)], usd=0.4)
        weights.observe(f"b{number}", [over(B, success=True)], usd=0.01)
    edges = {edge.target: edge for edge in weights.edges()}
    assert edges[A].success_count == edges[B].success_count == 60
    assert edges[A].weight == pytest.approx(0.2, abs=0.05)
    assert edges[B].weight == pytest.approx(0.98, abs=0.03)


def test_knowledge_follows_a_change_of_policy_at_once(store: MemoryStore) -> None:
    settings = [RoutingSettings(policy="static")]
    weights = WeightStore(store, lambda: settings[0])
    for number in range(30):
        weights.observe(f"t{number}", [over(A, success=False), over(B, success=True)])
    assert weights.probabilities("l3", [A, B], task_class="code") == {A: 1.0, B: 0.0}
    settings[0] = RoutingSettings(policy="hal9_original", exploration_floor=0.0)
    assert weights.probabilities("l3", [A, B], task_class="code") == {A: 0.0, B: 1.0}


def test_old_events_are_dropped_and_the_state_stays_that_of_a_fresh_start(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.learning.routing.weights._SPAN", 64)
    monkeypatch.setattr("hal9.learning.routing.weights._KEPT_SPANS", 0)
    weights = book(store, policy="epsilon_greedy")
    with store.writing():
        for number in range(200):
            weights.observe(f"t{number}", [over((A, B)[number % 2], success=number % 5 < 2 + number % 2)])
    kept = store.connection.execute("SELECT min(number), max(number) FROM route_events").fetchone()
    assert tuple(kept) == (128, 200)
    assert sum(edge.success_count + edge.failure_count for edge in weights.edges()) == 200
    fresh = book(store, policy="epsilon_greedy")
    assert fresh.probabilities("l3", [A, B], task_class="code") == weights.probabilities(
        "l3", [A, B], task_class="code"
    )


def test_a_write_that_was_undone_leaves_nothing_behind(store: MemoryStore) -> None:
    weights = book(store)
    weights.observe("t0", [over(B, success=True)])
    before = weights.probabilities("l3", [A, B], task_class="code")
    with pytest.raises(RuntimeError), store.writing():
        weights.observe("t1", [over(A, success=True)])
        raise RuntimeError
    assert weights.probabilities("l3", [A, B], task_class="code") == before
    weights.observe("t2", [over(A, success=False)])
    assert weights.probabilities("l3", [A, B], task_class="code") == book(store).probabilities(
        "l3", [A, B], task_class="code"
    )


def test_a_choice_written_down_counts_when_the_task_is_observed(store: MemoryStore) -> None:
    weights = book(store)
    weights.decided(RoutingDecision(A, {A: 0.7, B: 0.3}, "sw_ucb"), "book", task_class="code", task_id="t1")
    weights.decided(RoutingDecision(B, {A: 0.7, B: 0.3}, "sw_ucb"), "book", task_class="code", task_id="t1")
    assert weights.decisions("t1", "book") == [(B, "code", 0.3, "sw_ucb")]
    assert weights.edges() == []
    weights.observe("t1", [over(B, success=True, source="book")])
    assert counts(weights) == {B: (1, 0)}
    assert weights.events("book", B)[0]["odds"] == 0.3
