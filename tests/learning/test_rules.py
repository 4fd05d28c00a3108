"""Rules out of the user's words and of retries; when they are admitted, and how their uses are counted."""

from dataclasses import replace
from typing import Any

import pytest

from hal9.errors.memory import EmbedderUnavailable
from hal9.journal.tasks import TaskRow
from hal9.learning import Critic, LearningEngine, ReplayCase, RuleLearner, TaskPath, parse_feedback
from hal9.learning.replay_cases import answer_as_turn, reply_as_turn, wrong_and_right
from hal9.memory import (
    MemoryScope,
    MemoryStore,
    NewRule,
    Rule,
    RulePolicy,
    RuleStore,
    audit,
    import_pack,
    open_embedder,
    recall,
)
from hal9.minds import ScriptedMind
from hal9.minds.protocol import Reply, Request
from hal9.promptgram import Promptgram
from hal9.signals import ErrorGradient, FileChange, StepRecord, TaskPayload
from tests.learning.conftest import ROOT, shipped
from tests.learning.test_hostile import gradient as gradient_with
from tests.learning.test_propagate import flow, gradient_of
from tests.learning.world import finished, step, straight

SCOPE = MemoryScope("/ws", "billing", "*")
WRONG = "`d.py`\n```python\ndef f(day):\n    return day\n```"
RIGHT = "`d.py`\n```python\nimport locale\n\ndef f(day):\n    return locale.str(day)\n```"


class Stage:
    """A real-mind stand-in whose results a test sets: (bare, with the rule)."""

    def __init__(self, bare: bool | None, helped: bool | None) -> None:
        self.bare, self.helped = bare, helped
        self.seen: list[Rule | None] = []

    async def rehearse(self, case: ReplayCase, rule: Rule | None) -> bool | None:
        self.seen.append(rule)
        return self.bare if rule is None else self.helped


def rule_learner(
    store: MemoryStore, stage: Stage | None = None, verified: bool | None = None, **rest: Any
) -> RuleLearner:
    async def verify(payload: TaskPayload, expected: str) -> bool | None:
        return verified

    return RuleLearner(store, verify=verify, rehearse=stage.rehearse if stage else None, **rest)


def retried(task: TaskRow, prompts: dict[str, Promptgram]) -> list[StepRecord]:
    return [
        step(task, prompts["l2-craftsman"], 2, "think", reply=WRONG),
        step(task, prompts["l2-craftsman"], 2, "check", outcome="failed"),
        step(task, prompts["l2-craftsman"], 2, "think", reply=RIGHT),
        step(task, prompts["l2-craftsman"], 2, "check"),
    ]


async def test_the_users_sentence_becomes_the_rule_in_their_words(store: MemoryStore) -> None:
    stage = Stage(bare=False, helped=True)
    told = parse_feedback({"verdict": "reject", "why": "Dates are written DD.MM.YYYY"})
    learned = await rule_learner(store, stage).from_feedback(told, finished(), [], cause="f1")
    assert learned.state == "admitted"
    assert learned.rule_id is not None
    one = RuleStore(store).get(learned.rule_id)
    assert one.rule == "In module billing: Dates are written DD.MM.YYYY."
    assert one.scope == SCOPE
    assert [bool(rule) for rule in stage.seen] == [False, True]


@pytest.mark.parametrize(
    ("bare", "helped", "state"),
    [
        (False, True, "admitted"),
        (False, False, "admitted"),
        (True, True, "admitted"),
        (True, False, "quarantined"),
        (None, None, "admitted"),
    ],
)
async def test_the_users_words_hold_at_once_unless_a_replay_shows_that_they_do_harm(
    store: MemoryStore, bare: bool | None, helped: bool | None, state: str
) -> None:
    told = parse_feedback({"verdict": "reject", "why": "use tabs"})
    learned = await rule_learner(store, Stage(bare, helped)).from_feedback(told, finished(), [], cause="f1")
    assert learned.state == state


@pytest.mark.parametrize(
    ("verified", "state"), [(True, "admitted"), (None, "admitted"), (False, "quarantined")]
)
async def test_a_corrected_answer_is_taken_unless_the_check_contradicts_it(
    store: MemoryStore, verified: bool | None, state: str
) -> None:
    told = parse_feedback({"verdict": "reject", "expected": "def f(day):\n    return day\n"})
    learned = await rule_learner(store, verified=verified).from_feedback(told, finished(), [], cause="f1")
    assert learned.state == state


async def test_feedback_on_a_task_without_a_scope_teaches_nothing_and_says_so(store: MemoryStore) -> None:
    told = parse_feedback({"verdict": "reject", "why": "no"})
    learned = await rule_learner(store).from_feedback(told, finished("Do it."), [], cause="f")
    assert learned.rule_id is None
    assert "not what would be right" in learned.reason


def test_an_answer_is_shown_as_a_neuron_would_write_it() -> None:
    payload = TaskPayload(objective="o", targets=["a/d.py"])
    assert answer_as_turn(payload, [], "x = 1\n") == "```python\nx = 1\n```"
    named = TaskPayload(objective="write d.py")
    assert answer_as_turn(named, ["d.py"], "x = 1\n") == "```python\nx = 1\n```"
    assert (
        reply_as_turn(payload, [], "Here:\n`a/d.py`\n```python\nx = 1\n```\nDone.") == "```python\nx = 1\n```"
    )
    two = "```\na\n```\n```\nb\n```"
    assert reply_as_turn(payload, [], two) == two
    assert (
        answer_as_turn(TaskPayload(objective="o"), ["d.rs"], "fn f() {}") == "`d.rs`\n```rust\nfn f() {}\n```"
    )
    assert answer_as_turn(TaskPayload(objective="o"), ["a", "b"], "42") == "42"


async def test_a_retry_that_passed_is_a_candidate_until_it_fixes_another_case(
    store: MemoryStore, files: dict[str, Promptgram]
) -> None:
    task = finished(reason=None)
    steps = retried(task, files)
    assert wrong_and_right(steps) == (WRONG, RIGHT)
    teacher = rule_learner(store, Stage(bare=False, helped=True))
    learned = await teacher.from_retry(task, steps, cause=task.id)
    assert learned is not None
    assert learned.state == "candidate"
    assert learned.rule_id is not None
    one = RuleStore(store).get(learned.rule_id)
    assert one.example is not None
    assert one.example.answer == RIGHT
    assert "import locale" in one.rule
    assert recall(store, task.payload.objective, SCOPE) is None
    failed = finished(now=1_700_000_100.0)
    tried = await teacher.try_candidates(failed, cause=failed.id)
    assert [one.state for one in tried] == ["admitted"]
    assert recall(store, task.payload.objective, MemoryScope("/ws", "billing", "x")) is not None


def test_only_a_failure_followed_by_a_success_is_a_retry(files: dict[str, Promptgram]) -> None:
    task = finished()
    assert wrong_and_right(straight(task, files)) is None
    assert wrong_and_right(straight(finished(reason=None), files)) is None


async def test_a_candidate_that_never_fixes_anything_is_retired(store: MemoryStore) -> None:
    teacher = rule_learner(store, Stage(bare=False, helped=False))
    (candidate,) = [await teacher.from_retry(finished(), retried(finished(), shipped()), cause="r")]
    assert candidate is not None
    states = [candidate.state]
    for number in range(3):
        failed = finished(now=1_700_000_100.0 + number)
        states += [one.state for one in await teacher.try_candidates(failed, cause=failed.id)]
    assert states == ["candidate", "candidate", "candidate", "retired"]


async def test_a_packs_rule_is_tried_only_where_the_error_is_like_its_own(store: MemoryStore) -> None:
    try:
        store.embedder = open_embedder("onnx-minilm")
    except EmbedderUnavailable as missing:
        pytest.skip(str(missing))
    import_pack(store, (ROOT / "memory" / "python-basics.yaml").read_text())
    book = RuleStore(store)
    stage = Stage(bare=False, helped=True)
    teacher = rule_learner(store, stage)
    await teacher.try_candidates(finished(evidence="the printer is on fire"), cause="a")
    assert stage.seen == []
    assert book.all(states=("admitted",)) == []
    await teacher.try_candidates(finished(evidence="x\nZeroDivisionError: division by zero"), cause="b")
    (one,) = book.all(states=("admitted",))
    assert one.rule.startswith("Handle the empty input first")


async def test_only_a_trusted_mind_may_write_a_rule_and_it_must_fix_the_case(
    store: MemoryStore, engine: LearningEngine, files: dict[str, Promptgram]
) -> None:
    task = finished()
    await engine.examine(task, straight(task, files))
    (signal,) = await engine.examine(task, straight(task, files))
    gradient = gradient_of(signal)
    teacher = rule_learner(store, Stage(bare=False, helped=True))
    assert await teacher.from_mind(task.id, gradient, cause="g") is None

    async def write(about: ErrorGradient) -> tuple[str, str]:
        return "Write dates as DD.MM.YYYY.", "big-model"

    stage = Stage(bare=False, helped=True)
    teacher = rule_learner(store, stage, writer=write)
    refused = await teacher.from_mind(task.id, gradient, cause="g")
    assert refused is not None
    assert (refused.rule_id, "not among those trusted" in refused.reason) == (None, True)
    rules = RuleStore(store, RulePolicy(trusted_minds=("big-model",)))
    teacher = rule_learner(store, stage, writer=write, rules=rules)
    learned = await teacher.from_mind(task.id, gradient, cause="g")
    assert learned is not None
    assert learned.state == "admitted"
    assert await teacher.from_mind(task.id, gradient, cause="g") is None  # one is known now


async def test_a_mind_that_does_not_cite_writes_no_rule(store: MemoryStore) -> None:
    mind = ScriptedMind(
        [
            {"rule": "Be good.", "citation": "nothing of the kind"},
            {"rule": "Use E042.", "citation": "Error: E042 x"},
        ]
    )

    async def ask(spec: str, request: Request, purpose: str) -> Reply:
        return await mind.think(request)

    about = gradient_with("Error: E042 x")
    assert await Critic(ask).rule(about, []) is None
    assert await Critic(ask).rule(about, ["big"]) is None
    assert await Critic(ask).rule(about, ["big"]) == ("Use E042.", "big")


async def test_uses_are_counted_once_per_task_and_the_user_has_the_last_word(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    told = parse_feedback({"verdict": "reject", "expected": "def f(day):\n    return 1\n"})
    learned = await engine.rule_learner.from_feedback(told, finished(), [], cause="f")
    number = learned.rule_id
    assert number is not None

    def record() -> tuple[int, int, int, int]:
        one = RuleStore(store).get(number)
        return one.tried, one.helped, one.failed, one.unjudged

    task = finished(reason=None, now=1_700_000_010.0)
    steps = straight(task, files, recalled=[number])
    for _ in range(3):
        await engine.examine(task, steps)
    assert record() == (1, 1, 0, 0)
    for _ in range(2):
        await engine.take_feedback(parse_feedback({"verdict": "reject", "why": "no"}), task, steps, cause="g")
    assert record() == (1, 0, 1, 0)
    await engine.take_feedback(parse_feedback({"verdict": "accept"}), task, steps, cause="h")
    assert record() == (1, 1, 0, 0)
    # What the result says later does not overrule the user.
    await engine.examine(task, steps)
    assert record() == (1, 1, 0, 0)
    unjudged = finished(reason=None, check=None, now=1_700_000_020.0)
    await engine.examine(unjudged, straight(unjudged, files, recalled=[number]))
    assert record() == (1, 1, 0, 1)
    assert audit(store).tampered == ()


async def test_a_rule_that_fails_twice_is_retired_and_the_ledger_says_so(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    number = RuleStore(store).propose(
        NewRule(rule="Return 1.", scope=SCOPE, source="retry", trusted_by="check")
    )
    RuleStore(store).set_state(number, "admitted", "fixed a case")
    for at in (1, 2):
        task = finished(now=1_700_000_000.0 + at)
        await engine.examine(task, straight(task, files, recalled=[number]))
    assert RuleStore(store).get(number).state == "retired"
    last = engine.gate.ledger.rows(kinds=("mitigation",))[-1]
    assert (last.before, last.after, last.figures["failed"]) == ("admitted", "retired", 2)
    undone = engine.rollback.change(last.id)
    assert undone.said == (f"rule {number}: retired → admitted",)


async def test_contradictory_feedback_leaves_one_rule_per_word_and_both_on_probation(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    for number in range(6):
        task = finished(reason=None, check=None, now=1_700_000_000.0 + number)
        steps = straight(task, files)
        why = "Write tabs." if number % 2 else "Write spaces."
        report = await engine.take_feedback(
            parse_feedback({"verdict": "reject", "why": why}), task, steps, cause=f"f{number}"
        )
        await flow(engine, list(report.signals), TaskPath.recorded(steps))
    rules = {one.rule: one.state for one in RuleStore(store).all()}
    assert set(rules) == {"In module billing: Write tabs.", "In module billing: Write spaces."}
    assert len(recall_rules(store)) <= 1


def recall_rules(store: MemoryStore) -> list[str]:
    found = recall(store, "In module billing, write g.", MemoryScope("/ws", "billing", "z"))
    return [found.rule] if found else []


async def test_a_solved_task_whose_files_changed_is_not_kept_for_replay(
    engine: LearningEngine, files: dict[str, Promptgram], store: MemoryStore
) -> None:
    for number, action in enumerate(("created", "modified")):
        task = finished(reason=None, now=1_700_000_000.0 + number)
        assert task.result is not None
        changes = [FileChange(path="d.py", action=action)]  # type: ignore[arg-type]
        result = task.result.model_copy(update={"changes": changes})
        task = replace(task, result=result)
        await engine.examine(task, straight(task, files))
    kept = store.connection.execute("SELECT checks FROM tasks").fetchall()
    assert len(kept) == 1
    assert '"remove": ["d.py"]' in kept[0]["checks"]
