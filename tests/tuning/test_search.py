"""The search on a toy world whose right rules are known."""

import fcntl
from pathlib import Path

import pytest

from hal9.errors.budgets import LimitExceeded
from hal9.errors.minds import MindUnreachable
from hal9.errors.tuning import TuningBudgetTooSmall, TuningRunBusy, TuningRunDiffers, TuningStopped
from hal9.minds import ScriptedMind
from hal9.minds.protocol import Request
from hal9.promptgram import Edit
from hal9.tuning import TuneResult, TuneSettings, TuningRoles, run_tuning, tune
from hal9.tuning.attempts import Answer, Attempt
from hal9.tuning.candidates import Candidate, pareto_weights
from hal9.tuning.measurements import AnswerScores, Measurements
from hal9.tuning.noise import Noise
from hal9.tuning.scoring import Scored
from hal9.tuning.tasks import TuningTask
from tests.tuning.toy import BASE, ToyAnswerer, ToyScorer, fluff_in, reflecting_mind, rule, solved, toy_tasks


async def tuned(
    folder: Path,
    *,
    budget: int = 200,
    seed: int = 0,
    fluff: float = 0.0,
    noise: float = 0.0,
    answerer: ToyAnswerer | None = None,
    tasks: list[TuningTask] | None = None,
) -> TuneResult:
    return await run_tuning(
        BASE,
        tasks or toy_tasks(60, seed=seed),
        TuningRoles(
            answerer=answerer or ToyAnswerer(),
            scorer=ToyScorer(noise, seed),
            reflect=reflecting_mind(fluff=fluff, seed=seed),
        ),
        folder,
        settings=TuneSettings(budget=budget, seed=seed),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_all_rules_are_found_within_a_hundred_calls(tmp_path: Path, seed: int) -> None:
    found = await tuned(tmp_path / "run", budget=100, seed=seed)
    assert found.held_out.after == 1.0
    assert found.search.steps[-1].calls <= 100


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_rules_that_add_nothing_do_not_stay(tmp_path: Path, seed: int) -> None:
    found = await tuned(tmp_path / "run", fluff=0.3, seed=seed)
    assert found.held_out.after == 1.0
    assert fluff_in(found.after) == 0


async def test_under_noise_it_gains_and_says_that_answers_vary(tmp_path: Path) -> None:
    found = await tuned(tmp_path / "run", noise=0.2, budget=400)
    assert found.search.noise.noisy
    assert solved(found.after, toy_tasks(60)) > solved(BASE, toy_tasks(60)) + 0.3


async def test_a_base_that_is_right_already_stays(tmp_path: Path) -> None:
    tasks = [TuningTask(input=f"q{n}", expected=[]) for n in range(12)]
    found = await tuned(tmp_path / "run", tasks=tasks)
    assert found.after is BASE and found.search.reason == "everything passes" and found.proposals == 0


async def test_going_on_asks_nothing_twice(tmp_path: Path) -> None:
    class Dies(ToyAnswerer):
        async def answer(self, promptgram, task, *, draw):  # type: ignore[no-untyped-def]
            if self.calls >= 50:
                raise MindUnreachable(mind="toy", detail="gone")
            return await super().answer(promptgram, task, draw=draw)

    first = Dies()
    with pytest.raises(MindUnreachable):
        await tuned(tmp_path / "run", answerer=first)
    second = ToyAnswerer()
    found = await tuned(tmp_path / "run", answerer=second)
    assert not set(first.asked) & set(second.asked)
    alone = await tuned(tmp_path / "alone")
    assert found.after == alone.after and found.task_calls == alone.task_calls


async def test_a_run_goes_on_only_with_what_it_began_with(tmp_path: Path) -> None:
    await tuned(tmp_path / "run", budget=100)
    with pytest.raises(TuningRunDiffers, match="settings"):
        await tuned(tmp_path / "run", budget=101)


async def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TuningRunBusy, match="another process"):
            await tuned(tmp_path / "run")


async def test_a_call_that_was_refused_is_not_counted_as_kept(tmp_path: Path) -> None:
    class Refused(ToyAnswerer):
        async def answer(self, promptgram, task, *, draw):  # type: ignore[no-untyped-def]
            if self.calls >= 7:
                raise LimitExceeded(kind="tokens", scope="task", spent=7, reserved=0, asked=1, limit=7)
            return await super().answer(promptgram, task, draw=draw)

    with pytest.raises(TuningStopped, match=r"\(7 task calls\)"):
        await tuned(tmp_path / "run", answerer=Refused())


async def test_a_budget_that_measures_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuningBudgetTooSmall, match="--budget"):
        await tuned(tmp_path / "run", budget=5)


async def test_the_report_shows_the_rules_and_the_curve(tmp_path: Path) -> None:
    found = await tuned(tmp_path / "run")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "held-out tasks" in text and "+- Always name" in text and "curve.svg" in text
    assert (tmp_path / "run" / "winner.md").read_text() == found.after.dump()
    assert (tmp_path / "run" / "curve.svg").read_text().startswith("<svg")


def test_pareto_weights_share_ties_and_leave_out_the_dominated() -> None:
    def candidate(number: int, *scores: float) -> Candidate:
        evidence = Measurements()
        evidence.add(Attempt(str(i), f"{number}", score, "") for i, score in enumerate(scores))
        return Candidate(number, BASE, evidence=evidence)

    pool = [candidate(0, 1, 0, 0.5), candidate(1, 0, 1, 0.5), candidate(2, 0, 0, 0.25)]
    assert pareto_weights(pool, ["0", "1", "2"]) == [1.5, 1.5, 0.0]


def test_what_is_not_measured_is_taken_to_be_as_under_the_parent() -> None:
    evidence = Measurements()
    evidence.add([Attempt("a", "said", 0.25, "")])
    base = Candidate(0, BASE, evidence=evidence)
    child = Candidate(1, BASE.apply(Edit("Policy", "append", content=rule("amber"))), base)
    assert child.estimate("a") == 0.25 and not child.measured("a")


async def test_answers_are_kept_by_what_the_model_reads(tmp_path: Path) -> None:
    """The version in the front matter counts up with every edit; the model never sees it."""
    answerer = ToyAnswerer()
    await tuned(tmp_path / "run", answerer=answerer)
    assert len(answerer.asked) == len(set(answerer.asked))
    assert isinstance(await answerer.answer(BASE, toy_tasks(1)[0], draw=0), Answer)


async def test_a_rule_that_mends_what_another_rule_spoils_is_not_pruned(tmp_path: Path) -> None:
    """Red tasks pass under the prompt as it is; a rule for blue ones spoils them, and the next one mends that."""
    tasks = [
        TuningTask(id=f"t{n}", input=f"{('red', 'blue')[n % 2]} {n}", expected=str(1 + n % 2))
        for n in range(32)
    ]

    def answer(prompt: str, task: TuningTask) -> str:
        if "For red say 1." in prompt and task.input.startswith("red"):
            return "1"
        return "2" if "Say 2 to everything." in prompt else "1"

    def reply(request: Request) -> dict[str, object]:
        failed = request.messages[-1].content.split("# What went wrong")[1]
        content = "For red say 1." if "Task:\nred" in failed else "Say 2 to everything."
        edit = {"section": "Policy", "edit_type": "append", "target": "", "content": content}
        return {"diagnosis": "d", "edits": [{"failure": 1, "rationale": "r", **edit}]}

    found = await tune(
        "You count.", tasks, mind=answer, reflect=ScriptedMind(reply), budget=200, folder=tmp_path / "run"
    )
    assert found.held_out.after == 1.0
    assert {"For red say 1.", "Say 2 to everything."} <= set(found.after.items("Policy"))


def test_equal_answers_of_two_prompts_share_their_scores() -> None:
    """A judge that said 1 of an answer under one prompt and 0 of it under another tells nothing of the prompts."""
    shared = AnswerScores()
    one, other = Measurements(shared), Measurements(shared)
    one.add([Attempt("a", "same", 1.0, ""), Attempt("b", "mine", 1.0, "")])
    other.add([Attempt("a", "same", 0.0, ""), Attempt("b", "theirs", 0.0, "")])
    paired = Candidate(0, BASE, evidence=one).against(Candidate(1, BASE, evidence=other), ["a", "b"])
    assert paired.differences == {"a": 0.0, "b": 1.0}
    noise = Noise.of(shared, [one, other])
    assert noise.variance == 0.5
    assert noise.error_of_gain(one, other, ["a"]) == 0.0 < noise.error_of_gain(one, other, ["b"])


async def test_noise_that_shows_late_is_still_learnt(tmp_path: Path) -> None:
    """Of three probes all may agree by luck; what is repeated afterwards tells."""

    class Late(ToyScorer):
        judged = 0

        async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
            self.judged += 1
            found = await super().score(task, answer, draw=draw)
            turned = self.judged > 70 and self.judged % 3 == 0
            return Scored(1.0 - found.score, found.feedback) if turned else found

    found = await run_tuning(
        BASE,
        toy_tasks(60),
        TuningRoles(answerer=ToyAnswerer(), scorer=Late(), reflect=reflecting_mind(fluff=0.5)),
        tmp_path / "run",
        settings=TuneSettings(budget=400),
    )
    assert found.search.noise.noisy


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_under_noise_rules_that_change_no_answer_do_not_stay(tmp_path: Path, seed: int) -> None:
    found = await tuned(tmp_path / "run", fluff=0.3, noise=0.3, budget=200, seed=seed)
    assert found.search.noise.noisy
    assert fluff_in(found.after) == 0
    assert solved(found.after, toy_tasks(60, seed=seed)) > 0.6
