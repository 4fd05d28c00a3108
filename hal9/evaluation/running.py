"""Run a suite: each combination in a home of its own, so that nothing is learned and none meets another."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hal9.cluster import Cluster, Daemon, Home, connect
from hal9.cluster.addressee import check_addressee
from hal9.errors.cluster import HomeNotOnFiles
from hal9.evaluation.suite import Learning, Suite, SuiteTask
from hal9.journal.tasks import TaskRow
from hal9.signals import TaskScope
from hal9.tuning.scoring import compare

__all__ = ["Attempt", "Cell", "evaluate"]

_GRACE_SECONDS = 30.0

_EVIDENCE_CHARS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One task run once."""

    task: str
    repeat: int
    passed: bool
    why: str
    seconds: float
    tokens: int
    usd: float


@dataclass(slots=True, kw_only=True)
class Cell:
    """One combination, and how its tasks ended."""

    model: str
    neuron: str
    learning: Learning
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def name(self) -> str:
        """It in a few words."""
        return f"{self.model} · {self.neuron or 'all neurons'} · {self.learning} learning"

    @property
    def passed(self) -> int:
        """How many attempts were right."""
        return sum(one.passed for one in self.attempts)


async def evaluate(suite: Suite, home: Home, *, told: Callable[[Cell, Attempt], None]) -> list[Cell]:
    """Run every combination, one after the other.

    Args:
        suite: what to run.
        home: whose settings, neurons and memory are used; nothing of it but the accounts is changed.
        told: hears of each attempt as it ends.

    Raises:
        HomeNotOnFiles: its state is on PostgreSQL.
        TaskInvalid: a neuron of the suite does not exist.
        Hal9Error: a cluster cannot be started.
    """
    for neuron in suite.neurons:
        if neuron is not None:
            check_addressee(home, neuron)
    cells = [
        Cell(model=model, neuron=neuron or "", learning=learning)
        for model in suite.models
        for neuron in suite.neurons
        for learning in suite.learning
    ]
    for cell in cells:
        with tempfile.TemporaryDirectory(prefix="hal9-eval-") as folder:
            copy = await asyncio.to_thread(_copied, home, Path(folder) / "home", cell)
            async with Daemon(copy), connect(copy.root) as cluster:
                await _run_cell(suite, cell, cluster, Path(folder), told)
    return cells


def _copied(home: Home, target: Path, cell: Cell) -> Home:
    """A home like the given one, with the cell's model and learning, and the same accounts."""
    accounts, memory = home.budgets, home.memory
    if not isinstance(accounts, Path) or not isinstance(memory, Path):
        raise HomeNotOnFiles(what="hal9 eval")
    target.mkdir()
    copy = Home(target)
    shutil.copytree(home.neurons, copy.neurons)
    if home.packs.is_dir():
        shutil.copytree(home.packs, copy.packs)
    copy.settings_file.parent.mkdir()
    values: dict[str, Any] = yaml.safe_load(home.settings_file.read_text(encoding="utf-8")) or {}
    if cell.model != "default":
        values["minds"] = {**(values.get("minds") or {}), "default": cell.model}
    values["backward_propagation"] = {**(values.get("backward_propagation") or {}), "enabled": False}
    values["api"] = {"enabled": False}
    values["broker"] = {}
    copy.settings_file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    copy.make_state()
    home.make_state()
    # Limits of money hold for evaluations too: what is spent is booked where everything is.
    (copy.state / accounts.name).symlink_to(accounts.absolute())
    if cell.learning == "with" and memory.exists():
        with (
            closing(sqlite3.connect(f"{memory.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy.state / memory.name)) as out,
        ):
            source.backup(out)
    return copy


async def _run_cell(
    suite: Suite, cell: Cell, cluster: Cluster, folder: Path, told: Callable[[Cell, Attempt], None]
) -> None:
    places = asyncio.Semaphore(suite.concurrency)

    async def one(task: SuiteTask, repeat: int) -> None:
        async with places:
            attempt = await _attempt(suite, cell, task, repeat, cluster=cluster, folder=folder)
        cell.attempts.append(attempt)
        told(cell, attempt)

    async with asyncio.TaskGroup() as group:
        for repeat in range(suite.repeats):
            for task in suite.tasks:
                group.create_task(one(task, repeat), name=f"evaluate {task.name}")
    order = {task.name: number for number, task in enumerate(suite.tasks)}
    cell.attempts.sort(key=lambda found: (order[found.task], found.repeat))


async def _attempt(
    suite: Suite, cell: Cell, task: SuiteTask, repeat: int, *, cluster: Cluster, folder: Path
) -> Attempt:
    workspace = None
    if task.workspace is not None:
        workspace = folder / f"work-{task.name}-{repeat}".replace("/", "_") / task.workspace.name
        await asyncio.to_thread(shutil.copytree, task.workspace, workspace, symlinks=True)
    task_id = await cluster.submit(
        task.input,
        workspace=workspace,
        check=task.check,
        files=task.files,
        targets=task.targets,
        to=cell.neuron or None,
        # What was learned in the original holds in its copy.
        scope=TaskScope(workspace=str(task.workspace or "")),
        budget_tokens=suite.budget_tokens,
        timeout_seconds=suite.timeout_seconds,
    )
    # The cluster ends it at its deadline; waiting a little longer hears of it.
    row = await cluster.wait(task_id, timeout_seconds=suite.timeout_seconds + _GRACE_SECONDS)
    passed, why = _judged(task, row)
    tally = row.result.tally if row.result else None
    return Attempt(
        task=task.name,
        repeat=repeat,
        passed=passed,
        why=why,
        seconds=round((row.finished_at or 0.0) - (row.started_at or row.created_at), 3),
        tokens=tally.prompt_tokens + tally.completion_tokens if tally else 0,
        usd=tally.usd if tally else 0.0,
    )


def _judged(task: SuiteTask, row: TaskRow) -> tuple[bool, str]:
    result = row.result
    if result is None or not result.ok:
        error = result.error if result else None
        if error is None:
            return False, row.state
        evidence = error.evidence.strip()[-_EVIDENCE_CHARS:]
        return False, f"{error.reason}: {error.message}" + (f"\n{evidence}" if evidence else "")
    if task.wanted is not None:
        scored = compare(task.wanted, result.answer)
        return scored.score >= 1.0, scored.feedback
    return True, "the check passed"
