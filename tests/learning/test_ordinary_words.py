"""Corrections in ordinary words: where they are taken to hold, which tasks they reach, and how they end."""

from pathlib import Path

import pytest

from hal9.learning import LearningEngine
from hal9.learning.rules.scope_proposal import proposed_scope
from hal9.memory import MemoryStore, RecallPolicy, RuleStore, recall_many, scope_of
from hal9.memory.rules.subjects import value_subjects
from hal9.promptgram import Promptgram
from tests.learning.test_rule_life import correct, recalled, shop, task_in
from tests.learning.world import straight

__all__ = ["shop"]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("dates as DD.MM.YYYY here", "src/billing/**"),
        ("invoice dates are always written DD.MM.YYYY", "src/billing/**"),
        ("Datumsangaben immer als TT.MM.JJJJ", "src/billing/**"),
        ("we always use type hints", "**"),
        ("docstrings in English please", "**"),
        ("wir schreiben grundsätzlich keine Kommentare", "**"),
        ("in this file every date is ISO", "src/billing/dates.py"),
        ("dates.py must not import pandas", "src/billing/dates.py"),
        ("whatever is in src/ returns early", "src/**"),
        ("everywhere: empty list -> return None", "**"),
        ("en todo el proyecto: nada de excepciones", "**"),
    ],
)
def test_where_a_correction_is_taken_to_hold(shop: str, words: str, place: str) -> None:
    changed = ["src/billing/dates.py"]
    task = scope_of("Mend it.", workspace=shop, paths=changed)
    found = proposed_scope(task, words=words, wanted="", changed=changed, workspace=shop)
    assert found.place == place


def test_subjects_meet_across_languages() -> None:
    for text in (
        "due dates",
        "Die Frist ist ein Tag",
        "la fecha de vencimiento",
        "срок оплаты",
        "日期格式",
        "add(due_date)",
    ):
        assert "date" in value_subjects(text), text
    for text in ("customers", "a centred title", "the latest rate limit", "concerns of ours"):
        assert value_subjects(text) == frozenset(), text


async def test_of_two_rules_of_a_folder_the_one_about_the_task_is_recalled(
    engine: LearningEngine, store: MemoryStore, shop: str
) -> None:
    await correct(engine, task_in(shop, "Add due_on(day).", "billing/terms.py"), "dates as DD.MM.YYYY")
    await correct(engine, task_in(shop, "Add gross(net).", "billing/tax.py"), "amounts in whole cents")
    assert recalled(store, shop, "billing/month.py: the last day of a month") == ["dates as DD.MM.YYYY."]
    assert recalled(store, shop, "billing/fee.py: the price with a fee of 5") == ["amounts in whole cents."]
    assert recalled(store, shop, "billing/due.py: due date and open amount as a pair") == [
        "dates as DD.MM.YYYY.",
        "amounts in whole cents.",
    ] or sorted(recalled(store, shop, "billing/due.py: due date and open amount as a pair")) == sorted(
        ["dates as DD.MM.YYYY.", "amounts in whole cents."]
    )
    assert recalled(store, shop, "billing/queue.py: how many letters wait") == []
    assert recalled(store, shop, "shipping/month.py: the last day of a month") == []


async def test_a_task_that_names_no_file_is_reached_by_its_words(
    engine: LearningEngine, store: MemoryStore, shop: str
) -> None:
    taught = "Add reminder_on(year, month, day), the day of the reminder for an invoice."
    await correct(engine, task_in(shop, taught, "billing/terms.py"), "dates as DD.MM.YYYY")
    again = "Write due_on(year, month, day), the day on which an invoice is due."
    assert recalled(store, shop, again) == ["dates as DD.MM.YYYY."]
    assert recalled(store, shop, "Sort the words of a text by their length.") == []


async def test_the_probability_is_told(engine: LearningEngine, store: MemoryStore, shop: str) -> None:
    await correct(engine, task_in(shop, "Do.", "billing/a.py"), "amounts in cents")
    scope = scope_of("price in billing/b.py", workspace=shop)
    found = recall_many(store, "price in billing/b.py", scope, RecallPolicy())
    assert 0.6 <= found[0].probability <= 1
    assert "applies with probability" in found[0].why


async def test_rules_stay_within_their_budget_of_tokens(
    engine: LearningEngine, store: MemoryStore, shop: str
) -> None:
    for words in (
        "return early, and say why in one line of the log",
        "name things in full, never by letters",
    ):
        await correct(engine, task_in(shop, "Do.", "src/a.py"), words, holds_for="src")
    scope = scope_of("mend src/b.py", workspace=shop)
    assert len(recall_many(store, "mend src/b.py", scope, RecallPolicy(limit=3, tokens=400))) == 2
    assert len(recall_many(store, "mend src/b.py", scope, RecallPolicy(limit=3, tokens=5))) == 1


@pytest.mark.parametrize(
    "words",
    [
        "no longer wrap it in a list",
        "forget the thing with the list",
        "the rule that values are wrapped does not apply any more; hand the plain value back",
        "Das mit der Liste gilt nicht mehr",
        "olvida lo de la lista",
    ],
)
async def test_what_was_seen_at_work_is_taken_back_in_any_words(
    engine: LearningEngine, store: MemoryStore, files: dict[str, Promptgram], shop: str, words: str
) -> None:
    kept = await correct(engine, task_in(shop, "Do.", "src/b.py"), "amounts in cents", holds_for="src")
    wrapped = await correct(
        engine, task_in(shop, "Do.", "export/a.py"), "the exporter iterates over what it gets, so wrap values"
    )
    task = task_in(shop, "Add rows(values).", "export/b.py", now=1_700_000_100.0)
    from hal9.learning import parse_feedback

    told = parse_feedback({"verdict": "reject", "why": words})
    steps = straight(task, files, recalled=[wrapped.rule_id])
    await engine.rule_learner.from_feedback(told, task, steps, cause="x")
    states = {one.id: one.state for one in RuleStore(store).all()}
    assert states == {kept.rule_id: "admitted", wrapped.rule_id: "retired"}


def test_a_rule_at_the_root_holds_for_its_file(shop: str, tmp_path: Path) -> None:
    task = scope_of("Mend it.", workspace=shop, paths=["prices.py"])
    assert task.module == "prices"
    found = proposed_scope(task, words="amounts in cents", wanted="", changed=["prices.py"], workspace=shop)
    assert (found.place, found.module) == ("", "prices")


async def test_the_same_lesson_in_three_places_proposes_the_wider_one_and_widens_nothing(
    engine: LearningEngine, store: MemoryStore, files: dict[str, Promptgram], shop: str
) -> None:
    from hal9.learning import parse_feedback

    said: list[str] = []
    for number, folder in enumerate(("src/cart", "src/billing", "src/mail")):
        task = task_in(shop, "Do.", f"{folder}/a.py", now=1_700_000_000.0 + number)
        told = parse_feedback({"verdict": "reject", "why": "amounts in whole cents"})
        report = await engine.take_feedback(told, task, straight(task, files), cause=str(number))
        said = [*report.said]
        assert any("say the same" in line for line in said) is (number == 2)
    assert any("`hal9 rules set 3 --for src`" in line for line in said)
    places = {one.scope.place for one in RuleStore(store).all(states=("admitted",))}
    assert places == {"src/cart/**", "src/billing/**", "src/mail/**"}
