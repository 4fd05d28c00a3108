"""Budgets: nothing passes a limit, whatever dies, races or jumps."""

import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.budgets import BudgetStore, Kind, Limit, Reservation, Spend, _first_schema
from hal9.clock import ManualClock
from hal9.database import Place, open_database
from hal9.errors.budgets import LimitExceeded, PriceUnknown, ReservationRepeated, ReservationUnknown
from tests.support.postgres import write_place


@pytest.fixture
def place(places: Callable[[str], Place]) -> Place:
    return places("budgets")


@dataclass
class SplitClock:
    """Wall and monotonic time moved apart, as when somebody sets the machine's clock."""

    wall: float = 1_700_000_000.0
    ticks: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


def _reserve(
    book: BudgetStore, call: str, tokens: int = 10, task: str = "t", usd: float | None = 0.0
) -> Reservation:
    return book.reserve(call, task, tokens=tokens, usd=usd, seconds=1.0)


def test_a_reservation_counts_until_it_is_settled_at_the_real_cost(place: Place) -> None:
    with BudgetStore(place, [Limit(kind="tokens", scope="task", value=100)]) as book:
        first = _reserve(book, "a", 80)
        with pytest.raises(LimitExceeded) as refused:
            _reserve(book, "b", 30)
        assert (refused.value.spent, refused.value.reserved, refused.value.asked) == (0, 80, 30)
        book.settle(first, Spend(tokens=20))
        _reserve(book, "b", 80)
        assert book.spent("t").tokens == 20
        (standing,) = book.standings("t")
        assert (standing.spent, standing.reserved) == (20, 80)


def test_a_refused_call_leaves_no_trace(place: Place) -> None:
    with BudgetStore(place, [Limit(kind="calls", scope="day", value=1)]) as book:
        _reserve(book, "a")
        with pytest.raises(LimitExceeded):
            _reserve(book, "b")
        (standing,) = book.standings()
        assert standing.reserved == 1


def test_settling_twice_counts_once(place: Place) -> None:
    with BudgetStore(place) as book:
        call = _reserve(book, "a")
        book.settle(call, Spend(tokens=7, usd=0.25, seconds=1.5))
        book.settle(call, Spend(tokens=7, usd=0.25, seconds=1.5))
        book.release(call)
        assert book.spent("t") == Spend(tokens=7, usd=0.25, seconds=1.5, calls=1)
        assert book.totals() == book.spent("t")


def test_releasing_frees_the_whole_reservation(place: Place) -> None:
    with BudgetStore(place, [Limit(kind="tokens", scope="hour", value=10)]) as book:
        call = _reserve(book, "a")
        book.release(call)
        _reserve(book, "b")
        with pytest.raises(ReservationUnknown):
            book.settle(call, Spend(tokens=1))


def test_a_call_id_is_good_for_one_call(place: Place) -> None:
    with BudgetStore(place) as book:
        _reserve(book, "a")
        with pytest.raises(ReservationRepeated, match="'a'"):
            _reserve(book, "a")


def test_an_unknown_price_is_refused_only_where_money_is_limited(place: Place) -> None:
    with BudgetStore(place) as book:
        call = _reserve(book, "a", usd=None)
        book.settle(call, Spend(tokens=5, usd=None))
        assert book.spent("t").usd is None
        book.limits = [Limit(kind="usd", scope="day", value=1.0)]
        with pytest.raises(PriceUnknown, match="price"):
            _reserve(book, "b", usd=None)
        _reserve(book, "c", usd=0.9)


def test_a_price_that_turns_out_unknown_is_settled_at_the_reserved_dollars(place: Place) -> None:
    with BudgetStore(place, [Limit(kind="usd", scope="task", value=1.0)]) as book:
        book.settle(_reserve(book, "a", usd=0.8), Spend(tokens=1, usd=None))
        with pytest.raises(LimitExceeded):
            _reserve(book, "b", usd=0.3)


def test_a_tasks_own_limit_is_its_own_and_survives_reopening(place: Place) -> None:
    with BudgetStore(place) as book:
        book.limit_task("t", [Limit(kind="tokens", scope="task", value=15)])
    with BudgetStore(place) as book:
        _reserve(book, "a", 10, "t")
        _reserve(book, "b", 100, "other")
        with pytest.raises(LimitExceeded):
            _reserve(book, "c", 10, "t")
        with pytest.raises(ValueError, match="scope"):
            book.limit_task("t", [Limit(kind="tokens", scope="day", value=1)])


@pytest.mark.parametrize(("scope", "seconds"), [("hour", 3600), ("day", 86400)])
def test_windows_slide_and_survive_restarts(place: Place, scope: str, seconds: int) -> None:
    clock = ManualClock()
    limits = [Limit(kind="tokens", scope=scope, value=100)]  # type: ignore[arg-type]
    with BudgetStore(place, limits, clock=clock) as book:
        book.settle(_reserve(book, "a", 100), Spend(tokens=100))
    clock.advance(seconds - 1)
    with BudgetStore(place, limits, clock=clock) as book:
        with pytest.raises(LimitExceeded):
            _reserve(book, "b", 1)
        clock.advance(121)
        _reserve(book, "b", 100)


@pytest.mark.parametrize("jump", [86400.0, -86400.0, 400 * 86400.0])
def test_setting_the_clock_frees_no_money(place: Place, jump: float) -> None:
    clock = SplitClock()
    limits = [Limit(kind="usd", scope="day", value=1.0), Limit(kind="usd", scope="hour", value=1.0)]
    with BudgetStore(place, limits, clock=clock) as book:
        book.settle(_reserve(book, "a", usd=1.0), Spend(usd=1.0))
        clock.wall += jump
        with pytest.raises(LimitExceeded):
            _reserve(book, "b", usd=0.01)
    with BudgetStore(place, limits, clock=clock) as book, pytest.raises(LimitExceeded):
        _reserve(book, "b", usd=0.01)


def test_a_monotonic_clock_that_starts_anew_frees_no_money(place: Place) -> None:
    clock = SplitClock()
    limits = [Limit(kind="calls", scope="hour", value=1)]
    with BudgetStore(place, limits, clock=clock) as book:
        book.settle(_reserve(book, "a"), Spend())
    clock.ticks = 0.0
    with BudgetStore(place, limits, clock=clock) as book, pytest.raises(LimitExceeded):
        _reserve(book, "b")


def test_after_a_reboot_time_has_passed_but_never_backward(place: Place) -> None:
    clock = SplitClock()
    limits = [Limit(kind="calls", scope="day", value=1)]
    with BudgetStore(place, limits, clock=clock) as book:
        book.settle(_reserve(book, "a"), Spend())
    for wall, allowed in ((-86400.0, False), (2 * 86400.0 + 120, True)):
        with contextlib.closing(open_database(place)) as raw:
            raw.execute("UPDATE book_time SET boot = 'an earlier boot'")
        clock.wall += wall
        with BudgetStore(place, limits, clock=clock) as book:
            if allowed:
                _reserve(book, "b")
            else:
                with pytest.raises(LimitExceeded):
                    _reserve(book, "b")


def test_an_open_call_counts_however_long_it_runs(place: Place) -> None:
    clock = ManualClock()
    with BudgetStore(place, [Limit(kind="calls", scope="hour", value=1)], clock=clock) as book:
        call = _reserve(book, "a")
        clock.advance(5 * 3600)
        with pytest.raises(LimitExceeded):
            _reserve(book, "b")
        book.settle(call, Spend())
        with pytest.raises(LimitExceeded):
            _reserve(book, "b")


_CHILD = textwrap.dedent("""
    import os, sys
    from hal9.budgets import BudgetStore, Limit
    from tests.support.postgres import read_place
    book = BudgetStore(read_place(sys.argv[1]))
    book.reserve("dead", "t", tokens=60, usd=0.5, seconds=9)
    book.reserve("never left", "t", tokens=30, usd=0.2, sent=False)
    left = book.reserve("left", "other", tokens=1, usd=0.0, sent=False)
    book.mark_sent(left)
    print("reserved", flush=True)
    sys.stdin.read()
""")


def test_a_process_killed_between_reserve_and_settle_is_charged_in_full(place: Place) -> None:
    limits = [Limit(kind="tokens", scope="day", value=100)]
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, write_place(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with BudgetStore(place, limits) as book:
            assert book.recover() == 0, "a living owner's reservation stays open"
            assert book.spent("t").tokens == 0
        os.kill(child.pid, signal.SIGKILL)
        # Not yet waited for: a zombie has no claims either.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with BudgetStore(place, limits) as book:
            assert book.spent("t") == Spend(tokens=60, usd=0.5, seconds=9, calls=1), "one never left"
            assert book.spent("other").calls == 1
            with pytest.raises(LimitExceeded):
                _reserve(book, "b", 40)
            _reserve(book, "b", 39)


def test_a_book_of_an_older_version_opens_and_its_open_calls_count(place: Place) -> None:
    with contextlib.closing(open_database(place, (_first_schema,))) as old:
        old.execute("INSERT INTO calls VALUES ('a', 't', '999999999:1:gone', 1, 1, 0, 7, 0, 0, 1)")
    with BudgetStore(place) as book:
        assert book.spent("t").tokens == 7
        book.settle(_reserve(book, "b", 5), Spend(tokens=5))
        assert book.spent("t").calls == 2


_RACER = textwrap.dedent("""
    import random, sys
    from hal9.errors.budgets import LimitExceeded
    from hal9.budgets import BudgetStore, Limit, Spend
    from tests.support.postgres import read_place
    place, name, seed = read_place(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    chance = random.Random(seed)
    limits = [Limit(kind="tokens", scope="day", value=1000), Limit(kind="usd", scope="task", value=1.0)]
    with BudgetStore(place, limits) as book:
        for number in range(60):
            tokens = chance.randint(1, 60)
            try:
                held = book.reserve(f"{name}-{number}", "t", tokens=tokens, usd=tokens / 1000, seconds=0.1)
            except LimitExceeded:
                continue
            used = chance.randint(0, tokens)
            if chance.random() < 0.2:
                book.release(held)
            elif chance.random() < 0.9:
                book.settle(held, Spend(tokens=used, usd=used / 1000, seconds=0.01))
""")


def test_racing_processes_never_pass_a_limit_together(place: Place) -> None:
    BudgetStore(place).close()
    racers = [
        subprocess.Popen([sys.executable, "-c", _RACER, write_place(place), f"p{number}", str(number)])
        for number in range(4)
    ]
    watched = open_database(place)
    highest = 0
    while any(racer.poll() is None for racer in racers):
        (now,) = watched.execute("SELECT coalesce(sum(tokens), 0) FROM calls").fetchone()
        highest = max(highest, now)
    watched.close()
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    with BudgetStore(place, [Limit(kind="tokens", scope="day", value=1000)]) as book:
        (standing,) = book.standings()
        assert standing.reserved == 0, "all owners are dead, so all is settled"
        assert 800 < standing.spent <= 1000, "the budget was used up, and not passed"
        total = book.totals()
        assert total.usd is not None
        assert total.usd <= 1.0
    assert 0 < highest <= 1000


_AMOUNT = st.integers(0, 60)
_STEP = st.one_of(
    st.tuples(st.just("reserve"), _AMOUNT, st.sampled_from("ab")),
    st.tuples(st.just("settle"), st.integers(0, 20), st.integers(0, 100)),
    st.tuples(st.just("release"), st.integers(0, 20), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 4000), st.just(0)),
    st.tuples(st.just("jump"), st.sampled_from([-86400, 86400]), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
)


_NUMBERS = itertools.count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, max_size=40), kind=st.sampled_from(["tokens", "usd", "seconds"]))
def test_no_history_passes_a_limit(
    places: Callable[[str], Place], steps: list[tuple[str, int, int]], kind: Kind
) -> None:
    place = places(f"budgets{next(_NUMBERS)}")
    clock = SplitClock()
    limits = [Limit(kind=kind, scope="hour", value=100), Limit(kind=kind, scope="task", value=70)]
    book = BudgetStore(place, limits, clock=clock)
    held: list[Reservation] = []
    settled: list[tuple[float, int, str]] = []  # when, how much, by which task
    open_amounts: dict[str, int] = {}
    for number, (what, first, second) in enumerate(steps):
        if what == "reserve":
            amount, task = first, str(second)
            last_hour = sum(used for at, used, _ in settled if at > clock.ticks - 3600)
            of_task = sum(used for _, used, owner in settled if owner == task)
            of_task += sum(open_amounts[h.call_id] for h in held if h.task_id == task)
            try:
                call = book.reserve(f"c{number}", task, tokens=amount, usd=amount, seconds=amount)
            except LimitExceeded:
                continue
            held.append(call)
            open_amounts[call.call_id] = amount
            assert last_hour + sum(open_amounts.values()) <= 100
            assert of_task + amount <= 70
        elif what == "settle" and held:
            call = held.pop(first % len(held))
            used = open_amounts.pop(call.call_id) * second // 100
            book.settle(call, Spend(tokens=used, usd=used, seconds=used))
            settled.append((clock.ticks, used, call.task_id))
        elif what == "release" and held:
            call = held.pop(first % len(held))
            del open_amounts[call.call_id]
            book.release(call)
        elif what == "wait":
            clock.advance(first)
        elif what == "jump":
            clock.wall += first
        elif what == "reopen":
            book.close()
            book = BudgetStore(place, limits, clock=clock)
    assert book.totals().tokens == sum(used for _, used, _ in settled)
    book.close()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_limit_must_make_sense(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Limit(kind="tokens", scope="day", value=value)
    with pytest.raises(ValueError, match="no such limit"):
        Limit(kind="apples", scope="day", value=1)  # type: ignore[arg-type]


def test_a_limit_of_zero_allows_nothing_and_exact_sums_are_allowed(place: Place) -> None:
    with BudgetStore(place, [Limit(kind="usd", scope="day", value=0.3)]) as book:
        for number in range(3):
            book.settle(_reserve(book, str(number), usd=0.1), Spend(usd=0.1))
        with pytest.raises(LimitExceeded):
            _reserve(book, "one too many", usd=1e-9)
        book.limits = [Limit(kind="calls", scope="task", value=0)]
        with pytest.raises(LimitExceeded):
            _reserve(book, "none", task="fresh")


def test_old_calls_are_forgotten_but_the_tasks_sums_stay(place: Place) -> None:
    clock = ManualClock()
    with BudgetStore(place, clock=clock) as book:
        book.settle(_reserve(book, "a"), Spend(tokens=5))
    clock.advance(3 * 86400)
    with BudgetStore(place, clock=clock) as book:
        assert book.spent("t").tokens == 5
    raw = open_database(place)
    assert raw.execute("SELECT count(*) FROM calls").fetchone()[0] == 0
    assert raw.execute("SELECT count(*) FROM minutes").fetchone()[0] == 0
    raw.close()


def test_the_error_tells_all_and_survives_pickling(place: Place) -> None:
    limits = [Limit(kind="tokens", scope="hour", value=5)]
    with BudgetStore(place, limits) as book, pytest.raises(LimitExceeded) as refused:
        _reserve(book, "a", 10)
    again = pickle.loads(pickle.dumps(refused.value))
    assert str(again) == str(refused.value)
    assert "tokens budget per hour is 5" in str(again)
