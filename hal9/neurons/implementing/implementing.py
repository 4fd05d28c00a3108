"""L2: work on a task in a copy of its workspace, in one answer or step by step; hand over what passed.

A turn survives its process: what it found out and decided stands in its log, and the copy of the workspace is
continued; where that copy is not (another host took over), it begins anew. What is carried over into the
workspace is carried over once, with the result that says so.
"""

from typing import Literal

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import TurnFailed
from hal9.errors.workbench import WorkspaceConflict
from hal9.neurons.gating import refusal
from hal9.neurons.implementing.acting import NoToolsUsed, act
from hal9.neurons.implementing.answering import answer
from hal9.neurons.implementing.checking import run_check
from hal9.neurons.implementing.delegating import delegate
from hal9.neurons.looping import open_turn_log
from hal9.neurons.turn import Turn, capabilities_of
from hal9.neurons.workspaces import open_bench, remove_copy, with_folder
from hal9.signals import CheckReport, ErrorDetail, ResultPayload
from hal9.signals.labels import REVIEW, STAGED
from hal9.tools.action import answer_action
from hal9.tools.turn_log import TurnLog
from hal9.workbench import Workbench

__all__ = ["implement"]

Mode = Literal["answer", "tools", "agent"]


async def implement(turn: Turn) -> ResultPayload:
    """Work on the task until its check passes, or a limit says stop.

    Raises:
        TurnFailed: nothing could be tried at all (budget, mind, workspace).
    """
    turn.task = with_folder(turn)
    log = await open_turn_log(turn)
    accepted = log.notes("accepted")
    if accepted:
        await remove_copy(turn)  # the process may have died before it did
        return ResultPayload.model_validate(accepted[-1].body["result"])
    mode, here = await _mode(turn, log)
    # One answer begins anew after a crash; a turn with tools goes on at its last mark.
    async with open_bench(turn, mark=None if mode == "tools" and here else "") as bench:
        if bench is None:
            return await answer(turn, None, None)
        if bench.snapshot.accepted is not None:
            # All was carried over, and the process died before it could say so.
            note = bench.snapshot.accepted.note
            await bench.snapshot.discard()
            return turn.taken_up(note)
        if mode == "tools" and log.acted and not (here and bench.snapshot.continued):
            # On another host, or lost: the mind must not take for done what this copy does not have.
            await log.begin_anew("the copy it had worked in is not here", keep=("first_check",))
            await _note_mode(turn, log, mode)
        first = await _first_check(turn, bench, log)
        try:
            result = await _worked_on(turn, bench, log, first)
        except TurnFailed as error:
            if not log.entries or turn.mode != "tools":
                raise
            result = _failure(turn, error)
        return await _hand_over(turn, bench, log, result)


async def _worked_on(turn: Turn, bench: Workbench, log: TurnLog, first: CheckReport | None) -> ResultPayload:
    """What the turn's way of working comes to."""
    if turn.mode == "agent":
        return await delegate(turn, bench)
    if turn.mode == "tools":
        try:
            return await act(turn, bench, log, first)
        except NoToolsUsed as error:
            turn.mode, turn.why_mode = "answer", error.detail
            await _note_mode(turn, log, "answer")
    return await answer(turn, bench, first)


async def _mode(turn: Turn, log: TurnLog) -> tuple[Mode, bool]:
    """How this turn works, and whether what it did so far was done here.

    The decision, its reason and the node stand in the log; a copy that is here may be older than the log.
    """
    noted = log.notes("mode")
    mode: Mode
    here = True
    if noted:
        mode = noted[-1].body["mode"]
        here = noted[-1].body.get("node", turn.services.node) == turn.services.node
    else:
        mode, turn.why_mode = await _choose_mode(turn)
        if mode != "answer" or turn.task.workspace is not None:  # one answer begins anew after a crash
            await _note_mode(turn, log, mode)
    turn.mode = mode
    return mode, here


async def _note_mode(turn: Turn, log: TurnLog, mode: Mode) -> None:
    await log.add_note("mode", mode=mode, why=turn.why_mode, node=turn.services.node)


async def _choose_mode(turn: Turn) -> tuple[Mode, str]:
    if turn.task.workspace is not None and await _acts_by_itself(turn):
        return "agent", "the mind works in the workspace's copy with tools of its own"
    if turn.meta.mode != "auto":
        if turn.meta.mode == "tools" and turn.task.workspace is None:
            return "answer", "the task has no workspace to use tools in"
        return turn.meta.mode, f"the neuron's file says mode = {turn.meta.mode}"
    if turn.task.workspace is None:
        return "answer", "the task has no workspace"
    can = await capabilities_of(turn)
    if can.tools == "native":
        return "tools", "the mind calls tools by itself"
    return (
        "answer",
        f"the mind makes tool calls only as {can.tools} output; mode = tools in its file forces it",
    )


async def _acts_by_itself(turn: Turn) -> bool:
    """Whether the mind is an agent, and this layer may write and run."""
    allowed = turn.settings.workbench.layers.get(turn.definition.layer_name)
    if allowed is None or not (allowed.write and allowed.run):
        return False
    return (await capabilities_of(turn)).acts


async def _first_check(turn: Turn, bench: Workbench, log: TurnLog) -> CheckReport | None:
    """How the check ends before anything is done; the copy is put back to its base afterwards."""
    if not turn.task.check or not turn.settings.neurons.implementer.first_check:
        return None
    noted = log.notes("first_check")
    if noted:
        return CheckReport.model_validate(noted[-1].body["report"])
    started = turn.services.clock.now()
    try:
        report = await run_check(bench, turn.task.check, most_seconds=turn.seconds_left)
        await bench.snapshot.restore()
    except WorkbenchError as error:
        raise TurnFailed(reason="tool_failed", detail=str(error)) from error
    # It tells how things stood, and is no failure of anybody's.
    told = "passed already" if report.passed else f"failed\n{report.output[-2000:]}"
    step = turn.record("check", started, mode="first", evidence=f"before anything was done it {told}")
    log.waiting_steps.append(step)
    kept = report.model_copy(update={"output": report.output[-20_000:]})
    await log.add_note("first_check", report=kept.model_dump(mode="json"))
    return kept


def _failure(turn: Turn, error: TurnFailed) -> ResultPayload:
    detail = ErrorDetail(
        reason=error.reason,  # type: ignore[arg-type] # a StopReason, see TurnFailed
        message=error.detail,
        neuron=turn.definition.name,
    )
    return ResultPayload(ok=False, error=detail, tally=turn.tally())


async def _judged(turn: Turn, result: ResultPayload) -> ResultPayload:
    """What policy and guards say to the changed files, by whatever commands or agents they were changed."""
    action = answer_action(result.answer, changed=tuple(change.path for change in result.changes))
    why_not, _ = await refusal(turn, action, label="answer")
    if not why_not:
        return result
    detail = ErrorDetail(
        reason="tool_failed",
        message=f"nothing was carried over ({', '.join(action.paths)}): {why_not}",
        neuron=turn.definition.name,
    )
    return result.model_copy(update={"ok": False, "error": detail})


async def _hand_over(turn: Turn, bench: Workbench, log: TurnLog, result: ResultPayload) -> ResultPayload:
    """Carry a success over into the workspace; of a failure the diff stays, and nothing is carried over."""
    changes = (await bench.snapshot.keep()).shown()
    words = result.answer or "\n".join(f"{change.action} {change.path}" for change in changes)
    if result.ok and result.check is not None and not changes:
        words = f"{words}\n\n(The check passed already; nothing was changed.)".strip()
    result = result.model_copy(update={"changes": changes, "answer": words})
    if result.ok and changes and turn.mode != "tools":
        # Turns with tools ask before they finish; whatever else changed files is judged by what it left.
        result = await _judged(turn, result)
    kept_back = turn.task.labels.get(REVIEW) == "yes" or bool(turn.task.labels.get(STAGED))
    if result.ok and not kept_back:
        try:
            await bench.snapshot.accept(turn.with_steps(result))
        except WorkbenchError as error:
            reason: Literal["conflict", "tool_failed"] = (
                "conflict" if isinstance(error, WorkspaceConflict) else "tool_failed"
            )
            detail = ErrorDetail(reason=reason, message=str(error), neuron=turn.definition.name)
            result = result.model_copy(update={"ok": False, "error": detail})
    log.waiting_steps.extend(turn.steps)
    await log.add_note("accepted", result=result.model_dump(mode="json", exclude={"steps"}))
    await bench.snapshot.discard()
    return result
