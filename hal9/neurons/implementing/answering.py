"""One answer at a time: the mind writes all it would change, the check judges, a failing try begins anew."""

import hashlib
from dataclasses import dataclass

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import ReplyUnusable
from hal9.errors.tools import FileUnseen
from hal9.memory import Recall
from hal9.minds.protocol import Message
from hal9.neurons.gating import refusal, tell_outcome
from hal9.neurons.implementing.applying import Applier
from hal9.neurons.implementing.checking import run_check
from hal9.neurons.implementing.showing import (
    also_shown,
    exists_any,
    explains_itself,
    gather_shown,
    room_tokens,
)
from hal9.neurons.messages.excerpts import Shown, given_file
from hal9.neurons.messages.prompting import compose_implementation, infer_targets, named_files, paths_in
from hal9.neurons.messages.replies import Implementation, parse_implementation
from hal9.neurons.rule_files import with_rule_files
from hal9.neurons.turn import Turn
from hal9.signals import CheckReport, ErrorDetail, ResultPayload
from hal9.tools.action import command_action, file_action
from hal9.tools.edits import split_diff
from hal9.workbench import Workbench

__all__ = ["answer"]

_REPEATS_ALLOWED = 2


@dataclass(slots=True)
class _Try:
    """How one attempt ended."""

    implementation: Implementation | None = None
    check: CheckReport | None = None
    evidence: str = ""
    reason: str = ""
    unseen: str = ""  # a file that has to be shown first: it would be overwritten, or was asked for

    @property
    def ok(self) -> bool:
        return not self.reason


async def answer(turn: Turn, bench: Workbench | None, first: CheckReport | None) -> ResultPayload:
    """Try until the check passes or attempts run out.

    Args:
        turn: whose.
        bench: the copy of the workspace; None for a task without one.
        first: how the check ended before anything was done.

    Raises:
        TurnFailed: no attempt could be judged at all (budget, mind).
    """
    targets = infer_targets(turn.task)
    recalled = await turn.recall()
    policy = turn.settings.neurons.implementer
    attempts = policy.attempts if turn.task.check else 1
    shown = Shown(excerpts=tuple(given_file(file) for file in turn.task.files))
    room, later = 0, False
    if bench is not None:
        room = room_tokens(turn, policy.shown_tokens)
        later = attempts > 1 and await explains_itself(turn, bench, targets)
        shown = await gather_shown(
            turn, bench, first, tokens=room, targets=targets, check_files_too=not later
        )
    last = _Try(evidence=shown.check)
    seen: dict[str, int] = {}
    added: set[str] = set()
    chat: tuple[Message, ...] = ()
    attempt = 0
    while attempt < attempts:
        attempt += 1
        if attempt > 1 and bench is not None:
            await bench.snapshot.restore()
            if attempt == 2 and later and not added:
                shown = await gather_shown(turn, bench, first, tokens=room, targets=targets)
        if chat and policy.retry_prompt == "append":
            messages = (*chat, Message("user", f"That failed:\n{last.evidence}\nCorrect it."))
        else:
            resampled = attempt > 1 and policy.retry_prompt == "resample"
            evidence = "" if attempt == 1 or resampled else last.evidence
            messages = await _prompt(
                turn, bench, shown, recalled, evidence=evidence, first=attempt == 1 or resampled
            )
        last, text = await _attempt(turn, bench, messages, shown=shown, attempt=attempt)
        if last.ok:
            break
        if last.unseen and bench is not None and last.unseen not in added:
            # The reply was never judged: one more try, with the file in sight.
            added.add(last.unseen)
            shown = await also_shown(turn, bench, shown, last.unseen)
            attempts += 1
        chat = (*messages, Message("assistant", text))
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        seen[digest] = seen.get(digest, 0) + 1
        if seen[digest] > _REPEATS_ALLOWED:
            last.reason = "repeated_step"
            break
    return _result(turn, last)


async def _prompt(
    turn: Turn, bench: Workbench | None, shown: Shown, recalled: Recall | None, *, evidence: str, first: bool
) -> tuple[Message, ...]:
    composed = compose_implementation(
        turn.promptgram,
        turn.task,
        output=turn.meta.output,
        shown=shown,
        recalled=recalled,
        evidence=evidence,
        first=first,
    )
    return await with_rule_files(turn, bench, composed)


async def _attempt(
    turn: Turn, bench: Workbench | None, messages: tuple[Message, ...], *, shown: Shown, attempt: int
) -> tuple[_Try, str]:
    targets = infer_targets(turn.task)
    retry_temperature = turn.settings.neurons.implementer.retry_temperature
    reply = await turn.think(
        messages,
        schema=Implementation.model_json_schema() if turn.meta.output == "json" else None,
        temperature=None if attempt == 1 else retry_temperature,
        seed=_seed(turn.signal.task_id, attempt),
    )
    if bench is None and turn.meta.output == "fenced":
        # Without a workspace nothing is written: code in the reply is part of the answer.
        return _Try(implementation=Implementation(answer=reply.text.strip(), files=[])), reply.text
    try:
        implementation = (
            Implementation.model_validate(reply.parsed)
            if turn.meta.output == "json"
            else parse_implementation(reply.text, targets=targets, truncated=reply.stop_reason != "stop")
        )
    except ReplyUnusable as error:
        return _Try(evidence=str(error), reason="invalid_output"), reply.text
    if bench is None:
        return _Try(implementation=implementation), reply.text
    wanted = await _asked_for(turn, bench, implementation, shown)
    if wanted:
        evidence = f"the reply changed nothing; {wanted}, which it names, is shown now"
        return _Try(implementation, None, evidence, "invalid_output", wanted), reply.text
    try:
        return await _carry_out(turn, bench, implementation, shown), reply.text
    except (WorkbenchError, ReplyUnusable) as error:
        # What a reply asks for and cannot be done is evidence for the next try.
        failed = _Try(implementation=implementation, evidence=str(error), reason="tool_failed")
        failed.unseen = error.path if isinstance(error, FileUnseen) else ""
        return failed, reply.text


async def _asked_for(turn: Turn, bench: Workbench, implementation: Implementation, shown: Shown) -> str:
    """A file that a reply talks of instead of changing anything, and that was not shown whole."""
    one = implementation
    if (
        not turn.task.check
        or shown.passed_already
        or one.files
        or one.replacements
        or one.diffs
        or one.commands
    ):
        return ""
    whole = {excerpt.path for excerpt in shown.excerpts if excerpt.whole}
    for path in paths_in(one.answer):
        if path not in whole and await exists_any(bench, (path,)):
            return path
    return ""


def _seed(task_id: str, attempt: int) -> int:
    """The same for the same task and attempt, different for every other: samples must not be copies."""
    return int.from_bytes(hashlib.sha256(f"{task_id}/{attempt}".encode()).digest()[:4])


async def _carry_out(turn: Turn, bench: Workbench, implementation: Implementation, shown: Shown) -> _Try:
    """Write the files, run the commands, run the check."""
    whole = {excerpt.path for excerpt in shown.excerpts if excerpt.whole}
    meant = {*turn.task.targets, *named_files(turn.task)}
    why_not = await _refused(turn, implementation)
    if why_not:
        return _Try(implementation, None, why_not, "tool_failed")
    await Applier(bench, seen_whole=whole, meant=meant).apply(implementation)
    for number, command in enumerate(implementation.commands):
        action = command_action(command)
        why_not, decision = await refusal(turn, action, label=f"answer-{len(turn.steps)}.c{number}")
        if why_not:
            return _Try(implementation, None, f"{command}: {why_not}", "tool_failed")
        done = await bench.run(command)
        await tell_outcome(turn, action, decision, done)
        if not done.ok:
            evidence = f"$ {command}\n{done.output}\n(exit code {done.exit_code})"
            return _Try(implementation, None, evidence, "tool_failed")
    if not turn.task.check:
        return _Try(implementation)
    started = turn.services.clock.now()
    report = await run_check(bench, turn.task.check, most_seconds=turn.seconds_left)
    turn.record(
        "check",
        started,
        outcome="ok" if report.passed else "failed",
        evidence=report.output[-2000:],
    )
    if report.passed:
        return _Try(implementation, report)
    evidence = report.output or f"the check {report.command!r} ended with exit code {report.exit_code}"
    return _Try(implementation, report, evidence, "check_failed")


async def _refused(turn: Turn, implementation: Implementation) -> str:
    """Why a file of a reply must not be written; all of them are looked at before any is."""
    files = [file_action("write", file.path, text=file.content) for file in implementation.files]
    parts = [file_action("edit", part.path, text=part.new) for part in implementation.replacements]
    diffs = [
        file_action("edit", diff.path or path, text=hunks)
        for diff in implementation.diffs
        for path, hunks in split_diff(diff.diff) or [(diff.path, diff.diff)]
    ]
    calls = len(turn.steps)
    for number, action in enumerate([*files, *parts, *diffs]):
        why, _ = await refusal(turn, action, label=f"answer-{calls}.{number}")
        if why:
            return f"{', '.join(action.paths)}: {why}"
    return ""


def _result(turn: Turn, last: _Try) -> ResultPayload:
    error = None
    if not last.ok:
        error = ErrorDetail(
            reason=last.reason,  # type: ignore[arg-type] # one of StopReason by construction above
            message=_MESSAGES.get(last.reason, last.reason),
            neuron=turn.definition.name,
            evidence=last.evidence[-4000:],
        )
    words = last.implementation.answer if last.implementation else ""
    return ResultPayload(ok=last.ok, answer=words, check=last.check, error=error, tally=turn.tally())


_MESSAGES = {
    "check_failed": "the check did not pass in any attempt; no file was changed, the diff is in the result",
    "invalid_output": "the mind's replies could not be used",
    "tool_failed": "a command or file operation failed",
    "repeated_step": "the mind gave the same failing reply again and again",
}
