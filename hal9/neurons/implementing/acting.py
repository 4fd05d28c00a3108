"""Step by step: a neuron's turn with tools, put together from its parts."""

from hal9.errors.neurons import TurnFailed
from hal9.minds.protocol import Message, Reply
from hal9.neurons.implementing.checking import run_check
from hal9.neurons.implementing.showing import gather_shown, room_tokens
from hal9.neurons.looping import TurnLoop
from hal9.neurons.messages.prompting import compose_tools_task, infer_targets
from hal9.neurons.rule_files import with_rule_files
from hal9.neurons.turn import Turn, capabilities_of
from hal9.signals import CheckReport, ErrorDetail, ResultPayload
from hal9.tools.loop import LoopEnd, ToolLoop
from hal9.tools.observation import Observation, bounded
from hal9.tools.spending import tally_of
from hal9.tools.toolbox import control_tools
from hal9.tools.turn_log import TurnLog
from hal9.workbench import Workbench

__all__ = ["NoToolsUsed", "act"]

_SEEN_OF_CHECK = 6000


class NoToolsUsed(TurnFailed):
    """The mind takes tools and calls none, and nothing was done yet: the turn can go on another way."""


async def act(turn: Turn, bench: Workbench, log: TurnLog, first: CheckReport | None) -> ResultPayload:
    """Work with tools until the mind finishes and the check passes, or a limit says stop.

    Raises:
        NoToolsUsed: the mode was chosen for what the mind can do, and it turned out that it cannot.
        TurnFailed: the mind failed or the budget is used up; the log and the copy stay.
    """
    acting = _Acting(turn, bench, log, first)
    end = await (await acting.loop()).run()
    return acting.result(end)


class _Acting(TurnLoop):
    """One turn's loop, and the check it ends with."""

    def __init__(self, turn: Turn, bench: Workbench, log: TurnLog, first: CheckReport | None) -> None:
        super().__init__(turn, bench, log)
        self.first = first
        self.check: CheckReport | None = None

    async def loop(self) -> ToolLoop:
        asking = self.settings.person.ask and self.log.journal is not None
        return await self.assemble(
            self.noted_opening() or await self._opening(),
            control=control_tools(asking=asking),
            finish=self._finish,
            steps=self.settings.steps,
        )

    async def _called(self, reply: Reply, started: float) -> None:
        gives_way = self.turn.meta.mode == "auto" and not self.log.has_results
        if gives_way and (await capabilities_of(self.turn)).tools != "native":
            # Its call came only when asked for as JSON. A model that small answers better at once.
            detail, tally = "the mind takes tools and calls none", tally_of(reply.usage)
            paid = self._step("think", started, tally=tally, outcome="failed", evidence=detail)
            self.log.waiting_steps.append(paid)
            raise NoToolsUsed(reason="invalid_output", detail=detail)

    async def _opening(self) -> tuple[Message, ...]:
        """System message and task."""
        turn = self.turn
        recalled = await turn.recall()
        shown = await gather_shown(
            turn,
            self.bench,
            self.first,
            tokens=room_tokens(turn, self.settings.shown_tokens),
            targets=infer_targets(turn.task),
            map_tool=True,
        )
        composed = compose_tools_task(turn.promptgram, turn.task, shown=shown, recalled=recalled)
        return await self.note_opening(await with_rule_files(turn, self.bench, composed))

    async def _finish(self, answer: str, verified: str) -> Observation:
        """The task's check decides; without one a change or a finding in words must be there."""
        if not self.turn.task.check:
            return Observation(text="accepted", ends=True, summary="accepted")
        started = self.turn.services.clock.now()
        seconds = self.seconds_left()
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
