"""Named places where a process can be made to die, so that tests can prove that nothing is lost.

Unarmed (always, outside of tests) a failpoint costs one dictionary look-up. Armed through the environment,
`HAL9_FAILPOINT=published:3`, the process kills itself with SIGKILL the third time it gets there: no handler
runs, no buffer is flushed, exactly as if the machine's out-of-memory killer had struck.
"""

import os
import signal
from functools import cache

from hal9.errors.journal import UnknownFailpoint

__all__ = ["ENVIRONMENT_VARIABLE", "FAILPOINTS", "PLAN_FAILPOINTS", "TURN_FAILPOINTS", "failpoint"]

ENVIRONMENT_VARIABLE = "HAL9_FAILPOINT"

FAILPOINTS = (
    "outbox-before-commit",  # a producer asked, nothing is durable yet
    "outbox-committed",  # durable, not yet published
    "published",  # handed to the broker's socket
    "received",  # read from the socket, nothing is durable yet
    "inbox-committed",  # durable at the receiver, broker and sender do not know
    "mqtt-acked",  # the broker knows, the sender does not
    "e2e-acked",  # the acknowledgement has left
    "ack-received",  # the sender knows, its outbox row still exists
    "outbox-cleared",  # the sender forgot the signal
    "handler-claimed",  # the lease is written, the handler has not begun
    "handler-started",
    "handler-finished",  # the outcome exists in memory only
    "outcome-before-commit",  # inside the transaction
    "outcome-committed",  # durable, what it sends is not yet published
    "dead-lettered",
    "resent",
)

TURN_FAILPOINTS = (
    "turn-thought",  # the mind answered, nothing is durable yet
    "turn-reply-recorded",  # durable, and with it that its first call begins, when nobody has to be asked
    "turn-call-begun",  # durable that it begins, it has not begun
    "turn-call-ran",  # it ended, that exists in memory only
    "turn-call-marked",  # its effects and result are marked in the copy, its result is not in the log
    "turn-result-recorded",
)

PLAN_FAILPOINTS = (
    "plan-made",  # the plan is in the log, the parts are not
    "part-recorded",  # a part's result is durable, what follows from it is not
    "parts-merged",  # the merged change set is on disk, nothing is judged
    "parts-checked",  # everything together was judged, that exists in memory only
    "parts-carried",  # the workspace is changed, the task does not know
)


_ALL = (*FAILPOINTS, *TURN_FAILPOINTS, *PLAN_FAILPOINTS)


@cache
def _armed() -> dict[str, list[int]]:
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not text:
        return {}
    armed: dict[str, list[int]] = {}
    for item in text.split(","):
        name, _, count = item.partition(":")
        if name not in _ALL:
            raise UnknownFailpoint(name=name, known=_ALL)
        armed[name] = [int(count or 1)]
    return armed


def failpoint(name: str) -> None:
    """Die here if the environment says so."""
    armed = _armed()
    if not armed:
        return
    left = armed.get(name)
    if left is None:
        return
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
