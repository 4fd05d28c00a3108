"""An agent works in the copy with tools of its own; what it did becomes steps, the check judges."""

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.minds.protocol import AgentAct, Request
from hal9.neurons.implementing.checking import run_check
from hal9.neurons.messages.prompting import compose_agent_task
from hal9.neurons.rule_files import with_rule_files
from hal9.neurons.turn import Turn
from hal9.signals import CheckReport, ErrorDetail, ResultPayload
from hal9.text import without_surrogates
from hal9.tools.action import command_action
from hal9.tools.agent_place import SnapshotWorkplace
from hal9.workbench import Workbench

__all__ = ["delegate"]

_RECORDED = 4000  # characters of an argument or outcome in a step record


async def delegate(turn: Turn, bench: Workbench) -> ResultPayload:
    """Have the agent work until the check passes or the attempts run out; each one begins anew in the copy.

    Raises:
        TurnFailed: the agent failed, or a budget does not allow the call.
    """
    recalled = await turn.recall()
    place = SnapshotWorkplace(bench.snapshot)
    attempts = turn.settings.neurons.implementer.attempts if turn.task.check else 1
    evidence, said, report = "", "", None
    for attempt in range(1, attempts + 1):
        if attempt > 1:
            await bench.snapshot.restore()
        composed = compose_agent_task(turn.promptgram, turn.task, recalled=recalled, evidence=evidence)
        request = Request(
            messages=await with_rule_files(turn, bench, composed),
            max_tokens=turn.meta.max_tokens,
            timeout_seconds=turn.patience(),
            workplace=place,
        )
        reply = await turn.asked(request)
        for act in reply.acts:
            _record(turn, act)
        said = without_surrogates(reply.text).strip()
        if not turn.task.check:
            return ResultPayload(ok=True, answer=said, tally=turn.tally())
        report = await _checked(turn, bench, turn.task.check)
        if report.passed:
            return ResultPayload(ok=True, answer=said, check=report, tally=turn.tally())
        evidence = report.output or f"the check {report.command!r} ended with exit code {report.exit_code}"
    error = ErrorDetail(
        reason="check_failed",
        message="the check did not pass after any of the agent's tries; no file was changed",
        neuron=turn.definition.name,
        evidence=evidence[-4000:],
    )
    return ResultPayload(ok=False, answer=said, check=report, error=error, tally=turn.tally())


async def _checked(turn: Turn, bench: Workbench, check: str) -> CheckReport:
    started = turn.services.clock.now()
    try:
        report = await run_check(bench, check, most_seconds=turn.seconds_left)
    except WorkbenchError as error:
        raise TurnFailed(reason="tool_failed", detail=str(error)) from error
    outcome = "ok" if report.passed else "failed"
    turn.record("check", started, outcome=outcome, evidence=report.output[-2000:])
    return report


def _record(turn: Turn, act: AgentAct) -> None:
    """One of the agent's own events as a step; its tokens are in the step of the whole call."""
    now = turn.services.clock.now()
    if act.kind == "words":
        turn.record("tool", now, mode="agent", tool="says", observation=act.outcome[:_RECORDED])
        return
    arguments = {
        key: value[:_RECORDED] if isinstance(value, str) else value for key, value in act.arguments.items()
    }
    command = act.arguments.get("command")
    programs = list(command_action(command).programs) if isinstance(command, str) else []
    keys = ("file_path", "path", "notebook_path")
    named = next((act.arguments[key] for key in keys if key in act.arguments), "")
    turn.record(
        "tool",
        now,
        outcome="failed" if act.ok is False else "ok",
        mode="agent",
        tool=act.name,
        arguments=arguments,
        programs=programs,
        paths=[named] if isinstance(named, str) and named else [],
        observation=act.outcome[:_RECORDED],
        evidence=act.outcome[-2000:] if act.ok is False else "",
    )
