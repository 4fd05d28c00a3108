"""One whole tuning run: tasks split, searched, judged on held-out tasks, reported; goes on after a kill."""

import fcntl
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hal9.errors.base import LimitError
from hal9.errors.tuning import TuningRunBusy, TuningStopped
from hal9.minds.protocol import Message, Mind, Usage
from hal9.neurons.messages.prompting import compose_implementation
from hal9.promptgram import Promptgram
from hal9.settings import WorkbenchSettings
from hal9.signals import TaskPayload
from hal9.tuning.attempts import Answer, Answerer, Attempts, MindAnswerer, RunStore
from hal9.tuning.engine import Search
from hal9.tuning.judging import HeldOut, RoutedHeldOut, judge_held_out, judge_specialists
from hal9.tuning.proposing import MindProposer
from hal9.tuning.record import StoryKeeper
from hal9.tuning.report import write_report
from hal9.tuning.scoring import AnswerScorer, Scored, Scorer
from hal9.tuning.story import Listener, SearchResult, TuneSettings
from hal9.tuning.tasks import TaskSplit, TuningTask, checked, split_tasks

__all__ = [
    "FunctionAnswerer",
    "FunctionScorer",
    "TuneResult",
    "TuningRoles",
    "compose_task",
    "run_tuning",
    "tune",
]

_NOT_OF_A_COMMAND = ("greedy", "repeatable", "specialists")
"""Settings of searches that other rooms run; runs from before they were there go on."""

AnswerFunction = Callable[[str, TuningTask], str | Awaitable[str]]
ScoreFunction = Callable[
    [TuningTask, str], "float | tuple[float, str] | Awaitable[float | tuple[float, str]]"
]


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a run found.

    Attributes:
        before, after: the prompt as it was, and the winner (equal when nothing better was found).
        held_out: the verdict on tasks that proposed and chose nothing.
        search: the whole search.
        task_calls, proposals: how often the mind did tasks, and how often the reflecting mind was asked.
        usage: tokens, money and seconds of both.
        folder: where the report and the record are.
        routed: the verdict on specialists, where tasks conflict so much that there are some.
    """

    before: Promptgram
    after: Promptgram
    held_out: HeldOut
    search: SearchResult
    task_calls: int
    proposals: int
    usage: Usage
    folder: Path
    routed: RoutedHeldOut | None = None


@dataclass(slots=True)
class FunctionAnswerer:
    """A function of (rendered prompt, task) as the one who does tasks."""

    function: AnswerFunction

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        made = self.function(promptgram.render(), task)
        return Answer(await made if inspect.isawaitable(made) else made)


@dataclass(slots=True)
class FunctionScorer:
    """A function of (task, answer) as the judge; it returns a score, or a score and feedback."""

    function: ScoreFunction

    async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
        made = self.function(task, answer)
        value = await made if inspect.isawaitable(made) else made
        score, feedback = value if isinstance(value, tuple) else (value, "right" if value >= 1 else "wrong")
        return Scored(float(score), str(feedback))


def compose_task(promptgram: Promptgram, task: TuningTask) -> tuple[Message, ...]:
    """What the neuron reads: exactly what an implementing neuron with this prompt would."""
    return compose_implementation(
        promptgram,
        TaskPayload(
            objective=task.input,
            check=task.check,
            targets=list(task.targets),
            workspace=None if task.workspace is None else str(task.workspace),
        ),
        output="fenced",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRoles:
    """Who does what in a run.

    Attributes:
        answerer: does tasks.
        scorer: judges answers.
        reflect: the mind that reads failures and proposes edits.
        task_id: what reflection is charged to.
    """

    answerer: Answerer
    scorer: Scorer
    reflect: Mind
    task_id: str = "tune"


async def run_tuning(
    promptgram: Promptgram,
    tasks: Sequence[TuningTask],
    roles: TuningRoles,
    folder: Path,
    *,
    settings: TuneSettings | None = None,
    listener: Listener | None = None,
) -> TuneResult:
    """Run, or go on with, one tuning run; what was asked before is read from the folder, not asked again.

    Args:
        promptgram: where it begins.
        tasks: at least six.
        roles: who does tasks, judges answers and proposes edits.
        folder: the run's own; made when it is not there.
        settings: budget and seed.
        listener: told of every step.

    Raises:
        TuningError: too few tasks, too small a budget, another run; before anything is asked.
        MindError, WorkbenchError: what was bought so far is kept; run again to go on.
    """
    settings = settings or TuneSettings()
    split = split_tasks(checked(tasks), seed=settings.seed)
    facts = _facts(promptgram, tasks, roles, settings)
    with _only_writer(folder), RunStore(folder / "run.sqlite", facts) as store:
        attempts = Attempts(roles.answerer, roles.scorer, store, concurrency=settings.concurrency)
        proposer = MindProposer(roles.reflect, store, task_id=roles.task_id, seed=settings.seed)
        keeper = StoryKeeper(store, listener)
        keeper.begin(_about(promptgram, split, roles, settings))
        search = Search(attempts, proposer, settings, keeper)
        last, seed, routed = split.held_out, settings.seed, None
        try:
            found = await search.run(promptgram, split)
            after = found.winner.promptgram
            held_out = await judge_held_out(attempts, promptgram, after, last, noise=found.noise, seed=seed)
            if found.specialists is not None:
                routed = await judge_specialists(attempts, found.specialists, after, last, seed=seed)
        except LimitError as stopped:
            # Before the first measurement, or with nothing left for the verdict: there is nothing to report.
            raise TuningStopped(run=folder.name, kept=attempts.calls, why=str(stopped)) from stopped
        keeper.end(found, held_out, routed)
        result = TuneResult(
            before=promptgram,
            after=after,
            held_out=held_out,
            search=found,
            task_calls=attempts.calls,
            proposals=proposer.calls,
            usage=attempts.usage + proposer.usage,
            folder=folder,
            routed=routed,
        )
    _leave_behind(result, promptgram.id)
    return result


def _facts(
    promptgram: Promptgram, tasks: Sequence[TuningTask], roles: TuningRoles, settings: TuneSettings
) -> dict[str, Any]:
    """What must be the same when a run goes on."""
    chosen = {name: value for name, value in asdict(settings).items() if name not in _NOT_OF_A_COMMAND}
    return {
        "prompt": promptgram.content_hash,
        "tasks": hashlib.sha256(repr([task.model_dump(mode="json") for task in tasks]).encode()).hexdigest(),
        "settings": chosen | {"concurrency": 0},
        "reflecting mind": roles.reflect.name,
    }


def _about(
    promptgram: Promptgram, split: TaskSplit, roles: TuningRoles, settings: TuneSettings
) -> dict[str, Any]:
    """What a page says a run is about."""
    return {
        "neuron": promptgram.id,
        "version": promptgram.version,
        "proposing": len(split.train),
        "choosing": len(split.selection),
        "held_out": len(split.held_out),
        "budget": settings.budget,
        "seed": settings.seed,
        "reflecting": roles.reflect.name,
    }


def _leave_behind(result: TuneResult, name: str) -> None:
    """winner.md, a file for each specialist, and the report."""
    folder, found = result.folder, result.search
    (folder / "winner.md").write_text(found.winner.promptgram.dump(), encoding="utf-8")
    outcome = "The winner is in winner.md." if found.winner is not found.base else "Nothing better was found."
    if result.routed is not None and found.specialists is not None:
        told = result.routed.told()
        outcome += f" {told[0].upper()}{told[1:]}."
        for number, one in enumerate(found.specialists.candidates):
            (folder / f"specialist-{number}.md").write_text(one.promptgram.dump(), encoding="utf-8")
    write_report(folder, found, result.held_out, name=name, outcome=outcome)


async def tune(
    prompt: Promptgram | str | Path,
    tasks: Sequence[TuningTask],
    *,
    mind: Mind | str | AnswerFunction,
    reflect: Mind | str,
    score: ScoreFunction | None = None,
    budget: int = 200,
    seed: int = 0,
    folder: Path | str = "tuning",
) -> TuneResult:
    """Tune a prompt from Python, in one call.

    Args:
        prompt: a promptgram, the path of one, or plain text, which becomes the Role.
        tasks: what it should be good at.
        mind: who does tasks: a mind, its spec, or a function of (rendered prompt, task).
        reflect: the mind that proposes edits, or its spec.
        score: a function of (task, answer); without it tasks say how they are judged.
        budget: task calls of the search.
        seed: fixes every random choice.
        folder: where the record and the report go; the same folder goes on with the same run.

    Raises:
        TuningError, MindError, PromptgramError: see `run_tuning`.
    """
    from contextlib import AsyncExitStack  # noqa: PLC0415

    from hal9.minds import open_mind  # noqa: PLC0415 - brings HTTP clients

    async with AsyncExitStack() as stack:
        reflecting = await stack.enter_async_context(
            open_mind(reflect) if isinstance(reflect, str) else reflect
        )
        answerer: Answerer
        if isinstance(mind, str):
            answerer = MindAnswerer(await stack.enter_async_context(open_mind(mind)), compose_task, seed=seed)
        elif callable(mind):
            answerer = FunctionAnswerer(mind)
        else:
            answerer = MindAnswerer(await stack.enter_async_context(mind), compose_task, seed=seed)
        scorer: Scorer = FunctionScorer(score) if score else AnswerScorer(WorkbenchSettings(), reflecting)
        return await run_tuning(
            _promptgram(prompt),
            tasks,
            TuningRoles(answerer=answerer, scorer=scorer, reflect=reflecting),
            Path(folder),
            settings=TuneSettings(budget=budget, seed=seed),
        )


def _promptgram(prompt: Promptgram | str | Path) -> Promptgram:
    if isinstance(prompt, Promptgram):
        return prompt
    if isinstance(prompt, Path) or (prompt.endswith(".md") and "\n" not in prompt):
        return Promptgram.load(Path(prompt))
    return Promptgram(id="prompt", role=prompt.strip())


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Two processes on one run would buy everything twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TuningRunBusy(run=folder.name) from None
        yield
