"""One whole run: ground, loop, results, picture, report. The commands and the workload call this."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hal9.budgets import BudgetStore, Limit
from hal9.errors.minds import UnknownMind
from hal9.errors.trainer import OptimiserMissing
from hal9.minds.protocol import Mind
from hal9.promptgram import Promptgram
from hal9.ripmap.parameters import Parameters
from hal9.trainer.evaluation.corpus import Corpus, Queries, named_corpus
from hal9.trainer.evaluation.dask_pool import CaseSource, DaskPool, address_of, cases_digest, connect
from hal9.trainer.evaluation.evaluator import TrainingEvaluator
from hal9.trainer.evaluation.preparing import Preparation, PreparationStopped
from hal9.trainer.evaluation.ranking_pool import RankingPool
from hal9.trainer.inner.baseline import BaselineSettings, run_baseline
from hal9.trainer.inner.loop import InnerLoop, InnerResult, InnerSettings, Listener
from hal9.trainer.power import power_of
from hal9.trainer.protocol import shipped_promptgram
from hal9.trainer.record.changes import FIRST_TRIES, NOISE, open_ledger
from hal9.trainer.record.run_log import RunLog, only_writer
from hal9.trainer.record.runs import (
    RUNS,
    EvaluationData,
    RunFolder,
    final_results,
    stopped_results,
    write_results,
    write_trained,
)
from hal9.trainer.reporting.plots import plot_progress
from hal9.trainer.reporting.report import write_report
from hal9.trainer.stopping import RunStop

__all__ = [
    "TrainOptions",
    "agent_spec",
    "as_begun",
    "open_corpus",
    "open_trainer_mind",
    "train_with_mind",
    "train_with_strategy",
]

AGENTS = ("claude", "gemini", "codex")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What a run is asked to do.

    Attributes:
        corpus: curated (the shared corpus), quick (a few cases of each repository), or a repository's path.
        workers: processes of this machine that rank.
        executor: local, or `dask:` with the address of a Dask scheduler whose workers rank instead.
        limits: tokens, usd, seconds and calls the whole run may spend; absent ones are not limited.
        usd_per_call: the most one call of a command-line agent may cost; what a limit of usd reserves for it.
        score_test: whether the test split is scored at the end.
    """

    run_name: str
    root: Path = RUNS
    corpus: str = "curated"
    queries: Queries = "plain"
    space: str = "live"
    workers: int = 1
    executor: str = "local"
    seed: int = 0
    resume: bool = False
    mind: str = ""
    episodes: int = 20
    strategy: str = ""
    budget: int = 0
    limits: Mapping[Literal["tokens", "usd", "seconds", "calls"], float] = field(default_factory=dict)
    usd_per_call: float | None = None
    promptgram: Path | None = None
    score_test: bool = True

    def to_json(self) -> dict[str, Any]:
        """What a resumed run must agree on, for the record's header."""
        values = asdict(self)
        for name in ("root", "resume", "run_name", "usd_per_call"):
            del values[name]
        return {**values, "promptgram": str(self.promptgram or ""), "limits": dict(self.limits)}


def as_begun(options: TrainOptions, given: Collection[str]) -> TrainOptions:
    """The options of a run that is gone on with: as it was begun with, but for those given now.

    Args:
        options: as the command has them, defaults where nothing was given.
        given: names of those that somebody gave.

    Raises:
        ScratchpadInvalid: the run's record is damaged.
    """
    record = RunFolder(options.root, options.run_name).scratchpad
    if not options.resume or not record.is_file():
        return options
    begun = {name: value for name, value in RunLog.load(record).settings.items() if name not in given}
    if "promptgram" in begun:
        begun["promptgram"] = Path(begun["promptgram"]) if begun["promptgram"] else None
    return replace(options, **begun)


def agent_spec(name: str) -> str:
    """A mind's spec from what `--agent` takes: claude, gemini, codex, local, or any spec."""
    return f"agent:{name}" if name in AGENTS else name


def open_corpus(options: TrainOptions, say: Callable[[str], None] = lambda _: None) -> Corpus:
    """The corpus an option names; `say` is told what is read.

    Raises:
        CorpusUnavailable: cases or trees are missing.
        TrainerSettingInvalid: it is neither a known name nor a folder.
    """
    return named_corpus(options.corpus, queries=options.queries, say=say)


def _pool_maker(options: TrainOptions) -> Callable[[TrainingEvaluator], RankingPool] | None:
    """Who ranks the training cases; None for processes of this machine.

    Raises:
        ExecutorInvalid, ExecutorMissing, EvaluationFailed: see `dask_pool`.
    """
    address = address_of(options.executor)
    if address is None:
        return None
    client = connect(address)
    named = options.corpus in ("curated", "quick")
    corpus = options.corpus if named else str(Path(options.corpus).resolve())

    def make(evaluator: TrainingEvaluator) -> RankingPool:
        source = CaseSource(corpus, options.queries, "train", evaluator.mode == "exact")
        return DaskPool(client, source, cases_digest(evaluator.prepared), len(evaluator.prepared))

    return make


def open_ground(options: TrainOptions, stop: RunStop, say: Callable[[str], None]) -> EvaluationData:
    """The corpus, prepared, with somebody told of it.

    Raises:
        CorpusUnavailable, TrainerSettingInvalid: see `open_corpus`.
        ExecutorInvalid, ExecutorMissing, EvaluationFailed: the executor is not there.
        RunStoppedEarly: `stop` ended it while it was prepared.
    """
    make_pool = _pool_maker(options)
    corpus = open_corpus(options, say)
    try:
        ground = EvaluationData(
            corpus,
            options.space,
            options.workers,
            options.seed,
            Preparation(say=say, stop=stop),
            make_pool=make_pool,
        )
    except PreparationStopped as stopped:
        raise RunStoppedEarly(
            stopped_results(corpus, stopped, reason=stop.reason, detail=stop.detail)
        ) from None
    say(ground.told())
    say(power_of(ground.train, ground.space, noise=NOISE, first=FIRST_TRIES, seed=options.seed).told())
    return ground


class RunStoppedEarly(Exception):
    """A run ended before anything could be measured; `results` says so."""

    def __init__(self, results: dict[str, Any]) -> None:
        super().__init__(results["detail"])
        self.results = results


def open_trainer_mind(spec: str, book: BudgetStore | None, *, usd_per_call: float | None = None) -> Mind:
    """The mind with its budget; the heavy import happens here.

    Raises:
        UnknownMind: the spec names nothing that exists; names what would.
    """
    from hal9.minds import AgentSettings, MindSettings, open_mind  # noqa: PLC0415 - brings HTTP clients

    settings = MindSettings(agent=AgentSettings(usd_per_call=usd_per_call))
    try:
        return open_mind(agent_spec(spec), settings=settings, budget=book)
    except UnknownMind as error:
        if ":" in spec:
            raise
        raise UnknownMind(spec=spec, why=error.why, nearest=(*AGENTS, *error.nearest)) from error


def run_limits(options: TrainOptions) -> list[Limit]:
    """The run's limits as the budget book takes them."""
    return [Limit(kind=kind, scope="task", value=value) for kind, value in options.limits.items()]


async def train_with_mind(
    options: TrainOptions,
    *,
    listener: Listener | None = None,
    stop: Callable[[], bool] = lambda: False,
    ground: EvaluationData | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run L1 and write everything the run leaves behind; returns results.json's content.

    Args:
        options: what to do.
        listener: called with each episode.
        stop: asked before every episode and every case that is prepared; True ends the run cleanly.
        ground: measured on; None prepares it.
        say: told, in sentences, how preparing goes, what the run is measured on and what it can find out.

    Raises:
        TrainerError, MindError: with what to do.
    """
    folder, stop = RunFolder(options.root, options.run_name), run_stop(options, stop)
    gram = (
        Promptgram.load(options.promptgram) if options.promptgram else shipped_promptgram("l1-ranker-tuner")
    )
    settings = InnerSettings.for_mind(
        options.mind, episodes=options.episodes, max_evaluations=options.budget, seed=options.seed
    )
    with only_writer(folder.path), BudgetStore(folder.path / "budget.sqlite", run_limits(options)) as book:
        # The mind comes first: one that is missing is told before a corpus has been read.
        async with open_trainer_mind(options.mind, book, usd_per_call=options.usd_per_call) as mind:
            pad = folder.open("inner", options.to_json(), resume=options.resume)
            try:
                measured_on = (
                    ground if ground is not None else await asyncio.to_thread(open_ground, options, stop, say)
                )
            except RunStoppedEarly as early:
                return leave_behind(folder.path, pad, early.results, Parameters())
            try:
                with open_ledger(folder.path, tuner=gram) as ledger:
                    loop = InnerLoop(
                        mind, gram, measured_on.train, measured_on.space, pad, settings,
                        listener=_saving(folder.path, listener), stop=stop, task_id=options.run_name,
                        ledger=ledger,
                    )  # fmt: skip
                    done = await loop.run()
                # In a thread: the splits that judge are prepared only now.
                return await asyncio.to_thread(
                    finish, folder.path, pad, measured_on, done, stop, score_test=options.score_test
                )
            finally:
                if ground is None:
                    measured_on.close()


def _saving(folder: Path, listener: Listener | None) -> Listener:
    """Keep the best parameters on disk as they are found, then tell on."""

    def told(entry: Mapping[str, Any]) -> Awaitable[None] | None:
        if entry["kept"]:
            write_trained(folder, "the best so far; the run is not over", Parameters(entry["params"]))
        return listener(entry) if listener is not None else None

    return told


def run_stop(options: TrainOptions, asked: Callable[[], bool]) -> RunStop:
    """What ends a run before its time: whoever asks for it, and its limit of seconds."""
    if isinstance(asked, RunStop):
        asked.seconds = options.limits.get("seconds", asked.seconds)
        return asked
    return RunStop(asked, options.limits.get("seconds"))


def finish(
    folder: Path, pad: RunLog, ground: EvaluationData, done: InnerResult, stop: RunStop, *, score_test: bool
) -> dict[str, Any]:
    """Results, picture and report of an inner run."""
    stopped = done.reason == "cancelled" and bool(stop.reason)
    facts = {
        "reason": stop.reason if stopped else done.reason,
        "detail": stop.detail if stopped else done.detail,
        "stopped": stopped,
        "evaluations": done.evaluations,
        "episodes": done.episodes,
        "usage": asdict(done.usage),
    }
    results = final_results(ground, done.best, Parameters(), facts=facts, score_test=score_test)
    return leave_behind(folder, pad, results, done.best)


def train_with_strategy(
    options: TrainOptions,
    *,
    listener: Callable[[dict[str, object]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a numerical strategy and write everything the run leaves behind.

    Raises:
        TrainerError: with what to do.
    """
    options = replace(options, budget=options.budget or 100)
    folder, stop = RunFolder(options.root, options.run_name), run_stop(options, stop)
    with only_writer(folder.path):
        pad = folder.open("strategy", options.to_json(), resume=options.resume)
        try:
            ground = open_ground(options, stop, say)
        except RunStoppedEarly as early:
            return leave_behind(folder.path, pad, early.results, Parameters())
        try:
            settings = BaselineSettings(strategy=options.strategy, budget=options.budget, seed=options.seed)
            done = run_baseline(settings, ground.train, ground.space, pad, listener=listener, stop=stop)
            stopped = done.evaluations < options.budget
            facts = {
                "reason": (stop.reason or "cancelled") if stopped else "evaluations",
                "detail": stop.detail if stopped else "",
                "stopped": stopped,
                "evaluations": done.evaluations,
            }
            results = final_results(
                ground, done.best, Parameters(), facts=facts, score_test=options.score_test
            )
            return leave_behind(folder.path, pad, results, done.best)
        finally:
            ground.close()


def leave_behind(folder: Path, pad: RunLog, results: dict[str, Any], best: Parameters) -> dict[str, Any]:
    """Write results, picture, report; without matplotlib the results say why there is no picture."""
    try:
        plot_progress(pad, folder / "progress.png")
    except OptimiserMissing as error:
        results = {**results, "progress": str(error)}
    write_results(folder, results, best)
    write_report(folder, pad, results)
    return results
