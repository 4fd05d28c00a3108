"""Records that rows and signals carry: what is written reads back, and rows of every age are read."""

import json
from typing import Any

import pytest

from hal9.errors.learning import GradientRefused, LedgerBroken
from hal9.learning import Ledger
from hal9.learning.gradients.facts import GradientFacts
from hal9.learning.state.change_facts import change_evidence, read_facts
from hal9.learning.task_path import Hop, TaskPath
from hal9.memory import MemoryScope, MemoryStore
from hal9.promptgram import Promptgram


def test_facts_of_a_gradient_read_back_as_they_were() -> None:
    path = TaskPath({"l4": Hop(4, 1, "x"), "l2": Hop(2, 1, "y")}, {("l4", "l2"): 1})
    facts = GradientFacts(
        recorded_path=path.as_json(),
        scope=MemoryScope("repository", "shop.money", "fix"),
        evidence="AssertionError: 2 != 3",
        check="pytest",
        root="0195",
        expected="3",
    )
    again = GradientFacts.read(json.loads(json.dumps(facts.as_factors())))
    assert again == facts
    assert again.path.as_json() == path.as_json()
    assert "expected" not in GradientFacts().as_factors()


@pytest.mark.parametrize(
    "factors",
    [{}, {"scope": None}, {"scope": "shop", "evidence": None, "root": 7}, {"scope": ["a"], "later": 1}],
)
def test_signals_that_say_less_are_read(factors: dict[str, Any]) -> None:
    facts = GradientFacts.read(factors)
    assert (facts.evidence, facts.check, facts.expected) == ("", "", None)
    with pytest.raises(GradientRefused, match="path"):
        facts.path  # noqa: B018 - it refuses


@pytest.mark.parametrize(
    ("evidence", "figures"),
    [
        ({}, {}),
        ({"rule": "Round half up.", "task_id": "t"}, {}),
        ({"key": "Heuristics", "after_hash": "x", "critique": "…", "error_type": "timeout"}, {"share": 0}),
        (
            {"key": "words_k", "what": {"content": "a"}, "confidence": None, "cases": []},
            {"paired": {"gain": 0.1}},
        ),
        (
            {"of a later version": [1]},
            {"replay": {"pairs": 3, "won": 1, "lost": 0, "skipped": 1, "later": 2}},
        ),
    ],
)
def test_rows_of_every_age_are_read(evidence: dict[str, Any], figures: dict[str, Any]) -> None:
    assert read_facts("id", json.dumps(evidence), json.dumps(figures)) == (evidence, figures)


@pytest.mark.parametrize(
    ("evidence", "figures", "where"),
    [
        ('{"signs": 3}', "{}", "signs"),
        ("[]", "{}", "object"),
        ("{", "{}", "JSON"),
        ("{}", '{"window": {"tasks": "few"}}', "window.tasks"),
    ],
)
def test_a_row_that_is_no_such_record_is_named(evidence: str, figures: str, where: str) -> None:
    with pytest.raises(LedgerBroken, match=where) as caught:
        read_facts("0195-7", evidence, figures)
    assert "0195-7" in str(caught.value)


def test_evidence_of_a_change_has_one_form(store: MemoryStore, files: dict[str, Promptgram]) -> None:
    prompt = next(iter(files.values()))
    evidence = change_evidence(prompt, key="Heuristics", what={"content": "x"}, signs={"a": 1}, critique="c")
    made = Ledger(store).record("prompt", "a", cause="c", actor="learning", details={"evidence": evidence})
    assert Ledger(store).get(made.id).evidence == evidence
    assert evidence == {
        "key": "Heuristics",
        "what": {"content": "x"},
        "after_hash": prompt.content_hash,
        "signs": {"a": 1},
        "critique": "c",
    }
