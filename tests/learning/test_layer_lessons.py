"""Lessons of the layers that divide: told apart by words, learned from divided tasks, shown where they speak."""

from dataclasses import replace
from pathlib import Path

import pytest

from hal9.cluster.services.retrieval import RuleRetrieval
from hal9.journal.tasks import TaskRow
from hal9.learning import LearningEngine
from hal9.learning.rules.layer_lessons import lesson_of
from hal9.learning.rules.taught import teach
from hal9.memory import EVERYWHERE, MemoryScope, MemoryStore, RuleStore
from hal9.memory.rules.roles import role_of
from hal9.promptgram import Promptgram
from hal9.settings import Settings
from hal9.signals import CheckReport, StepRecord, TaskScope
from tests.learning.test_rule_life import correct, shop, task_in
from tests.learning.world import finished, step

__all__ = ["shop"]


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ("split the task by module, not by layer", "planning"),
        ("Never break up work on one migration", "planning"),
        ("Teile die Aufgaben nach Dateien auf", "planning"),
        ("拆分任务时按模块来", "planning"),
        ("divide les tâches par fichier", ""),  # no such phrase in the closed list: an ordinary rule
        ("run the linter before you finish", "acceptance"),
        ("You forgot to update the changelog", "acceptance"),
        ("every change needs a test", "acceptance"),
        ("die Doku fehlt wieder", "acceptance"),
        ("avant de terminer, lance les tests", "acceptance"),
        ("提交前要跑测试", "acceptance"),
        ("split the name at the comma", ""),
        ("amounts are Decimal", ""),
        ("check for None", ""),
        ("lines have at most 100 characters", ""),
        ("missing type hints", ""),
    ],
)
def test_words_about_dividing_and_about_the_whole(words: str, role: str) -> None:
    assert role_of(words) == role


def test_parts_are_those_of_a_plan_only_where_the_task_was_divided() -> None:
    assert role_of("too many parts") == ""
    assert role_of("too many parts", divided=True) == "planning"


def told(store: MemoryStore, shop: str, layer: int, *, part: bool = False) -> list[str]:
    import asyncio

    retrieval = RuleRetrieval(store, RuleStore(store), definitions={}, settings=Settings)
    found = asyncio.run(
        retrieval.recall(
            "Do it in src/a.py", scope=TaskScope(workspace=shop), neuron="n", layer=layer, part=part
        )
    )
    return found.rule.split("\n") if found is not None else []


def test_they_are_shown_to_whoever_divides_and_to_whoever_has_the_whole(
    store: MemoryStore, shop: str
) -> None:
    scope = MemoryScope(str(Path(shop)), place=EVERYWHERE)
    scope = replace(scope, workspace="example.org/team/shop")
    for words in ("Split the task by file", "Run the linter before you finish", "we use tabs"):
        number, said = teach(store, words, scope, cause=words)
        assert number is not None, said
    plan, whole, plain = "Split the task by file.", "Run the linter before you finish.", "we use tabs."
    assert sorted(told(store, shop, 4)) == sorted([plan, whole, plain])
    assert sorted(told(store, shop, 3, part=True)) == sorted([plan, plain])
    assert sorted(told(store, shop, 2)) == sorted([whole, plain])
    assert told(store, shop, 2, part=True) == [plain]


async def test_a_correction_about_a_divided_task_is_a_lesson_of_the_layer_that_divided_it(
    engine: LearningEngine, store: MemoryStore, files: dict[str, Promptgram], shop: str
) -> None:
    learned = await correct(engine, task_in(shop, "Do.", "src/a.py"), "split such a task by file")
    assert (learned.state, learned.holds_for) == ("admitted", "the whole project (planning)")
    again = await correct(engine, task_in(shop, "Do.", "src/a.py"), "forget that about splitting the task")
    assert again.state == "retired"


def divided(
    files: dict[str, Promptgram], *, passes: bool, mended: str = ""
) -> tuple[TaskRow, list[StepRecord]]:
    task = finished("Write all of it.", reason=None if passes else "check_failed", evidence="")
    assert task.result is not None
    report = CheckReport(command="python check.py", passed=passes, output="")
    task = replace(task, result=task.result.model_copy(update={"check": report}))
    top = files["l4-strategist"]
    steps = [
        step(task, top, 4, "split", reply='{"approach": "x", "parts": [{"title": "a", "objective": "a"}]}')
    ]
    merged = step(task, top, 4, "check", tool="merge", mode="parts")
    steps.append(merged.model_copy(update={"kind": "tool"}))
    if mended:
        reply = f'{{"approach": "x", "parts": [{{"title": "m", "objective": "{mended}"}}]}}'
        steps.append(step(task, top, 4, "split", reply=reply))
    evidence = "" if passes else "Traceback:\nAssertionError: totals have no tax"
    ended = step(task, top, 4, "check", mode="parts", evidence=evidence)
    steps.append(ended.model_copy(update={"outcome": "ok" if passes else "failed"}))
    return task, steps


def test_what_a_plan_lacked_and_what_the_whole_missed_are_lessons(files: dict[str, Promptgram]) -> None:
    mended = lesson_of(*divided(files, passes=True, mended="Wire both into the menu."))
    assert mended is not None
    assert (mended.rule, mended.work) == (
        "Plan for this from the start: Wire both into the menu.",
        "planning",
    )
    missed = lesson_of(*divided(files, passes=False))
    assert missed is not None
    assert missed.work == "acceptance"
    assert missed.rule.endswith("AssertionError: totals have no tax")
    assert lesson_of(*divided(files, passes=True)) is None
    task, steps = divided(files, passes=True, mended="x")
    assert task.result is not None
    unproven = replace(task, result=task.result.model_copy(update={"check": None}))
    assert lesson_of(unproven, steps) is None, "nothing says that the further part was right"


async def test_without_a_replay_such_a_lesson_waits_as_a_candidate(
    engine: LearningEngine, store: MemoryStore, files: dict[str, Promptgram]
) -> None:
    await engine.examine(*divided(files, passes=True, mended="Wire both into the menu."))
    (one,) = [rule for rule in RuleStore(store).all() if rule.scope.work == "planning"]
    assert (one.state, one.source) == ("candidate", "retry")
