"""What every turn with tools is put together from, whether it acts or only looks."""

from collections.abc import Iterable
from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.journal import tasks
from hal9.minds.protocol import Message, Reply, Request, ToolSpec
from hal9.neurons.gating import context_of, gate_of, person_of
from hal9.neurons.rule_files import FolderRules
from hal9.neurons.turn import Turn, paid_for
from hal9.signals import StepRecord
from hal9.signals.tracing import CURRENT_TRACEPARENT, trace_id_of, traceparent_of
from hal9.tools.conversation import Conversation
from hal9.tools.interfaces import FinishCall
from hal9.tools.loop import LoopLimits, ToolLoop
from hal9.tools.observation import OutputStore
from hal9.tools.schema import Tool
from hal9.tools.toolbox import allowed_tools
from hal9.tools.turn_log import TurnLog
from hal9.tools.workspace_tools import WorkspaceTools
from hal9.workbench import Workbench

__all__ = ["TurnLoop", "open_turn_log"]

# The result must be on its way before the deadline's watch ends the task without it.
_MARGIN_SECONDS = 5.0


async def open_turn_log(turn: Turn) -> TurnLog:
    """The turn's log, with the steps that an earlier process recorded."""
    services = turn.services
    journal = services.journal if services.snapshots is not None else None
    log = TurnLog(journal, turn.signal.id, turn.signal.task_id, services.clock)
    await log.open()
    if journal is not None and log.entries:
        known = await journal.read(lambda connection: tasks.steps_of(connection, turn.signal.task_id))
        turn.steps.extend(step for step in known if step.signal_id == turn.signal.id)
    return log


class TurnLoop:
    """The parts of one turn's tool loop.

    Args:
        turn: whose.
        bench: the copy of its workspace.
        log: what was said and done so far.
        kind: how its thoughts stand in the trace.
    """

    def __init__(self, turn: Turn, bench: Workbench, log: TurnLog, *, kind: str = "think") -> None:
        self.turn = turn
        self.bench = bench
        self.log = log
        self.kind = kind
        self.settings = turn.settings.tools
        self.outputs = OutputStore()

    async def assemble(
        self,
        opening: tuple[Message, ...],
        *,
        control: Iterable[Tool],
        finish: FinishCall,
        steps: int,
    ) -> ToolLoop:
        """The loop, ready to run.

        Args:
            opening: system message and task.
            control: tools that end it, or ask a person.
            finish: takes an answer.
            steps: most replies.
        """
        turn, services = self.turn, self.turn.services
        trace = trace_id_of(turn.signal.task_id, turn.signal.traceparent)
        CURRENT_TRACEPARENT.set(traceparent_of(trace, turn.signal.id))
        window = services.models.window(turn.meta.model)
        files = WorkspaceTools(
            copy=self.bench.snapshot,
            mapper=self._map,
            outputs=self.outputs,
            ripgrep=await self._has_ripgrep(),
            seconds_left=self.seconds_left,
        )
        elsewhere = (
            *services.tools.for_neuron(turn.definition.name),
            *turn.definition.own_tools(self.bench.snapshot.root),
        )
        return ToolLoop(
            log=self.log,
            think=self._think,
            conversation=Conversation(opening=opening, window_tokens=window - self._reply_tokens()),
            tools=allowed_tools(
                [*files.tools(), *elsewhere, *control],
                permissions=self.bench.permissions,
                listed=turn.meta.tools,
            ),
            gate=FolderRules(gate_of(turn), turn, self.bench),
            person=person_of(turn),
            finish=finish,
            step=self._step,
            context=context_of(turn),
            limits=LoopLimits(
                steps=steps,
                tokens=self.settings.tokens,
                usd=self.settings.usd,
                observation_chars=min(self.settings.observation_chars, window),
            ),
            outputs=self.outputs,
            clock=services.clock,
            snapshot=self.bench.snapshot,
            seconds_left=self.seconds_left,
        )

    def noted_opening(self) -> tuple[Message, ...] | None:
        """The messages that an earlier process began with: a turn that is taken up says the same."""
        noted = self.log.notes("opening")
        return tuple(Message(**body) for body in noted[-1].body["messages"]) if noted else None

    async def note_opening(self, opening: tuple[Message, ...]) -> tuple[Message, ...]:
        """Keep the messages that the turn begins with."""
        bodies = [{"role": message.role, "content": message.content} for message in opening]
        await self.log.add_note("opening", messages=bodies)
        return opening

    def seconds_left(self) -> float | None:
        """Until the turn has to come to an end; None without a deadline."""
        left = self.turn.seconds_left
        return None if left is None else left - _MARGIN_SECONDS

    async def _think(
        self,
        messages: tuple[Message, ...],
        tools: tuple[ToolSpec, ...],
        *,
        position: int,
        must_call: bool = False,
    ) -> Reply:
        turn = self.turn
        request = Request(
            messages=messages,
            tools=tools,
            tool_choice="required" if must_call else "auto",
            temperature=turn.meta.temperature,
            max_tokens=self._reply_tokens(),
            timeout_seconds=turn.patience(),
        )
        started = turn.services.clock.now()
        try:
            reply = await turn.call(request, call_id=f"step-{position}")
        except TurnFailed as error:
            failed = turn.record(
                self.kind, started, tally=paid_for(error), outcome="failed", evidence=error.detail
            )
            self.log.waiting_steps.append(failed)
            raise
        if must_call:
            await self._called(reply, started)
        return reply

    async def _called(self, reply: Reply, started: float) -> None:
        """The mind called a tool where it had to; who has another way to go on may raise `TurnFailed`."""

    def _reply_tokens(self) -> int:
        window = self.turn.services.models.window(self.turn.meta.model)
        return min(self.settings.reply_tokens, max(window // 4, 256))

    def _step(self, kind: str, started: float, **details: object) -> StepRecord:
        return self.turn.record(self.kind if kind == "think" else kind, started, **details)

    async def _map(self, root: Path, question: str, tokens: int) -> str:
        return await self.turn.services.mapper.map(root, question, tokens=tokens)

    async def _has_ripgrep(self) -> bool:
        try:
            done = await self.bench.snapshot.run(["rg", "--version"], timeout_seconds=10)
        except WorkbenchError:
            return False
        return done.ok
