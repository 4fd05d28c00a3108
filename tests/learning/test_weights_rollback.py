"""Connection weights go back to a moment, and forward again, exactly; nothing kept is lost by it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.clock import ManualClock
from hal9.errors.learning import RollbackToFuture
from hal9.learning import LearningEngine, state_document
from hal9.learning.routing.restore import restore_weights, weights_document
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings
from hal9.signals import RoutingDecision

NAMES = ["a", "b", "c"]
SETTINGS = RoutingSettings()


def over(target: str, success: bool, source: str = "l3", task_class: str = "code") -> HandOver:
    return HandOver(source=source, target=target, task_class=task_class, success=success)


def book(store: MemoryStore) -> WeightStore:
    return WeightStore(store, lambda: SETTINGS)


def state(store: MemoryStore, weights: WeightStore) -> list[Any]:
    probabilities = [
        weights.probabilities(source, NAMES, task_class=kind)
        for source in ("l3", "l4")
        for kind in ("code", "x")
    ]
    return [weights_document(store), probabilities]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db", clock=clock) as opened:
        yield opened


class Life:
    """A memory file whose clock goes on by one second per event; states are noted in between."""

    def __init__(self, store: MemoryStore, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.weights = book(store)
        self.noted: list[tuple[float, list[Any]]] = []
        self.note()

    def note(self) -> None:
        self.noted.append((self.clock.now(), state(self.store, self.weights)))
        self.clock.advance(1)

    def play(self, event: tuple[Any, ...]) -> None:
        kind, rest = event[0], event[1:]
        if kind == "tell":
            task, target, success, source, task_class = rest
            self.weights.observe(f"t{task}", [over(target, success, source, task_class)], usd=0.0)
        elif kind == "choose":
            task, target = rest
            pick = RoutingDecision(target, dict.fromkeys(NAMES, 1 / 3), "sw_ucb")
            self.weights.decided(pick, "l3", task_class="code", task_id=f"t{task}")
        elif kind == "promote":
            self.weights.promoted(rest[0])
        elif kind == "restart":
            self.weights = book(self.store)
        else:
            self.back_to(self.noted[rest[0] % len(self.noted)])
        self.note()

    def back_to(self, noted: tuple[float, list[Any]]) -> None:
        restore_weights(self.store, SETTINGS, noted[0])
        assert state(self.store, self.weights) == noted[1]
        assert state(self.store, book(self.store)) == noted[1]


events = st.one_of(
    st.tuples(
        st.just("tell"),
        st.integers(0, 12),
        st.sampled_from(NAMES),
        st.booleans(),
        st.sampled_from(["l3", "l4"]),
        st.sampled_from(["code", "x"]),
    ),
    st.tuples(st.just("choose"), st.integers(0, 12), st.sampled_from(NAMES)),
    st.tuples(st.just("promote"), st.sampled_from(["a", "l3", "nobody"])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("back"), st.integers(0, 50)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(stream=st.lists(events, max_size=30), visits=st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_any_moment_of_any_history_can_be_returned_to(
    stream: list[tuple[Any, ...]], visits: list[int]
) -> None:
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as folder, MemoryStore(Path(folder) / "m.db", clock=clock) as store:
        life = Life(store, clock)
        for event in stream:
            life.play(event)
        for visit in visits:
            life.back_to(life.noted[visit % len(life.noted)])
            clock.advance(1)


def test_what_was_taken_out_stays_out_when_it_is_told_again(store: MemoryStore, clock: ManualClock) -> None:
    life = Life(store, clock)
    before = life.noted[0][1]
    life.play(("tell", 1, "a", True, "l3", "code"))
    life.back_to(life.noted[0])
    clock.advance(1)
    assert life.weights.observe("t1", [over("a", success=True)]) == 0
    assert state(store, life.weights) == before
    assert life.weights.events("l3", "a") == []
    # Another verdict on it is news.
    assert life.weights.observe("t1", [over("a", success=False)]) == 1
    assert weights_document(store)[0][3:5] == [0, 1]
    assert [one["success"] for one in life.weights.events("l3", "a")] == [0.0]


def test_knowledge_goes_on_from_where_it_was_brought_back_to(store: MemoryStore, clock: ManualClock) -> None:
    life = Life(store, clock)
    for number in range(8):
        life.play(("tell", number, NAMES[number % 2], number % 2 == 0, "l3", "code"))
    noted = life.noted[4]
    life.back_to(noted)
    clock.advance(1)
    life.weights.observe("new", [over("c", success=True)])
    with MemoryStore(":memory:", clock=ManualClock()) as fresh:
        other = book(fresh)
        for number in range(4):
            other.observe(f"t{number}", [over(NAMES[number % 2], success=number % 2 == 0)])
        other.observe("new", [over("c", success=True)])
        assert state(fresh, other) == state(store, life.weights)


def test_a_moment_too_long_ago_is_said_and_changes_nothing(
    store: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.learning.routing.weights._SPAN", 16)
    monkeypatch.setattr("hal9.learning.routing.weights._KEPT_SPANS", 2)
    life = Life(store, clock)
    life.play(("tell", 1000, "a", True, "l4", "code"))
    for number in range(150):
        life.play(("tell", number, NAMES[number % 2], number % 3 == 0, "l3", "code"))
    now = state(store, life.weights)
    for at in (0, 20):
        said = restore_weights(store, SETTINGS, life.noted[at][0])
        assert "weights of l3 (code): too long ago, they stay as they are" in said
        assert weights_document(store)[:2] == now[0][:2]
        clock.advance(1)
    restore_weights(store, SETTINGS, life.noted[-1][0])
    assert state(store, life.weights) == now
    life.back_to(life.noted[130])
    kept = store.connection.execute("SELECT count(*) FROM route_changes").fetchone()[0]
    for number in range(200, 300):
        life.play(("tell", number, NAMES[number % 2], number % 3 == 0, "l3", "code"))
    assert store.connection.execute("SELECT count(*) FROM route_events").fetchone()[0] < 90
    assert store.connection.execute("SELECT count(*) FROM route_changes").fetchone()[0] <= kept


def test_rollback_of_the_whole_state_brings_the_weights_back(
    engine: LearningEngine, store: MemoryStore, clock: ManualClock
) -> None:
    weights = book(store)
    weights.observe("t1", [over("l2-craftsman", success=True)])
    clock.advance(1)
    then, text = clock.now(), state_document(store, engine.prompts)
    clock.advance(1)
    for number in range(2, 6):
        weights.observe(f"t{number}", [over("l2-implementer", success=False)])
    later = state_document(store, engine.prompts)
    assert later != text
    clock.advance(1)
    undone = engine.rollback.to(then)
    assert state_document(store, engine.prompts) == text
    assert undone.said == ("weights of l3 (code): 4 hand-overs taken out, 0 put back or judged as before",)
    row = engine.gate.ledger.rows(kinds=("weights",))[0]
    assert row.before.count("\n") == 2
    assert row.after.count("\n") == 1
    clock.advance(1)
    engine.rollback.to(then + 1.5)
    assert state_document(store, engine.prompts) == later
    engine.gate.ledger.verify()
    clock.advance(1)
    assert engine.rollback.to(clock.now()).said == ("nothing had changed since",)


@pytest.mark.parametrize("ahead", [1.0, float("inf"), float("nan")])
def test_there_is_no_going_back_to_the_future(
    engine: LearningEngine, clock: ManualClock, ahead: float
) -> None:
    with pytest.raises(RollbackToFuture, match="from now"):
        engine.rollback.to(clock.now() + ahead)
    assert engine.gate.ledger.rows() == []
