"""What the parts of a task came to: their changes merged, judged together, and carried over once.

What does not go together, a check that fails on everything, or a part that did not reach its goal goes back
to the neuron that divided the task: it sees the diffs and what failed, and sends one further part.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hal9.errors.base import WorkbenchError
from hal9.errors.neurons import ReplyUnusable, TurnFailed
from hal9.errors.workbench import WorkspaceConflict
from hal9.journal.failpoints import failpoint
from hal9.journal.work import Part, Work
from hal9.neurons.dividing.parts import MergedParts, conflict_text, is_staged, merge_parts, parts_in_force
from hal9.neurons.dividing.splitting import hand_over, part_design, route
from hal9.neurons.implementing.checking import run_check
from hal9.neurons.messages.prompting import compose_mending, compose_synthesis
from hal9.neurons.messages.replies import parse_split, split_schema
from hal9.neurons.turn import Turn
from hal9.neurons.workspaces import open_bench
from hal9.signals import CheckReport, ErrorDetail, FileChange, ResultPayload, Tally, new_id, record_parts
from hal9.signals.labels import BEGINS_WITH, DIVIDE, MENDS, PART_SIGNAL, REVIEW, STAGED
from hal9.workbench import Workbench

__all__ = ["begin_part", "gather"]

_MOST_OF_A_CHECK = 4000  # characters
_MENDABLE = frozenset({"check_failed", "step_limit", "repeated_step", "invalid_output", "conflict"})


async def gather(turn: Turn, work: Work) -> ResultPayload | Part:
    """One result out of the parts' results, or one further part that is to bring them together.

    A single part's answer goes up as it is.

    Raises:
        TurnFailed: the mind failed, or what the parts changed cannot be used.
    """
    results = [part.result for part in work.parts if part.result is not None]
    if len(results) == 1 and len(work.parts) == 1:
        return results[0].model_copy(update={"steps": []})
    if is_staged(work):
        return await _Gathering(turn, work).outcome()
    failed = next((result for result in results if not result.ok), None)
    if failed is not None:
        return failed.model_copy(
            update={"tally": _spent(results), "steps": [], "changes": _last_of_each(results)}
        )
    return ResultPayload(
        ok=True,
        answer=await _synthesis(turn, work),
        changes=_last_of_each(results),
        check=results[-1].check,
        tally=_spent(results).plus(turn.tally()),
    )


async def begin_part(turn: Turn, work: Work, part: Part) -> Part:
    """A part that builds on others, told where their changes lie; what does not go together is told in words.

    Raises:
        TurnFailed: what it builds on is not kept here.
    """
    if turn.services.changes is None or not part.payload.labels.get(STAGED):
        return part
    merged = await asyncio.to_thread(
        merge_parts, turn.services.changes, work, into=f"before-{part.position}", only_before=part
    )
    if merged.kept is None:
        return part
    payload = part.payload
    labels = {**payload.labels, BEGINS_WITH: merged.name}
    design = payload.design
    if merged.conflicts:
        apart = conflict_text(merged.conflicts)
        design += f"\n\nWhat earlier parts left apart, and is not in your copy:\n{apart}"
    return replace(part, payload=payload.model_copy(update={"labels": labels, "design": design}))


class _Gathering:
    """The end of one divided task whose parts were made in copies of their own."""

    def __init__(self, turn: Turn, work: Work) -> None:
        self.turn = turn
        self.work = work
        self.results = [part.result for part in work.parts if part.result is not None]
        self.rounds = sum(1 for part in work.parts if part.payload.labels.get(MENDS) == "yes")

    async def outcome(self) -> ResultPayload | Part:
        changes = self.turn.services.changes
        if changes is None:
            raise TurnFailed(reason="tool_failed", detail="this process keeps no changes to merge")
        merged = await asyncio.to_thread(merge_parts, changes, self.work, into=f"merged-{self.rounds}")
        self._tell(merged)
        failpoint("parts-merged")
        lost = self._lost()
        if lost is not None:
            return await self._failure(merged, lost)
        trouble = self._trouble(merged)
        if trouble is None:
            done = await self._judged(merged)
            if isinstance(done, ResultPayload):
                return done
            trouble = done
        if self.rounds >= self.turn.settings.neurons.planner.mends:
            return await self._failure(merged, trouble)
        return await self._mending_part(merged, trouble)

    def _tell(self, merged: MergedParts) -> None:
        """How the merge went, in the trace."""
        count = len(merged.kept.changes) if merged.kept is not None else 0
        apart = "".join(f"; {conflict.path}: {conflict.why}" for conflict in merged.conflicts)
        self.turn.record(
            "tool",
            self.turn.services.clock.now(),
            tool="merge",
            mode="parts",
            outcome="failed" if merged.conflicts else "ok",
            observation=f"{len(self.results)} parts, {count} changes{apart}",
            evidence=conflict_text(merged.conflicts)[:_MOST_OF_A_CHECK],
        )

    def _lost(self) -> ErrorDetail | None:
        """Why a part ended in a way that no further part can mend (no budget, no time, no mind)."""
        results = [part.result for part in parts_in_force(self.work) if part.result is not None]
        errors = [result.error for result in results if result.error is not None]
        return next((error for error in errors if error.reason not in _MENDABLE), None)

    def _trouble(self, merged: MergedParts) -> ErrorDetail | None:
        """What has to be mended before everything can be judged."""
        told, reason, neuron = [], "check_failed", self.turn.definition.name
        for part in parts_in_force(self.work):
            number = part.position + 1
            if part.result is None:
                told.append(f"Part {number} was not begun: {part.payload.objective}")
            elif part.result.error is not None:
                error = part.result.error
                reason, neuron = error.reason, error.neuron
                told.append(f"Part {number} failed ({error.reason}): {error.message}\n{_end(error.evidence)}")
        if merged.conflicts:
            reason = "conflict"
            told.append(f"These changes do not go together:\n{conflict_text(merged.conflicts)}")
        if not told:
            return None
        text = "\n\n".join(told)
        return ErrorDetail(reason=reason, message=_first_line(text), neuron=neuron, evidence=text)  # type: ignore[arg-type]

    async def _judged(self, merged: MergedParts) -> ResultPayload | ErrorDetail:
        """Run the whole task's check on everything together; on success carry it over."""
        turn = self.turn
        begins = merged.kept.folder if merged.kept is not None else None
        async with open_bench(turn, begins=begins) as bench:
            if bench is None:
                raise TurnFailed(reason="workspace_unreachable", detail="the task has no workspace")
            if bench.snapshot.accepted is not None:
                # All was carried over, and the process died before it could say so.
                note = bench.snapshot.accepted.note
                await bench.snapshot.discard()
                return turn.taken_up(note)
            report = await self._check(bench)
            if report is not None and not report.passed:
                await bench.snapshot.discard()
                text = f"Everything together, the check `{report.command}` fails:\n{_end(report.output)}"
                return ErrorDetail(
                    reason="check_failed",
                    message=f"the check `{report.command}` fails on the merged parts",
                    neuron=turn.definition.name,
                    evidence=text,
                )
            result = ResultPayload(
                ok=True,
                answer=await _synthesis(turn, self.work),
                check=report,
                tally=_spent(self.results).plus(turn.tally()),
            )
            return await self._hand_over(bench, result)

    async def _check(self, bench: Workbench) -> CheckReport | None:
        """The user's command: it runs as an implementer's check does, and leaves nothing behind."""
        turn = self.turn
        if not turn.task.check:
            return None
        started = turn.services.clock.now()
        judge = Workbench(bench.snapshot, "L2", bench.settings)
        try:
            report = await run_check(judge, turn.task.check, most_seconds=turn.seconds_left)
            await bench.snapshot.restore()
        except WorkbenchError as error:
            raise TurnFailed(reason="tool_failed", detail=str(error)) from error
        turn.record(
            "check",
            started,
            mode="parts",
            outcome="ok" if report.passed else "failed",
            evidence=report.output[-2000:],
        )
        failpoint("parts-checked")
        return report

    async def _hand_over(self, bench: Workbench, result: ResultPayload) -> ResultPayload:
        labels = self.turn.task.labels
        result = result.model_copy(update={"changes": (await bench.snapshot.keep()).shown()})
        if labels.get(REVIEW) != "yes" and not labels.get(STAGED):
            try:
                await bench.snapshot.accept(self.turn.with_steps(result))
            except WorkbenchError as error:
                reason: Literal["conflict", "tool_failed"] = (
                    "conflict" if isinstance(error, WorkspaceConflict) else "tool_failed"
                )
                detail = ErrorDetail(reason=reason, message=str(error), neuron=self.turn.definition.name)
                result = result.model_copy(update={"ok": False, "error": detail})
        failpoint("parts-carried")
        await bench.snapshot.discard()
        return result

    async def _mending_part(self, merged: MergedParts, trouble: ErrorDetail) -> Part:
        """One further part, as the neuron that divided the task wants it."""
        turn = self.turn
        answers = _answers(self.work)
        messages = compose_mending(turn.promptgram, turn.task, answers, trouble.evidence)
        reply = await turn.think(messages, kind="split", schema=split_schema(1))
        try:
            split = parse_split(reply.parsed, width=1)
        except ReplyUnusable as error:
            raise TurnFailed(reason="invalid_output", detail=str(error)) from error
        started = turn.services.clock.now()
        choice = await route(turn)
        turn.record("pass", started, route=record_parts([hand_over(turn, choice)]))
        labels = {name: text for name, text in turn.task.labels.items() if name != DIVIDE}
        own = new_id(now=turn.services.clock.now())
        labels |= {STAGED: own, PART_SIGNAL: own, MENDS: "yes"}
        if merged.kept is not None:
            labels[BEGINS_WITH] = merged.name
        objective = split.parts[0].objective
        payload = turn.task.model_copy(
            update={
                "objective": objective,
                "design": f"{part_design(turn.task, split.approach)}\n\n{trouble.evidence}",
                "check": turn.task.check,
                "targets": [],
                "labels": labels,
                "depth": turn.task.depth + 1,
            }
        )
        return Part(position=len(self.work.parts), target=choice.target, payload=payload)

    async def _failure(self, merged: MergedParts, error: ErrorDetail) -> ResultPayload:
        """Nothing is carried over; what was made is kept as the task's diff."""
        changes: list[FileChange] = merged.kept.shown() if merged.kept is not None else []
        if merged.kept is not None:
            try:
                async with open_bench(self.turn, begins=merged.kept.folder) as bench:
                    if bench is not None and bench.snapshot.accepted is None:
                        changes = (await bench.snapshot.keep()).shown()
                        await bench.snapshot.discard()
            except (TurnFailed, WorkbenchError, OSError):
                pass  # the workspace is not any more what it was: the merged change set itself is shown
        message = f"{error.message}. No file was changed; `hal9 diff` shows what had been done."
        return ResultPayload(
            ok=False,
            answer=next((result.answer for result in reversed(self.results) if result.answer), ""),
            changes=changes,
            error=error.model_copy(update={"message": message, "evidence": _end(error.evidence)}),
            tally=_spent(self.results).plus(self.turn.tally()),
        )


async def _synthesis(turn: Turn, work: Work) -> str:
    reply = await turn.think(compose_synthesis(turn.promptgram, turn.task, _answers(work)), kind="synthesise")
    return reply.text.strip()


def _answers(work: Work) -> list[tuple[str, str]]:
    return [(part.payload.objective, part.result.answer) for part in work.parts if part.result is not None]


def _spent(results: Sequence[ResultPayload]) -> Tally:
    spent = Tally()
    for result in results:
        spent = spent.plus(result.tally)
    return spent


def _last_of_each(results: Sequence[ResultPayload]) -> list[FileChange]:
    """Changes of all parts; of several to one file the last content stands, diffs follow each other."""
    merged: dict[str, FileChange] = {}
    for change in (change for result in results for change in result.changes):
        earlier = merged.get(change.path)
        if earlier is None:
            merged[change.path] = change
        else:
            action = "created" if earlier.action == "created" else change.action
            merged[change.path] = change.model_copy(
                update={"action": action, "diff": earlier.diff + change.diff}
            )
    return list(merged.values())


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0][:500]


def _end(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _MOST_OF_A_CHECK else f"…{text[-_MOST_OF_A_CHECK:]}"
