"""Who answers whom: a result goes to who asked, and is taken only from who was given the part."""

import logging

from hal9.bus import Outcome
from hal9.journal import dead_letters
from hal9.journal.work import Work
from hal9.signals import ResultPayload, Signal

__all__ = ["answer_to", "given_to", "refused_result", "refused_signal"]

_log = logging.getLogger("hal9.neurons")


def answer_to(asked: Signal, result: ResultPayload, *, now: float, ttl_seconds: float) -> Signal:
    """The result of a task signal, in the name of the neuron that was asked."""
    return Signal.create(
        result,
        task_id=asked.task_id,
        source=asked.target,
        target=asked.source,
        now=now,
        ttl_seconds=ttl_seconds,
        cause=asked,
        layers=(asked.layer_to, asked.layer_from),
    )


def given_to(work: Work, result: Signal) -> bool:
    """Whether the part that this result answers was given to its sender."""
    return any(
        part.signal_id == result.cause_id and part.target == result.source
        for part in work.parts
        if part.signal_id is not None
    )


def refused_result(signal: Signal, *, now: float) -> Outcome:
    """Keep a result that nobody asked its sender for as a dead letter; it changes nothing."""
    return refused_signal(signal, f"{signal.source!r} was not given this part of {signal.task_id}", now=now)


def refused_signal(signal: Signal, detail: str, *, now: float) -> Outcome:
    """Keep a signal whose sender may not send it as a dead letter with reason "forged"."""
    _log.warning("%s refused a %s signal: %s", signal.target, signal.kind, detail)
    letter = dead_letters.DeadLetter.of(
        signal.model_dump_json().encode(),
        topic=f"{signal.target}/{signal.kind}/{signal.source}",
        stage="handle",
        reason="forged",
        detail=detail,
        at=now,
        signal_id=signal.id,
    )
    return Outcome(writes=(lambda connection: dead_letters.insert(connection, [letter]),))
