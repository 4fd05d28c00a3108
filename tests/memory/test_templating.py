import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.memory import MemoryInvalid
from hal9.memory import MemoryScope, facts_of_correction, template_rule

from .conftest import LEDGER


def test_the_users_words_stay_as_they_are() -> None:
    rule = template_rule(scope=LEDGER, note="  functions return {'result': v},\n never the bare value ")
    assert rule == "In module ledger: functions return {'result': v}, never the bare value."


def test_a_named_module_is_not_named_twice() -> None:
    note = "In module Ledger every function returns a dict!"
    assert template_rule(scope=LEDGER, note=note) == note
    assert template_rule(scope=MemoryScope("w", "", "sort-words"), note="Sort with code") == "Sort with code."


def test_a_corrected_answer_gives_imports_calls_and_literals() -> None:
    rule = template_rule(
        scope=MemoryScope("w", "motor", "*"),
        task="In module motor, write set_speed(v).",
        rejected="def set_speed(v):\n    return v",
        corrected=(
            "```python\nimport util\n\ndef set_speed(v):\n    '''Set it.'''\n    if v is None:\n"
            "        raise ValueError('E042: no speed')\n    return util.clamp(v)\n```"
        ),
    )
    assert rule == (
        "In module motor: It needs `import util`. Call `util.clamp`. Raise `ValueError`. "
        "Use the literal text 'E042: no speed'."
    ) or set(rule.removeprefix("In module motor: ").split(". ")) >= {
        "It needs `import util`",
        "Call `util.clamp`",
    }
    assert "Set it" not in rule


def test_what_the_task_or_the_rejected_answer_has_is_not_said_again() -> None:
    facts = facts_of_correction(
        corrected="import math\ndef f(x):\n    return {'result': math.floor(x)}",
        rejected="import math\ndef f(x):\n    return math.floor(x)",
        known="",
    )
    assert facts == ["Use the literal text 'result'."]
    assert facts_of_correction(corrected="def f():\n    return 'ok'", known="answer 'ok'") == []


def test_a_corrected_text_that_is_not_code_points_to_the_example() -> None:
    rule = template_rule(scope=MemoryScope("w", "", "x"), corrected="apple, banana: sorted!")
    assert rule == "Answer exactly in the form of the solved example."


def test_nothing_said_nothing_learned() -> None:
    with pytest.raises(MemoryInvalid, match="neither a reason nor a corrected answer"):
        template_rule(scope=LEDGER, note=" \n")


@settings(deadline=None)  # the machine may be busy
@given(note=st.text(max_size=2_000), corrected=st.text(max_size=200), rejected=st.text(max_size=200))
def test_any_feedback_gives_a_bounded_rule_or_a_refusal(note: str, corrected: str, rejected: str) -> None:
    try:
        rule = template_rule(scope=LEDGER, note=note, corrected=corrected, rejected=rejected)
    except MemoryInvalid:
        assert not note.strip() or not note.replace("\x00", "").strip()
        return
    assert rule == template_rule(scope=LEDGER, note=note, corrected=corrected, rejected=rejected)
    assert "ledger" in rule.lower()
    assert len(rule) < 1_500
    rule.encode("utf-8")


@pytest.mark.parametrize(
    ("note", "rule"),
    [
        ("use UTC", "use UTC."),
        ("日付は ISO 形式で書くこと", "日付は ISO 形式で書くこと。"),
        ("禁止です。", "禁止です。"),
    ],
)
def test_a_sentence_ends_as_its_language_ends_it(note: str, rule: str) -> None:
    assert template_rule(scope=MemoryScope("repo", place="**"), note=note) == rule
