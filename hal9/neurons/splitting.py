"""L4 and L3: hand a small task on as it is, or divide it; gather the parts' results into one answer."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

from hal9.errors.neurons import ReplyUnusable, TurnFailed
from hal9.journal.work import Part, Work
from hal9.neurons.prompting import compose_split, compose_synthesis
from hal9.neurons.replies import parse_split, split_schema
from hal9.neurons.turn import Turn
from hal9.signals import (
    ErrorDetail,
    FileChange,
    ResultPayload,
    Route,
    RoutingDecision,
    Tally,
    TaskPayload,
    record_parts,
    record_route,
)

__all__ = ["gather", "plan_parts", "task_class"]

_MOST_OF_WHOLE = 6000  # characters

# So that the reason is told before the deadline ends the turn without one.
_GOODBYE_SECONDS = 1.0


def task_class(task: TaskPayload) -> str:
    """What routing keeps separate success rates for."""
    return task.scope.task_family or ("code" if task.workspace or task.check else "general")


async def plan_parts(turn: Turn) -> list[Part]:
    """Decide what goes to the next layer, and to whom.

    Raises:
        TurnFailed: no neuron to send to, a loop, too deep, or the mind failed.
    """
    limits = turn.settings.cluster
    mark = f"{turn.definition.name}:{hashlib.sha256(turn.task.objective.encode()).hexdigest()[:16]}"
    if mark in turn.task.ancestry:
        raise TurnFailed(
            reason="loop_detected", detail=f"{turn.definition.name} was given the same objective before"
        )
    if turn.task.depth >= limits.max_depth:
        raise TurnFailed(reason="too_deep", detail=f"split {turn.task.depth} times (cluster.max_depth)")
    turn.task = turn.task.model_copy(
        update={"depth": turn.task.depth + 1, "ancestry": [*turn.task.ancestry, mark]}
    )
    if _is_small(turn):
        started = turn.services.clock.now()
        choice = await _route(turn)
        turn.record("pass", started, route=record_route(_chosen(turn, choice)))
        return [Part(position=0, target=choice.target, payload=turn.task)]
    return await _split(turn)


def _is_small(turn: Turn) -> bool:
    rule = turn.settings.neurons.pass_through
    return rule.enabled and len(turn.task.objective.split()) <= rule.max_words


async def _split(turn: Turn) -> list[Part]:
    recalled = await turn.recall()
    width = min(turn.meta.width, turn.settings.cluster.max_children)
    messages = compose_split(
        turn.promptgram, turn.task, width=width, repository_map=await _map(turn), recalled=recalled
    )
    reply = await turn.think(messages, kind="split", schema=split_schema(width))
    try:
        split = parse_split(reply.parsed, width=width)
    except ReplyUnusable as error:
        raise TurnFailed(reason="invalid_output", detail=str(error)) from error
    planned = split.parts
    started = turn.services.clock.now()
    choices = [await _route(turn) for _ in planned]
    turn.record("pass", started, route=record_parts([_chosen(turn, choice) for choice in choices]))
    if len(planned) == 1:
        # The user's own words go down unchanged; what this layer thought about them is the design.
        design = "\n\n".join(text for text in (turn.task.design, split.approach) if text)
        task = turn.task.model_copy(update={"design": design})
        return [Part(position=0, target=choices[0].target, payload=task)]
    last = len(planned) - 1
    return [
        Part(
            position=position,
            target=choices[position].target,
            payload=turn.task.model_copy(
                update={
                    "objective": part.objective,
                    "design": _part_design(turn.task, split.approach),
                    # Parts share the workspace and run in order: only after the last can the check pass.
                    "check": turn.task.check if position == last else None,
                    "targets": [],
                }
            ),
        )
        for position, part in enumerate(planned)
    ]


def _part_design(task: TaskPayload, approach: str) -> str:
    """What a part is told besides its own objective: the whole task in the user's words, and the plan.

    A part's objective alone has lost what the user wrote: the traceback, the example, the names.
    """
    whole = task.objective
    if len(whole) > _MOST_OF_WHOLE:
        half = _MOST_OF_WHOLE // 2
        whole = f"{whole[:half]}\n[…]\n{whole[-half:]}"
    told = [task.design, approach, f"The whole task, of which this is one part:\n{whole}"]
    return "\n\n".join(text for text in told if text)


async def _route(turn: Turn) -> RoutingDecision:
    """Choose who gets a part; a neuron that is away for a moment is waited for, until the deadline."""
    name, wanted = turn.definition.name, turn.meta.next
    if not wanted:
        raise TurnFailed(reason="no_route", detail=f"{name} names no neuron to pass work on to (next)")
    deadline = turn.task.grant.deadline
    patience = None if deadline is None else max(deadline - turn.services.clock.now() - _GOODBYE_SECONDS, 0.0)
    try:
        async with asyncio.timeout(patience):
            candidates = await turn.services.directory.wait_candidates(
                wanted, exclude=name, task_id=turn.signal.task_id
            )
    except TimeoutError:
        detail = f"no neuron among {', '.join(wanted)} was reachable before the task's deadline"
        raise TurnFailed(reason="no_route", detail=detail) from None
    return turn.services.router.choose(
        turn.definition.name,
        tuple(sorted(candidates)),
        task_class=task_class(turn.task),
        task_id=turn.signal.task_id,
    )


def _chosen(turn: Turn, decision: RoutingDecision) -> Route:
    return Route.chosen(turn.definition.name, decision, task_class=task_class(turn.task))


async def _map(turn: Turn) -> str:
    tokens = turn.settings.repository_map.tokens.get(turn.definition.layer_name, 0)
    if turn.task.workspace is None or tokens == 0:
        return ""
    return await turn.services.mapper.map(Path(turn.task.workspace), turn.task.objective, tokens=tokens)


async def gather(turn: Turn, work: Work) -> ResultPayload:
    """One result out of the parts' results; a single part's answer goes up as it is.

    Raises:
        TurnFailed: the mind failed while synthesising.
    """
    results = [part.result for part in work.parts if part.result is not None]
    spent = Tally()
    for result in results:
        spent = spent.plus(result.tally)
    if len(results) == 1 and len(work.parts) == 1:
        return results[0].model_copy(update={"steps": []})
    failed = next((result for result in results if not result.ok), None)
    if failed is not None:
        return failed.model_copy(
            update={"tally": spent, "steps": [], "changes": _merged(results), "answer": failed.answer}
        )
    answers = [(part.payload.objective, part.result.answer) for part in work.parts if part.result is not None]
    reply = await turn.think(compose_synthesis(turn.promptgram, turn.task, answers), kind="synthesise")
    return ResultPayload(
        ok=True,
        answer=reply.text.strip(),
        changes=_merged(results),
        check=results[-1].check,
        tally=spent.plus(turn.tally()),
    )


def _merged(results: Sequence[ResultPayload]) -> list[FileChange]:
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


def failed_result(
    reason: str, detail: str, *, neuron: str, tally: Tally, evidence: str = ""
) -> ResultPayload:
    """The result of a turn that could not be carried out."""
    error = ErrorDetail(reason=reason, message=detail, neuron=neuron, evidence=evidence)  # type: ignore[arg-type]
    return ResultPayload(ok=False, error=error, tally=tally)
