"""Trying things out on copies of workspaces: an answer against a task's check, a task on the real mind."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hal9.clock import Clock
from hal9.cluster.home import Home
from hal9.cluster.thinking import MindPool
from hal9.errors import TurnFailed, WorkbenchError
from hal9.journal import Journal
from hal9.learning import PromptBook, ReplayCase
from hal9.memory import Mitigation, Recall
from hal9.neurons import FixedRouter, House, NeuronDefinition, NoMap
from hal9.neurons.implementing import implement
from hal9.neurons.prompting import infer_targets
from hal9.neurons.turn import Turn
from hal9.promptgram import Promptgram
from hal9.settings import Settings
from hal9.signals import Grant, Scope, Signal, TaskPayload, new_id
from hal9.workbench import FileEdit, Workbench

__all__ = ["Rehearsal"]

_MOST_BYTES = 64 * 1024 * 1024
_LEFT_OUT = (".git", ".hal9", ".venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache")


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A directory of no neurons: a rehearsal hands nothing on."""

    def candidates(self, names: Sequence[str], *, exclude: str) -> dict[str, int]:
        return {}


@dataclass(frozen=True, slots=True)
class _Given:
    """Recalls what it was given."""

    recalled: Recall | None

    async def recall(self, objective: str, *, scope: Scope, neuron: str, layer: int) -> Recall | None:
        return self.recalled


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Runs checks and implementers on throw-away copies; the user's workspaces are only read."""

    home: Home
    settings: Callable[[], Settings]
    definitions: Mapping[str, NeuronDefinition]
    prompts: PromptBook
    minds: MindPool
    journal: Journal
    clock: Clock

    async def verify(self, payload: TaskPayload, expected: str) -> bool | None:
        """Whether an answer passes the task's check; None without check, workspace or single target."""
        targets = infer_targets(payload)
        if not payload.check or payload.workspace is None or len(targets) != 1:
            return None
        async with self._scratch(Path(payload.workspace), ()) as scratch:
            if scratch is None:
                return None
            try:
                bench = Workbench(
                    root=scratch, layer="L2", settings=self.settings().workbench, hidden=(self.home.state,)
                )
                await asyncio.to_thread(bench.apply, [FileEdit(path=targets[0], content=expected)])
                return (await bench.check(payload.check)).passed
            except WorkbenchError:
                return None

    async def rehearse(self, case: ReplayCase, mitigation: Mitigation | None) -> bool | None:
        """Whether the first implementer passes the task in one attempt, with or without a mitigation."""
        neuron = next((one for one in self.definitions.values() if one.meta.layer == 2), None)
        if neuron is None:
            return None
        return await self.perform(case, neuron.name, self.prompts.current(neuron.name), mitigation=mitigation)

    async def perform(
        self, case: ReplayCase, neuron: str, promptgram: Promptgram, *, mitigation: Mitigation | None = None
    ) -> bool | None:
        """Whether a neuron passes the task in one attempt with this promptgram; None when it cannot be tried.

        Budgets hold as for any task; a call that they forbid means "cannot be tried".
        """
        payload = case.payload
        if not payload.check or payload.workspace is None:
            return None
        async with self._scratch(Path(payload.workspace), case.remove) as scratch:
            if scratch is None:
                return None
            task = payload.model_copy(update={"workspace": str(scratch), "grant": Grant()})
            turn = self._turn(
                neuron, promptgram, task, None if mitigation is None else _as_recall(mitigation)
            )
            try:
                result = await implement(turn)
            except TurnFailed:
                return None
        return result.check.passed if result.check is not None else False

    def _turn(self, neuron: str, promptgram: Promptgram, task: TaskPayload, recalled: Recall | None) -> Turn:
        definition = self.definitions[neuron]
        settings = self.settings()
        implementer = settings.neurons.implementer.model_copy(update={"attempts": 1})
        once = settings.model_copy(
            update={"neurons": settings.neurons.model_copy(update={"implementer": implementer})}
        )
        now = self.clock.now()
        house = House(
            settings=lambda: once,
            thinker=self.minds,
            router=FixedRouter(),
            recaller=_Given(recalled),
            cartographer=NoMap(),
            prompts=self.prompts,
            clock=self.clock,
            directory=_Nobody(),
            journal=self.journal,
            hidden=(self.home.state,),
        )
        signal = Signal.create(
            task, task_id=f"rehearsal-{new_id(now=now)}", source="learning", target=neuron, now=now
        )
        return Turn(
            house=house,
            definition=definition,
            meta=definition.meta,
            signal=signal,
            task=task,
            promptgram=promptgram,
            progress=lambda _event, _detail: None,
        )

    @asynccontextmanager
    async def _scratch(self, workspace: Path, remove: Sequence[str]) -> AsyncIterator[Path | None]:
        """A copy of a workspace without the named files; None when it is gone or too large to copy."""
        with tempfile.TemporaryDirectory(prefix="hal9-rehearsal-") as folder:
            copy = Path(folder) / "workspace"
            yield copy if await asyncio.to_thread(_copy, workspace, copy, remove) else None


def _copy(workspace: Path, copy: Path, remove: Sequence[str]) -> bool:
    if not workspace.is_dir():
        return False
    total = 0
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        for name in files:
            total += (Path(folder) / name).lstat().st_size
            if total > _MOST_BYTES:
                return False
    shutil.copytree(workspace, copy, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for name in remove:
        target = (copy / name).resolve()
        if target.is_relative_to(copy.resolve()):
            target.unlink(missing_ok=True)
    return True


def _as_recall(mitigation: Mitigation) -> Recall:
    return Recall(
        rule=mitigation.rule,
        example=mitigation.example,
        mitigation_id=mitigation.id,
        pattern_id=mitigation.pattern_id,
        scope=mitigation.scope,
        source=mitigation.source,
        score=0.0,
        similarity=None,
        lower_bound=0.0,
        why="on trial",
    )
