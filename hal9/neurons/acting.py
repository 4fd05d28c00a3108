"""Step by step: a neuron's turn with tools, put together from its parts."""

from pathlib import Path

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.minds.protocol import Message, Reply, Request, ToolSpec
from hal9.neurons.checking import run_check
from hal9.neurons.gating import context_of, gate_of, person_of
from hal9.neurons.prompting import compose_tools_task, infer_targets
from hal9.neurons.showing import gather_shown, room_tokens
from hal9.neurons.turn import Turn, paid_for
from hal9.signals import CheckReport, ErrorDetail, ResultPayload, StepRecord
from hal9.tools.conversation import Conversation
from hal9.tools.loop import LoopEnd, LoopLimits, ToolLoop
from hal9.tools.observation import Observation, OutputStore, bounded
from hal9.tools.toolbox import allowed_tools, control_tools
from hal9.tools.turn_log import TurnLog
from hal9.tools.workspace_tools import WorkspaceTools
from hal9.workbench import Workbench

__all__ = ["act"]

# The result must be on its way before the deadline's watch ends the task without it.
_MARGIN_SECONDS = 5.0
_SEEN_OF_CHECK = 6000


async def act(turn: Turn, bench: Workbench, log: TurnLog, first: CheckReport | None) -> ResultPayload:
    """Work with tools until the mind finishes and the check passes, or a limit says stop.

    Raises:
        TurnFailed: the mind failed or the budget is used up; the log and the copy stay.
    """
    acting = _Acting(turn, bench, log, first)
    end = await (await acting.loop()).run()
    return acting.result(end)


class _Acting:
    """One turn's loop, and the check it ends with."""

    def __init__(self, turn: Turn, bench: Workbench, log: TurnLog, first: CheckReport | None) -> None:
        self.turn = turn
        self.bench = bench
        self.log = log
        self.first = first
        self.check: CheckReport | None = None
        self.settings = turn.settings.tools
        self.outputs = OutputStore()

    async def loop(self) -> ToolLoop:
        turn, services = self.turn, self.turn.services
        opening = await self._opening()
        window = services.models.window(turn.meta.model)
        files = WorkspaceTools(
            copy=self.bench.snapshot,
            mapper=self._map,
            outputs=self.outputs,
            ripgrep=await self._has_ripgrep(),
            seconds_left=self._seconds_left,
        )
        asking = self.settings.person.ask and self.log.journal is not None

        elsewhere = services.tools.for_neuron(turn.definition.name)
        limits = LoopLimits(
            steps=self.settings.steps,
            tokens=self.settings.tokens,
            usd=self.settings.usd,
            observation_chars=min(self.settings.observation_chars, window),
        )
        return ToolLoop(
            log=self.log,
            think=self._think,
            conversation=Conversation(opening=opening, window_tokens=window - self._reply_tokens()),
            tools=allowed_tools(
                [*files.tools(), *elsewhere, *control_tools(asking=asking)],
                permissions=self.bench.permissions,
                listed=turn.meta.tools,
            ),
            gate=gate_of(turn),
            person=person_of(turn),
            finish=self._finish,
            step=self._step,
            context=context_of(turn),
            limits=limits,
            outputs=self.outputs,
            clock=services.clock,
            snapshot=self.bench.snapshot,
            seconds_left=self._seconds_left,
        )

    async def _think(
        self, messages: tuple[Message, ...], tools: tuple[ToolSpec, ...], *, position: int
    ) -> Reply:
        turn = self.turn
        request = Request(
            messages=messages,
            tools=tools,
            temperature=turn.meta.temperature,
            max_tokens=self._reply_tokens(),
            timeout_seconds=min(turn.meta.timeout, turn.settings.minds.timeout_seconds),
        )
        started = turn.services.clock.now()
        try:
            return await turn.call(request, call_id=f"step-{position}")
        except TurnFailed as error:
            failed = turn.record(
                "think", started, tally=paid_for(error), outcome="failed", evidence=error.detail
            )
            self.log.waiting_steps.append(failed)
            raise

    def _reply_tokens(self) -> int:
        window = self.turn.services.models.window(self.turn.meta.model)
        return min(self.settings.reply_tokens, max(window // 4, 256))

    async def _opening(self) -> tuple[Message, ...]:
        """System message and task, as the first process composed them: a resumed turn says the same."""
        noted = self.log.notes("opening")
        if noted:
            return tuple(Message(**body) for body in noted[-1].body["messages"])
        turn = self.turn
        recalled = await turn.recall()
        shown = await gather_shown(
            turn,
            self.bench,
            self.first,
            tokens=room_tokens(turn, self.settings.shown_tokens),
            targets=infer_targets(turn.task),
        )
        opening = compose_tools_task(
            turn.promptgram,
            turn.task,
            shown=shown,
            recalled=recalled,
        )
        bodies = [{"role": message.role, "content": message.content} for message in opening]
        await self.log.add_note("opening", messages=bodies)
        return opening

    async def _finish(self, answer: str, verified: str) -> Observation:
        """The task's check decides; without one a change or a finding in words must be there."""
        if not self.turn.task.check:
            return Observation(text="accepted", ends=True, summary="accepted")
        started = self.turn.services.clock.now()
        seconds = self._seconds_left()
        report = await run_check(self.bench, self.turn.task.check, most_seconds=seconds)
        self.check = report
        step = self.turn.record(
            "check",
            started,
            outcome="ok" if report.passed else "failed",
            mode="tools",
            evidence=report.output[-2000:],
        )
        self.log.waiting_steps.append(step)
        if report.passed:
            return Observation(text="the check passes", ends=True, exit_code=0, summary="the check passes")
        text, full = bounded(report.output, limit=_SEEN_OF_CHECK, number=len(self.log.entries))
        return Observation(
            text=f"Not finished: the check `{report.command}` fails.\n{text}",
            ok=False,
            exit_code=report.exit_code,
            full=full,
            summary="the check fails",
        )

    def _step(self, kind: str, started: float, **details: object) -> StepRecord:
        return self.turn.record(kind, started, **details)

    async def _map(self, root: Path, question: str, tokens: int) -> str:
        return await self.turn.services.mapper.map(root, question, tokens=tokens)

    async def _has_ripgrep(self) -> bool:
        try:
            done = await self.bench.snapshot.run(["rg", "--version"], timeout_seconds=10)
        except WorkbenchError:
            return False
        return done.ok

    def _seconds_left(self) -> float | None:
        left = self.turn.seconds_left
        return None if left is None else left - _MARGIN_SECONDS

    def result(self, end: LoopEnd) -> ResultPayload:
        """What the turn's end means for the task."""
        if end.reason == "finished":
            check = self.check or self._logged_check()
            words = end.answer
            return ResultPayload(ok=True, answer=words, check=check, tally=self.turn.tally())
        reason, words = _REASONS[end.reason]
        error = ErrorDetail(
            reason=reason,  # type: ignore[arg-type] # one of StopReason, see the table
            message=f"{words}: {end.detail}. No file was changed; `hal9 diff` shows what had been done.",
            neuron=self.turn.definition.name,
            evidence=self.check.output[-4000:] if self.check else "",
        )
        return ResultPayload(
            ok=False, answer=end.answer, check=self.check, error=error, tally=self.turn.tally()
        )

    def _logged_check(self) -> CheckReport | None:
        """The check that an earlier process ran before the turn was finished."""
        if not self.turn.task.check:
            return None
        return CheckReport(command=self.turn.task.check, passed=True, exit_code=0)


_REASONS = {
    "steps": ("step_limit", "the turn reached its limit of steps"),
    "tokens": ("budget_exhausted", "the turn reached its limit of tokens (tools.tokens)"),
    "usd": ("budget_exhausted", "the turn reached its limit of money (tools.usd)"),
    "seconds": ("timeout", "the task's time is used up"),
    "stuck": ("repeated_step", "the turn went round in circles"),
    "silent": ("invalid_output", "the mind does not use its tools"),
    "unanswered": ("unanswered", "a question to a person was not answered"),
}
