"""Sparse routing: which candidates stay, and that an edge with bad luck gets another chance."""

from pathlib import Path

from hal9.learning.routing.relevance import RelevanceFilter, relevant
from hal9.learning.routing.weights import HandOver, WeightStore
from hal9.memory import MemoryStore
from hal9.settings import RoutingSettings

Counts = dict[tuple[str, str], tuple[float, float]]


def test_the_ones_that_solve_this_class_stay() -> None:
    edges: Counts = {
        ("l3", "good"): (20, 2),
        ("l3", "bad"): (1, 20),
        ("l3", "elsewhere"): (20, 2),
        ("l3", "fair"): (10, 8),
    }
    solved = {"good": (10.0, 1.0), "bad": (0.0, 10.0), "elsewhere": (0.0, 10.0), "fair": (8.0, 4.0)}
    names = ["bad", "elsewhere", "fair", "good"]
    assert relevant("l3", names, edges, solved, 1) == ["good"]
    assert relevant("l3", names, edges, solved, 2) == ["fair", "good"]
    assert relevant("l3", names, edges, solved, 4) == names


def test_a_neuron_that_feeds_good_ones_is_relevant_before_it_was_ever_tried() -> None:
    edges: Counts = {("l3-a", "l2-a"): (2, 18), ("l3-b", "l2-b"): (18, 2)}
    solved = {"l2-a": (2.0, 18.0), "l2-b": (18.0, 2.0)}
    assert relevant("l4", ["l3-a", "l3-b"], edges, solved, 1) == ["l3-b"]


def test_the_hardly_tried_is_preferred_to_the_mediocre() -> None:
    edges: Counts = {("l3", "old"): (50, 50)}
    assert relevant("l3", ["new", "old"], edges, {"old": (50.0, 50.0)}, 1) == ["new"]


def test_the_filter_reads_the_weights_and_the_choice_keeps_to_it(tmp_path: Path) -> None:
    names = [f"l2-{letter}" for letter in "abcdef"]
    settings = RoutingSettings(relevance_edges=2)
    with MemoryStore(tmp_path / "memory.db") as store:
        narrow = RelevanceFilter(store, k=lambda: settings.relevance_edges)
        book = WeightStore(store, lambda: settings, narrow=narrow)
        for number in range(60):
            target = names[number % len(names)]
            success = target in ("l2-b", "l2-e")
            one = HandOver(source="l3", target=target, task_class="code", success=success)
            book.observe(f"t{number}", [one])
        assert narrow("l3", names, "code") == ["l2-b", "l2-e"]
        assert narrow("l3", names[:2], "code") == names[:2]
        pick = book.choose("l3", names, task_class="code", task_id="x")
        assert set(pick.probabilities) == {"l2-b", "l2-e"}
        off = RelevanceFilter(store, k=lambda: 0)
        assert off("l3", names, "code") == names


def test_bad_luck_at_the_start_does_not_shut_a_neuron_out(tmp_path: Path) -> None:
    names = ["l2-lucky", "l2-unlucky"]
    settings = RoutingSettings(relevance_edges=1)
    with MemoryStore(tmp_path / "memory.db") as store:
        narrow = RelevanceFilter(store, k=lambda: 1)
        book = WeightStore(store, lambda: settings, narrow=narrow)

        def tell(number: int, target: str, *, success: bool) -> None:
            one = HandOver(source="l3", target=target, task_class="code", success=success)
            book.observe(f"t{number}", [one])

        tell(0, "l2-unlucky", success=False)
        tell(1, "l2-lucky", success=True)
        assert narrow("l3", names, "code") == ["l2-lucky"]
        for number in range(2, 30):
            tell(number, "l2-lucky", success=number % 4 == 0)
        assert narrow("l3", names, "code") == ["l2-unlucky"]
