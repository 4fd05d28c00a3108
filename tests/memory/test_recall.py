from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.errors.memory import MemoryInvalid
from hal9.memory import (
    ANY,
    Embedder,
    MemoryScope,
    MemoryStore,
    NewRule,
    RecallPolicy,
    RuleState,
    RuleStore,
    SolvedExample,
    place,
    recall,
    recall_many,
    scope_for_memory,
    scope_of,
    with_rules,
)
from hal9.memory.embedding.hashing import HashingEmbedder

from .conftest import LEDGER


def teach(
    store: MemoryStore,
    rule: str,
    scope: MemoryScope,
    *,
    task: str | None = None,
    state: RuleState = "admitted",
) -> int:
    book = RuleStore(store)
    example = SolvedExample(task, "answer") if task else None
    number = book.propose(NewRule(rule=rule, scope=scope, source="user", trusted_by="user", example=example))
    book.set_state(number, state, "test")
    return number


TASK = "In module ledger, write total(entries)."


def test_a_rule_of_the_same_module_is_recalled_with_its_reasons(store: MemoryStore) -> None:
    number = teach(store, "Return {'result': v}.", LEDGER, task="In module ledger, write add(a, b).")
    found = recall(store, TASK, scope_of(TASK, workspace="home"))
    assert found is not None
    assert (found.rule_id, found.rule) == (number, "Return {'result': v}.")
    assert found.example == SolvedExample("In module ledger, write add(a, b).", "answer")
    assert "scope home/ledger/* covers the task" in found.why


@pytest.mark.parametrize(
    "scope",
    [
        MemoryScope("home", "tools", "*"),
        MemoryScope("work", "ledger", "*"),
        MemoryScope("home", "", "sort-words-in-ascending-order"),
        MemoryScope("home", "", ""),
        MemoryScope("", "ledger", "*"),
        MemoryScope("home", "ledger2", "x"),
        MemoryScope("home", "Ledger", "x"),
    ],
)
def test_no_similarity_bridges_a_scope(store: MemoryStore, scope: MemoryScope) -> None:
    teach(store, "Return {'result': v}.", LEDGER, task=TASK)
    assert recall(store, TASK, scope) is None


@pytest.mark.parametrize("state", ["candidate", "retired", "quarantined"])
def test_only_admitted_ones_are_shown(store: MemoryStore, state: RuleState) -> None:
    teach(store, "Return {'result': v}.", LEDGER, task=TASK, state=state)
    assert recall(store, TASK, scope_of(TASK, workspace="home")) is None


def test_one_or_none_by_default_and_the_limit_rules(store: MemoryStore) -> None:
    for number in range(4):
        teach(store, f"rule {number}", LEDGER, task=f"{TASK} {number}")
    scope = scope_of(TASK, workspace="home")
    assert len(recall_many(store, TASK, scope)) == 1
    assert len(recall_many(store, TASK, scope, RecallPolicy(limit=3))) == 3
    assert recall(store, TASK, scope, RecallPolicy(limit=0)) is None


def test_within_a_scope_the_nearest_example_wins(store: MemoryStore) -> None:
    dates = teach(store, "dates", LEDGER, task="In module ledger, write a function that formats a date.")
    money = teach(
        store, "money", LEDGER, task="In module ledger, write a function that rounds an amount of money."
    )
    for task, expected in (
        ("In module ledger, write format_day, which formats a date.", dates),
        ("In module ledger, write price, which rounds an amount of money.", money),
    ):
        found = recall(store, task, scope_of(task, workspace="home"))
        assert found is not None
        assert found.rule_id == expected


def test_of_equals_the_one_that_helped_wins(store: MemoryStore) -> None:
    good, bad = (teach(store, text, LEDGER, task=TASK) for text in ("good", "bad"))
    book = RuleStore(store)
    for _ in range(3):
        book.record_outcome(good, "helped")
    book.record_outcome(bad, "failed")
    found = recall(store, TASK, scope_of(TASK, workspace="home"))
    assert found is not None
    assert found.rule_id == good


def test_a_family_rule_needs_similarity(store: MemoryStore) -> None:
    task = 'How many times does the letter "r" appear in the text: "strawberry"?'
    other = "How many times does the letter count as odd in this unrelated riddle about ships and captains?"
    scope = scope_of(task, workspace="home")
    assert scope.module == ""
    teach(store, "Count with code.", scope_for_memory(scope), task=task)
    near = 'How many times does the letter "a" appear in the text: "banana bread"?'
    assert scope_of(near, workspace="home") == scope
    assert recall(store, near, scope_of(near, workspace="home")) is not None
    assert recall(store, other, scope, RecallPolicy(min_similarity=0.9)) is None


def test_a_rule_for_everything_needs_strong_similarity_and_vectors(store: MemoryStore) -> None:
    task = "Write a Python function mean(numbers) that returns the average of a list."
    teach(store, "Handle the empty list.", MemoryScope(ANY, ANY, ANY), task=task)
    assert recall(store, task, MemoryScope("home", "anything", "x")) is not None
    assert recall(store, "Explain the French revolution.", MemoryScope("home", "anything", "x")) is None
    with MemoryStore(":memory:") as blind:
        teach(blind, "Handle the empty list.", MemoryScope(ANY, ANY, ANY), task=task)
        assert recall(blind, task, MemoryScope("home", "anything", "x")) is None


def test_without_vectors_an_exact_module_still_recalls(clock: object) -> None:
    with MemoryStore(":memory:") as blind:
        teach(blind, "Return {'result': v}.", LEDGER)
        found = recall(blind, TASK, scope_of(TASK, workspace="home"))
        assert found is not None
        assert found.similarity is None


def test_the_gate_can_be_switched_off_for_experiments(store: MemoryStore) -> None:
    teach(store, "Return {'result': v}.", LEDGER, task=TASK)
    found = recall(store, TASK, MemoryScope("home", "tools"), RecallPolicy(scope_gate=False))
    assert found is not None
    assert found.why.startswith("scope gate off")


scope_fields = st.sampled_from(
    ["", "*", "a", "b", "ledger", "'; DROP TABLE mitigations --", "%", "\x00", "\ud800"]
)
scopes = st.builds(MemoryScope, scope_fields, scope_fields, scope_fields)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.lists(scopes, min_size=1, max_size=6), asked=scopes, task=st.text(max_size=30))
def test_recall_is_exact_and_repeatable_for_any_scopes(
    kept: list[MemoryScope], asked: MemoryScope, task: str
) -> None:
    with MemoryStore(":memory:", embedder=HashingEmbedder(32)) as store:
        for number, scope in enumerate(kept):
            if scope.module or scope.task_family:
                teach(store, f"rule {number}", scope, task=task.strip() or "x")
        policy = RecallPolicy(limit=9, min_similarity=-1.0, wide_similarity=-1.0)
        found = recall_many(store, task, asked, policy)
        for one in found:
            for mine, theirs in zip(
                (one.scope.workspace, one.scope.module, one.scope.task_family),
                (asked.cleaned().workspace, asked.cleaned().module, asked.cleaned().task_family),
                strict=True,
            ):
                assert mine in ("*", theirs)
        covering = {scope.cleaned() for scope in kept if scope.cleaned().covers(asked.cleaned())}
        assert {one.scope for one in found} == covering
        assert recall_many(store, task, asked, policy) == found


@pytest.mark.parametrize(
    ("task", "module"),
    [
        ("In module ledger, write total(xs).", "ledger"),
        ("Module: billing\nWrite a function.", "billing"),
        ("Write a function for the `sensors` module.", "sensors"),
        ("For our motor module write set_speed.", "motor"),
        ("Fix the bug in src/app/router.py please", "router"),
        ("Write a component that is fast.", ""),
        ("Use the module to sort.", ""),
        ("Write a function that adds two numbers.", ""),
        ("In package Shop.Cart write total", "shop.cart"),
    ],
)
def test_modules_are_found_in_words(task: str, module: str) -> None:
    assert scope_of(task).module == module


def test_families_agree_over_numbers_and_strings_and_differ_between_kinds() -> None:
    def family(task: str) -> str:
        return scope_of(task).task_family

    count = [f'How many times does the letter "{x}" appear in the text: "{y}"?' for x, y in ("ra", "bc")]
    sort = [
        f"Your task is to sort words in ascending order. Now sort: {words}" for words in ("b, a", "z, y, x")
    ]
    assert family(count[0]) == family(count[1]) != ""
    assert family(sort[0]) == family(sort[1]) != ""
    assert family(count[0]) != family(sort[0])
    assert family("Complete this function:\n\ndef add(a, b):\n    pass") == ""
    assert family("def add(a, b):\n    '''Return the sum of both of the numbers.'''") == ""


def test_a_rule_keeps_the_module_or_the_family() -> None:
    assert scope_for_memory(MemoryScope("w", "ledger", "x-y")) == MemoryScope("w", "ledger", "*")
    assert scope_for_memory(MemoryScope("w", "", "x-y")) == MemoryScope("w", "", "x-y")
    assert scope_for_memory(LEDGER) == LEDGER


@dataclass(frozen=True)
class Turn:
    role: Literal["system", "user", "assistant"]
    content: str


BARE = (Turn("system", "You write Python."), Turn("user", TASK))


def test_nothing_recalled_leaves_every_byte(store: MemoryStore) -> None:
    recalled = recall_many(store, TASK, scope_of(TASK, workspace="home"))
    placed = place(BARE, recalled, Turn)
    assert placed == BARE
    assert all(new is old for new, old in zip(placed, BARE, strict=True))
    assert with_rules(TASK, recalled) is TASK


def test_the_rule_stands_directly_before_the_task_and_the_example_is_a_turn(store: MemoryStore) -> None:
    teach(store, "Return {'result': v}.", LEDGER, task="In module ledger, write add(a, b).")
    found = recall_many(store, TASK, scope_of(TASK, workspace="home"))
    assert place(BARE, found, Turn) == (
        BARE[0],
        Turn("user", "In module ledger, write add(a, b)."),
        Turn("assistant", "answer"),
        Turn("user", "Return {'result': v}.\n\n" + TASK),
    )
    bare_rule = [replace(found[0], example=None)]
    assert place(BARE, bare_rule, Turn) == (BARE[0], Turn("user", "Return {'result': v}.\n\n" + TASK))


def test_a_prompt_that_does_not_end_with_the_task_is_refused(store: MemoryStore) -> None:
    teach(store, "rule", LEDGER, task=TASK)
    found = recall_many(store, TASK, scope_of(TASK, workspace="home"))
    with pytest.raises(MemoryInvalid, match="last message"):
        place((*BARE, Turn("assistant", "done")), found, Turn)


def test_minilm_keeps_unrelated_tasks_free_of_wide_rules(minilm: Embedder) -> None:
    with MemoryStore(":memory:", embedder=minilm) as store:
        teach(
            store,
            "Handle the empty list first.",
            MemoryScope(ANY, ANY, ANY),
            task="Write a Python function mean(numbers) that returns the average of a list, else 0.0.",
        )
        scope = MemoryScope("home", "x", "y")
        assert recall(store, "Write a Python function average(values) returning the mean of a list.", scope)
        for other in (
            "Write a haiku about rain.",
            "Sort these words: b, a",
            "Refactor the MQTT client to reconnect.",
        ):
            assert recall(store, other, scope) is None
