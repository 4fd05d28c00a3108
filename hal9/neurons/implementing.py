"""L2: implement a task, run its check, and on failure try again from a fresh prompt with the evidence."""

import hashlib
from dataclasses import dataclass

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import ReplyUnusable
from hal9.errors.workbench import (
    ActionNotPermitted,
    CommandsUnavailable,
    FileNotText,
    FileTooLarge,
    NotRegularFile,
    PathOutsideWorkspace,
    WorkspaceUnwritable,
)
from hal9.minds.protocol import Message
from hal9.neurons.prompting import compose_implementation, infer_targets
from hal9.neurons.replies import Implementation, parse_implementation
from hal9.neurons.turn import Turn
from hal9.neurons.workspaces import open_bench
from hal9.signals import CheckReport, ErrorDetail, FileChange, InlineFile, ResultPayload
from hal9.signals.labels import REVIEW
from hal9.workbench import FileEdit, Workbench

__all__ = ["implement"]

_REPEATS_ALLOWED = 2
# What a reply may ask for that cannot be done: evidence for the next try.
_UNUSABLE = (
    PathOutsideWorkspace,
    NotRegularFile,
    FileTooLarge,
    ActionNotPermitted,
    CommandsUnavailable,
    WorkspaceUnwritable,
)


@dataclass(slots=True)
class _Try:
    """How one attempt ended."""

    implementation: Implementation | None = None
    check: CheckReport | None = None
    evidence: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        return not self.reason


async def implement(turn: Turn) -> ResultPayload:
    """Work on the task until its check passes, attempts run out, or a limit says stop.

    Raises:
        TurnFailed: no attempt could be judged at all (budget, mind, workspace).
    """
    async with open_bench(turn) as bench:
        if bench is not None and bench.snapshot.accepted is not None:
            # All was done, and the process died before it could say so.
            return ResultPayload.model_validate_json(bench.snapshot.accepted.note)
        return await _implement(turn, bench)


async def _implement(turn: Turn, bench: Workbench | None) -> ResultPayload:
    targets = infer_targets(turn.task)
    recalled = await turn.recall()
    policy = turn.settings.neurons.implementer
    attempts = policy.attempts if turn.task.check else 1
    last = _Try()
    seen: dict[str, int] = {}
    chat: tuple[Message, ...] = ()
    for attempt in range(1, attempts + 1):
        if attempt > 1 and bench is not None:
            await bench.snapshot.restore()
        if chat and policy.retry_prompt == "append":
            messages = (*chat, Message("user", f"That failed:\n{last.evidence}\nCorrect it."))
        else:
            messages = compose_implementation(
                turn.promptgram,
                turn.task,
                output=turn.meta.output,
                files=await _existing_files(bench, turn, targets),
                repository_map=await _map(turn, bench),
                recalled=recalled,
                evidence="" if policy.retry_prompt == "resample" else last.evidence,
            )
        last, text = await _attempt(turn, bench, messages, targets=targets, attempt=attempt)
        if last.ok:
            break
        chat = (*messages, Message("assistant", text))
        digest = hashlib.sha256(text.encode()).hexdigest()
        seen[digest] = seen.get(digest, 0) + 1
        if seen[digest] > _REPEATS_ALLOWED:
            last.reason = "repeated_step"
            break
    return await _result(turn, bench, last)


async def _attempt(
    turn: Turn,
    bench: Workbench | None,
    messages: tuple[Message, ...],
    *,
    targets: tuple[str, ...],
    attempt: int,
) -> tuple[_Try, str]:
    retry_temperature = turn.settings.neurons.implementer.retry_temperature
    reply = await turn.think(
        messages,
        schema=Implementation.model_json_schema() if turn.meta.output == "json" else None,
        temperature=None if attempt == 1 else retry_temperature,
        seed=_seed(turn.signal.task_id, attempt),
    )
    if bench is None and turn.meta.output == "fenced":
        # Without a workspace nothing is written: code in the reply is part of the answer.
        return _Try(implementation=Implementation(answer=reply.text.strip())), reply.text
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
    if implementation.replacements or implementation.diffs:
        evidence = "diffs and SEARCH/REPLACE blocks are not applied here: write every file completely"
        return _Try(implementation=implementation, evidence=evidence, reason="invalid_output"), reply.text
    try:
        return await _carry_out(turn, bench, implementation), reply.text
    except _UNUSABLE as error:
        return _Try(implementation=implementation, evidence=str(error), reason="tool_failed"), reply.text


def _seed(task_id: str, attempt: int) -> int:
    """The same for the same task and attempt, different for every other: samples must not be copies."""
    return int.from_bytes(hashlib.sha256(f"{task_id}/{attempt}".encode()).digest()[:4])


async def _carry_out(turn: Turn, bench: Workbench, implementation: Implementation) -> _Try:
    """Write the files, run the commands, run the check."""
    if implementation.files:
        await bench.apply([FileEdit(path=file.path, content=file.content) for file in implementation.files])
    for command in implementation.commands:
        done = await bench.run(command)
        if not done.ok:
            evidence = f"$ {command}\n{done.output}\n(exit code {done.exit_code})"
            return _Try(implementation, None, evidence, "tool_failed")
    if not turn.task.check:
        return _Try(implementation)
    started = turn.house.clock.now()
    report = await bench.check(turn.task.check)
    turn.record(
        "check",
        started,
        outcome="ok" if report.passed else "failed",
        evidence=report.output[-2000:],
    )
    if report.passed:
        return _Try(implementation, report)
    evidence = report.output or f"the check {report.command!r} ended with exit code {report.exit_code}"
    if report.timed_out:
        evidence += f"\n(the check was stopped after {report.seconds:.0f} s)"
    return _Try(implementation, report, evidence, "check_failed")


async def _existing_files(bench: Workbench | None, turn: Turn, targets: tuple[str, ...]) -> list[InlineFile]:
    """Files given with the task, and targets that exist already."""
    found = {file.path: file for file in turn.task.files}
    if bench is not None and bench.permissions.read:
        for target in targets:
            try:
                found.setdefault(target, InlineFile(path=target, content=await bench.read(target)))
            except (FileNotFoundError, FileNotText, FileTooLarge, PathOutsideWorkspace, NotRegularFile):
                continue  # nothing to show: the target is new, or no text; writing it is judged later
    return list(found.values())


async def _map(turn: Turn, bench: Workbench | None) -> str:
    tokens = turn.settings.repository_map.tokens.get(turn.definition.layer_name, 0)
    if bench is None or tokens == 0 or not bench.permissions.read:
        return ""
    return await turn.house.cartographer.map(bench.snapshot.workspace, turn.task.objective, tokens=tokens)


async def _result(turn: Turn, bench: Workbench | None, last: _Try) -> ResultPayload:
    changes: list[FileChange] = []
    if bench is not None:
        # The diff of the last try stays in the result, also when the user's files remain as they were.
        changes = (await bench.snapshot.keep()).shown()
    error = None
    if not last.ok:
        error = ErrorDetail(
            reason=last.reason,  # type: ignore[arg-type] # one of StopReason by construction above
            message=_MESSAGES.get(last.reason, last.reason),
            neuron=turn.definition.name,
            evidence=last.evidence[-4000:],
        )
    answer = last.implementation.answer if last.implementation else ""
    result = ResultPayload(
        ok=last.ok,
        answer=answer or "\n".join(f"{change.action} {change.path}" for change in changes),
        changes=changes,
        check=last.check,
        error=error,
        tally=turn.tally(),
    )
    return result if bench is None else await _hand_over(turn, bench, result)


async def _hand_over(turn: Turn, bench: Workbench, result: ResultPayload) -> ResultPayload:
    """Carry a success over into the workspace; a failure leaves nothing there."""
    if result.ok and turn.task.labels.get(REVIEW) != "yes":
        try:
            await bench.snapshot.accept(result.model_dump_json())
        except WorkbenchError as error:
            detail = ErrorDetail(reason="tool_failed", message=str(error), neuron=turn.definition.name)
            result = result.model_copy(update={"ok": False, "error": detail})
    await bench.snapshot.discard()
    return result


_MESSAGES = {
    "check_failed": "the check did not pass in any attempt; no file was changed, the diff is in the result",
    "invalid_output": "the mind's replies could not be used",
    "tool_failed": "a command or file operation failed",
    "repeated_step": "the mind gave the same failing reply again and again",
}
