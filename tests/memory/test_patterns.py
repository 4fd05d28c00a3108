import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.memory import MemoryMissing
from hal9.memory import (
    Embedder,
    MemoryScope,
    MemoryStore,
    NewRule,
    Occurrence,
    PatternPolicy,
    PatternStore,
    RuleStore,
    search,
    signature,
)
from hal9.memory.rules.patterns import confidence
from hal9.memory.rules.signature import MAX_SIGNATURE

from .conftest import LEDGER


def error(number: int, *, scope: MemoryScope = LEDGER, kind: str = "incorrect_output") -> Occurrence:
    return Occurrence(
        error_type=kind,
        text=f"AssertionError: got {number} in /srv/app/run_{number}.py at 0x7f{number:06x}",
        neuron="l2-python",
        layer=2,
        scope=scope,
        task_id=f"t{number}",
        magnitude=0.7,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KeyError: 'customer_id'", "keyerror: <str>"),
        ("FileNotFoundError: '/home/x/a b.txt'", "filenotfounderror: <str>"),
        ("open('/srv/data/1.csv') failed", "open(<path>) failed"),
        ("got 17 of 20.5 items, -3 left", "got <num> of <num> items, <num> left"),
        ("object at 0x7f3a", "object at <addr>"),
        ("id 123e4567-e89b-12d3-a456-426614174000 gone", "id <uuid> gone"),
        ("2026-11-20T13:25:49.123Z boom", "<time> boom"),
        ("GET http://localhost:8080/x?y=1 -> 500", "get <url> -> <num>"),
        ("commit 1d9614638d18 broke it", "commit <hex> broke it"),
        ("\x1b[31mFAILED\x1b[0m tests/a_test.py", "failed <path>"),
        (r"C:\Users\me\x.py missing", "<path> missing"),
    ],
)
def test_signatures(text: str, expected: str) -> None:
    assert signature(text) == expected


def test_a_traceback_is_its_last_line() -> None:
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/a/b.py", line 3, in <module>\n    main()\n'
        '  File "/a/c.py", line 9, in main\n    return x["k"]\n'
        "KeyError: 'k'\n"
    )
    assert signature(trace, error_type="task_failed") == "task_failed: keyerror: <str>"


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=600))
def test_signatures_are_short_and_settle(text: str) -> None:
    once = signature(text)
    assert len(once) <= MAX_SIGNATURE
    assert signature(once + "\n" + once) == signature(once + "\n" + once)


def test_the_third_occurrence_forms_a_pattern(store: MemoryStore) -> None:
    book = PatternStore(store)
    seen = [book.observe(error(number)) for number in range(4)]
    assert [one.formed for one in seen] == [False, False, True, False]
    assert seen[1].pattern is None
    pattern = seen[3].pattern
    assert pattern is not None
    assert (pattern.occurrences, pattern.scope, pattern.error_type) == (4, LEDGER, "incorrect_output")
    assert len({one.signature for one in seen}) == 1
    kinds = [hit.memory.kind for hit in search(store, "incorrect_output recurs", mode="words", limit=20)]
    assert kinds.count("pattern") == 1
    assert store.get(seen[0].memory_id).importance == 0.7


def test_threshold_scope_and_type_keep_patterns_apart(store: MemoryStore) -> None:
    book = PatternStore(store, PatternPolicy(pattern_threshold=2))
    assert not book.observe(error(1)).formed
    assert not book.observe(error(2, scope=MemoryScope("home", "billing", "*"))).formed
    assert not book.observe(error(3, kind="task_failed")).formed
    assert book.observe(error(4)).formed
    assert [one.scope for one in book.all()] == [LEDGER]
    assert book.all(MemoryScope("home", "ledger", "some-task")) == book.all()
    assert book.all(MemoryScope("home", "billing", "*")) == []


def test_a_formed_pattern_is_recognised(store: MemoryStore) -> None:
    book = PatternStore(store)
    for number in range(3):
        book.observe(error(number))
    match = book.match(
        "AssertionError: got 99 in /other/place.py at 0xdeadbeef",
        error_type="incorrect_output",
        scope=MemoryScope("home", "ledger", "whatever"),
    )
    assert match is not None
    assert (match.by, match.pattern.confidence) == ("signature", 0.5)
    assert (
        book.match("AssertionError: got 1", error_type="incorrect_output", scope=MemoryScope("home", "x"))
        is None
    )


def test_wrong_recognitions_make_it_unsure_and_right_ones_sure_again(store: MemoryStore) -> None:
    book = PatternStore(store)
    pattern = None
    for number in range(3):
        pattern = book.observe(error(number)).pattern
    assert pattern is not None
    unsure = book.judge(pattern.id, right=False)
    assert unsure.confidence < 0.5
    assert book.match(error(9).text, error_type="incorrect_output", scope=LEDGER) is None
    for _ in range(3):
        sure = book.judge(pattern.id, right=True)
    assert sure.confidence > 0.5
    with pytest.raises(MemoryMissing, match="pattern 99"):
        book.judge(99, right=True)


def test_neighbours_in_meaning_form_a_pattern(minilm: Embedder) -> None:
    texts = [
        "ZeroDivisionError: division by zero in mean()",
        "a division by zero happened in mean()",
        "mean() failed with a division by zero",
    ]
    with MemoryStore(":memory:", embedder=minilm) as store:
        book = PatternStore(store, PatternPolicy(neighbour_similarity=0.6))
        seen = [book.observe(Occurrence(error_type="task_failed", text=text, scope=LEDGER)) for text in texts]
        assert len({one.signature for one in seen}) == 3
        assert seen[2].formed
        other = book.observe(Occurrence(error_type="task_failed", text="permission denied", scope=LEDGER))
        assert other.pattern is None
        match = book.match("mean() died: division by zero", error_type="task_failed", scope=LEDGER)
        assert match is not None
        assert match.by == "neighbourhood"


def test_prevention_is_kept(store: MemoryStore) -> None:
    book = PatternStore(store, PatternPolicy(pattern_threshold=1))
    pattern = book.observe(error(1)).pattern
    assert pattern is not None
    book.set_prevention(pattern.id, "check the envelope")
    assert book.get(pattern.id).prevention_strategy == "check the envelope"


def test_a_good_rule_raises_the_confidence(store: MemoryStore) -> None:
    patterns, rules = PatternStore(store, PatternPolicy(pattern_threshold=1)), RuleStore(store)
    pattern = patterns.observe(error(1)).pattern
    assert pattern is not None
    number = rules.propose(
        NewRule(rule="wrap it", scope=LEDGER, source="user", trusted_by="user", pattern_id=pattern.id)
    )
    before = patterns.get(pattern.id).confidence
    for _ in range(3):
        rules.record_outcome(number, "helped")
    assert patterns.get(pattern.id).confidence > before


@settings(deadline=None)  # the machine may be busy
@given(
    n=st.integers(0, 10_000),
    threshold=st.integers(1, 50),
    confirmed=st.integers(0, 100),
    refuted=st.integers(0, 100),
    bound=st.floats(0, 1),
)
def test_confidence_is_a_probability_that_evidence_moves_the_right_way(
    n: int, threshold: int, confirmed: int, refuted: int, bound: float
) -> None:
    def of(n: int = n, confirmed: int = confirmed, refuted: int = refuted, bound: float = bound) -> float:
        return confidence(n, threshold, confirmed=confirmed, refuted=refuted, best_bound=bound)

    assert 0.0 <= of() <= 1.0
    assert of(n=n + 1) >= of()
    assert of(confirmed=confirmed + 1) >= of()
    assert of(refuted=refuted + 1) <= of()
    assert confidence(threshold, threshold) == 0.5
