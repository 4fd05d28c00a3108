"""L4 and L3: hand a small task on as it is, or divide it, where possible after a look at the workspace."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hal9.errors.neurons import ReplyUnusable, TurnFailed
from hal9.journal.work import Part
from hal9.neurons.dividing.planning import can_look, look_and_plan
from hal9.neurons.dividing.suiting import suited
from hal9.neurons.messages.prompting import compose_split
from hal9.neurons.messages.replies import PartPlan, Split, parse_split, split_schema
from hal9.neurons.rule_files import with_rule_files
from hal9.neurons.turn import Turn
from hal9.signals import (
    ErrorDetail,
    ResultPayload,
    Route,
    RoutingDecision,
    Tally,
    TaskPayload,
    new_id,
    record_parts,
    record_route,
)
from hal9.signals.labels import AFTER, DIVIDE, MENDS, PART_SIGNAL, STAGED

__all__ = ["failed_result", "hand_over", "part_design", "pass_on", "plan_parts", "route", "task_class"]

_MOST_OF_WHOLE = 6000  # characters
# What a divided task's labels say of it is not true of its parts.
_OF_THE_WHOLE = frozenset({AFTER, DIVIDE, MENDS, PART_SIGNAL, STAGED})
_OF_THE_SIGNAL = frozenset({AFTER, MENDS, PART_SIGNAL})

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
    _descend(turn)
    if _is_small(turn):
        started = turn.services.clock.now()
        return [_whole_part(turn, await route(turn), started)]
    return await _split(turn)


def pass_on(turn: Turn) -> list[Part] | None:
    """What `plan_parts` decides of a small task, when somebody is there to take it; None when it has to wait.

    Raises:
        TurnFailed: a loop, or too deep.
    """
    if not _is_small(turn):
        return None
    started = turn.services.clock.now()
    candidates = turn.services.directory.candidates(turn.meta.next, exclude=turn.definition.name)
    if not candidates:
        return None
    _descend(turn)
    return [_whole_part(turn, _choice(turn, candidates, turn.task.objective), started)]


def _descend(turn: Turn) -> None:
    """Note in the task that this neuron had it."""
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


def _is_small(turn: Turn) -> bool:
    rule = turn.settings.neurons.pass_through
    if turn.task.labels.get(DIVIDE) == "yes":
        return False
    return rule.enabled and len(turn.task.objective.split()) <= rule.max_words


async def _split(turn: Turn) -> list[Part]:
    width = min(turn.meta.width, turn.settings.cluster.max_children)
    if await can_look(turn):
        planned = await look_and_plan(turn, width=width, drawn=await _map(turn))
        if planned.plan is None:
            return await _whole(turn, planned.why)
        approach, parts = planned.plan.approach, list(planned.plan.parts)
    else:
        split = await _thought_up(turn, width)
        approach = split.approach
        # Whoever has not looked does not know which files a part writes: one goes on where the other ended.
        parts = [
            PartPlan(title=part.title, objective=part.objective, after=[number] if number else [])
            for number, part in enumerate(split.parts)
        ]
    started = turn.services.clock.now()
    choices = [await route(turn, part.objective) for part in parts]
    turn.record("pass", started, route=record_parts([hand_over(turn, choice) for choice in choices]))
    if len(parts) == 1:
        # The user's own words go down unchanged; what this layer thought about them is the design.
        return [_only_part(turn, choices[0], approach, parts[0])]
    return [
        Part(position=position, target=choices[position].target, payload=payload)
        for position, payload in enumerate(_payloads(turn, approach, parts))
    ]


async def _thought_up(turn: Turn, width: int) -> Split:
    """A split in one answer, out of the task's text and the map."""
    recalled = await turn.recall()
    composed = compose_split(
        turn.promptgram, turn.task, width=width, repository_map=await _map(turn), recalled=recalled
    )
    messages = await with_rule_files(turn, None, composed)
    reply = await turn.think(messages, kind="split", schema=split_schema(width))
    try:
        return parse_split(reply.parsed, width=width)
    except ReplyUnusable as error:
        raise TurnFailed(reason="invalid_output", detail=str(error)) from error


async def _whole(turn: Turn, why: str) -> list[Part]:
    """The task as it is, when looking came to no plan; the trace says why."""
    started = turn.services.clock.now()
    told = f"{why}; the task is passed on whole"
    return [_whole_part(turn, await route(turn), started, evidence=told)]


def _whole_part(turn: Turn, choice: RoutingDecision, started: float, *, evidence: str = "") -> Part:
    """The task as it is, as the only part; recorded as passed on."""
    turn.record("pass", started, route=record_route(hand_over(turn, choice)), evidence=evidence)
    return Part(position=0, target=choice.target, payload=_as_it_is(turn.task))


def _as_it_is(task: TaskPayload) -> TaskPayload:
    """For one neuron below: what is true of this signal alone is left out."""
    labels = {name: text for name, text in task.labels.items() if name not in _OF_THE_SIGNAL}
    return task.model_copy(update={"labels": labels})


def _only_part(turn: Turn, decision: RoutingDecision, approach: str, part: PartPlan) -> Part:
    # What was found out about files and cases stands in the objective of a plan's part.
    found = part.objective if part.files else ""
    design = "\n\n".join(text for text in (turn.task.design, approach, found) if text)
    return Part(
        position=0, target=decision.target, payload=_as_it_is(turn.task).model_copy(update={"design": design})
    )


def _payloads(turn: Turn, approach: str, parts: Sequence[PartPlan]) -> Iterator[TaskPayload]:
    """The parts' tasks. Where changes can be kept they are merged at the end, and judged together there."""
    merged = turn.task.workspace is not None and turn.services.changes is not None
    last = len(parts) - 1
    labels = {name: text for name, text in turn.task.labels.items() if name not in _OF_THE_WHOLE}
    for position, part in enumerate(parts):
        check: str | None
        own = new_id(now=turn.services.clock.now())
        if merged:
            after = ",".join(str(number - 1) for number in sorted(set(part.after)))
            told = {STAGED: own, **({AFTER: after} if after else {})}
            # Whoever begins with everything else can be judged by the whole task's check.
            check = part.check or (turn.task.check if position == last and _on_all(parts) else None)
        else:
            # They share the workspace and run in order: only after the last can the check pass.
            told = {}
            check = turn.task.check if position == last else None
        told[PART_SIGNAL] = own
        yield turn.task.model_copy(
            update={
                "objective": part.objective,
                "design": part_design(turn.task, approach),
                "check": check,
                "targets": part.files,
                "labels": {**labels, **told},
            }
        )


def _on_all(parts: Sequence[PartPlan]) -> bool:
    """Whether the last part builds on all others."""
    found, waiting = set[int](), set(parts[-1].after)
    while waiting:
        found |= waiting
        waiting = {number for one in waiting for number in parts[one - 1].after} - found
    return len(found) == len(parts) - 1


def part_design(task: TaskPayload, approach: str) -> str:
    """What a part is told besides its own objective: the whole task in the user's words, and the plan.

    A part's objective alone has lost what the user wrote: the traceback, the example, the names.
    """
    whole = task.objective
    if len(whole) > _MOST_OF_WHOLE:
        half = _MOST_OF_WHOLE // 2
        whole = f"{whole[:half]}\n[…]\n{whole[-half:]}"
    told = [task.design, approach, f"The whole task, of which this is one part:\n{whole}"]
    return "\n\n".join(text for text in told if text)


async def route(turn: Turn, objective: str = "") -> RoutingDecision:
    """Choose who gets a part that asks for this (the whole task when not given).

    A neuron that is away for a moment is waited for, until the deadline.
    """
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
    return _choice(turn, candidates, objective or turn.task.objective)


def _choice(turn: Turn, candidates: Iterable[str], objective: str) -> RoutingDecision:
    return turn.services.router.choose(
        turn.definition.name,
        suited(candidates, turn.task, turn.services.purposes),
        task_class=task_class(turn.task),
        task_id=turn.signal.task_id,
        text=objective,
    )


def hand_over(turn: Turn, decision: RoutingDecision) -> Route:
    """A routing decision as it stands in the trace."""
    return Route.chosen(turn.definition.name, decision, task_class=task_class(turn.task))


async def _map(turn: Turn) -> str:
    tokens = turn.settings.repository_map.tokens.get(turn.definition.layer_name, 0)
    if turn.task.workspace is None or tokens == 0:
        return ""
    return await turn.services.mapper.map(Path(turn.task.workspace), turn.task.objective, tokens=tokens)


def failed_result(
    reason: str, detail: str, *, neuron: str, tally: Tally, evidence: str = ""
) -> ResultPayload:
    """The result of a turn that could not be carried out."""
    error = ErrorDetail(reason=reason, message=detail, neuron=neuron, evidence=evidence)  # type: ignore[arg-type]
    return ResultPayload(ok=False, error=error, tally=tally)
