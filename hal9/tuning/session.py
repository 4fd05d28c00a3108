"""One whole tuning run: tasks split, searched, judged on held-out tasks, reported; goes on after a kill."""

import fcntl
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hal9.errors.tuning import TuningRunDiffers
from hal9.limits import BudgetStore, Limit
from hal9.minds.protocol import Message, Mind, Usage
from hal9.neurons.prompting import compose_implementation
from hal9.promptgram import Promptgram
from hal9.settings import WorkbenchSettings
from hal9.signals import TaskPayload
from hal9.tuning.attempts import Answer, Answerer, Attempts, MindAnswerer, RunStore
from hal9.tuning.engine import Listener, Search, SearchResult, TuneSettings
from hal9.tuning.judging import HeldOut, judge_held_out
from hal9.tuning.proposing import MindProposer
from hal9.tuning.report import write_report
from hal9.tuning.scoring import AnswerScorer, Scored, Scorer
from hal9.tuning.tasks import TuningTask, checked, split_tasks

__all__ = ["FunctionAnswerer", "FunctionScorer", "TuneResult", "compose_task", "run_tuning", "tune"]

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
    """

    before: Promptgram
    after: Promptgram
    held_out: HeldOut
    search: SearchResult
    task_calls: int
    proposals: int
    usage: Usage
    folder: Path


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
    return compose_implementation(promptgram, TaskPayload(objective=task.input), output="fenced")


async def run_tuning(
    promptgram: Promptgram,
    tasks: Sequence[TuningTask],
    *,
    answerer: Answerer,
    scorer: Scorer,
    reflect: Mind,
    folder: Path,
    settings: TuneSettings | None = None,
    listener: Listener | None = None,
    concurrency: int = 4,
) -> TuneResult:
    """Run, or go on with, one tuning run; what was asked before is read from the folder, not asked again.

    Args:
        promptgram: where it begins.
        tasks: at least six.
        answerer: does tasks; scorer: judges answers; reflect: proposes edits.
        folder: the run's own; made when it is not there.
        settings: budget and seed.
        listener: told of every step.
        concurrency: task calls at once.

    Raises:
        TuningTooFewTasks, TuningBudgetTooSmall, TuningTaskInvalid, TuningRunDiffers: before anything is asked.
        MindError, WorkbenchError: what was bought so far is kept; run again to go on.
    """
    settings = settings or TuneSettings()
    split = split_tasks(checked(tasks), seed=settings.seed)
    facts = {
        "prompt": promptgram.content_hash,
        "tasks": hashlib.sha256(repr([task.model_dump(mode="json") for task in tasks]).encode()).hexdigest(),
        "settings": asdict(settings),
        "reflecting mind": reflect.name,
    }
    with _only_writer(folder), RunStore(folder / "run.sqlite", facts) as store:
        attempts = Attempts(answerer, scorer, store, concurrency=concurrency)
        proposer = MindProposer(reflect, store, seed=settings.seed)
        search = Search(attempts, proposer, settings, listener)
        found = await search.run(promptgram, split)
        held_out = await judge_held_out(
            attempts,
            promptgram,
            found.winner.promptgram,
            split.held_out,
            noise=found.noise,
            seed=settings.seed,
        )
        result = TuneResult(
            before=promptgram,
            after=found.winner.promptgram,
            held_out=held_out,
            search=found,
            task_calls=attempts.calls,
            proposals=proposer.calls,
            usage=attempts.usage + proposer.usage,
            folder=folder,
        )
    (folder / "winner.md").write_text(found.winner.promptgram.dump(), encoding="utf-8")
    outcome = "The winner is in winner.md." if found.winner is not found.base else "Nothing better was found."
    write_report(folder, found, held_out, name=promptgram.id, outcome=outcome)
    return result


async def tune(
    prompt: Promptgram | str | Path,
    tasks: Sequence[TuningTask],
    *,
    reflect: Mind | str,
    mind: Mind | str | None = None,
    answer: AnswerFunction | None = None,
    score: ScoreFunction | None = None,
    budget: int = 200,
    seed: int = 0,
    folder: Path | str = "tuning",
    listener: Listener | None = None,
) -> TuneResult:
    """Tune a prompt from Python: `await tune("You answer questions.", tasks, mind="local", reflect="local")`.

    Args:
        prompt: a promptgram, the path of one, or plain text, which becomes the Role.
        tasks: what it should be good at.
        reflect: the mind that proposes edits, or its spec.
        mind: the mind that does tasks, or its spec; or give `answer`, a function of (prompt, task).
        score: a function of (task, answer); without it tasks say how they are judged.
        budget: task calls of the search.
        seed: fixes every random choice.
        folder: where the record and the report go.
        listener: told of every step.

    Raises:
        ValueError: neither or both of `mind` and `answer` are given.
        TuningError, MindError, PromptgramError: see `run_tuning`.
    """
    from contextlib import AsyncExitStack  # noqa: PLC0415

    from hal9.minds import open_mind  # noqa: PLC0415 - brings HTTP clients

    if (mind is None) == (answer is None):
        raise ValueError("give either `mind`, who does the tasks, or `answer`, a function that does them")
    base = _promptgram(prompt)
    async with AsyncExitStack() as stack:
        reflecting = open_mind(reflect) if isinstance(reflect, str) else reflect
        reflecting = await stack.enter_async_context(reflecting)
        answerer: Answerer
        if answer is not None:
            answerer = FunctionAnswerer(answer)
        else:
            doing = open_mind(mind) if isinstance(mind, str) else mind
            assert doing is not None  # noqa: S101 - checked above
            answerer = MindAnswerer(await stack.enter_async_context(doing), compose_task, seed=seed)
        scorer: Scorer = FunctionScorer(score) if score else AnswerScorer(WorkbenchSettings(), reflecting)
        return await run_tuning(
            base,
            tasks,
            answerer=answerer,
            scorer=scorer,
            reflect=reflecting,
            folder=Path(folder),
            settings=TuneSettings(budget=budget, seed=seed),
            listener=listener,
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
            raise TuningRunDiffers(run=folder.name, what="process, which is still running") from None
        yield


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of a whole run beside its task calls; None is none."""

    tokens: float | None = None
    usd: float | None = None
    seconds: float | None = None
    given: tuple[str, ...] = field(default=("tokens", "usd", "seconds"))

    def book(self, path: Path) -> BudgetStore:
        """The run's own accounts."""
        limits = [
            Limit(kind=kind, scope="task", value=value)  # type: ignore[arg-type] # names are the kinds
            for kind in self.given
            if (value := getattr(self, kind)) is not None
        ]
        return BudgetStore(path, limits)
