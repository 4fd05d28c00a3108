"""Scripts that commands name as `scripted:tests.trainer.scripts:NAME`."""

import os
import time
from typing import Any

from hal9.minds.protocol import Request
from tests.trainer.support import OUTER, PROPOSAL

STEERS = ("weight_tests", "weight_pairs", "weight_callees")


def inner(request: Request) -> Any:
    """A proposal that depends on the request alone; the process dies by kill -9 at the episode it is told to."""
    fatal = os.environ.get("DIE_AT_CALL")
    if fatal is not None:
        inner.calls = getattr(inner, "calls", 0) + 1  # type: ignore[attr-defined]
        if inner.calls == int(fatal):  # type: ignore[attr-defined]
            os.kill(os.getpid(), 9)
    offered = list((request.schema or {})["properties"]["proposed_changes"]["properties"])
    name = offered[(request.seed or 0) % len(offered)]
    return {**PROPOSAL, "proposed_changes": {name: ["increase", "medium", "scripted"]}}


def outer(request: Request) -> Any:
    """An edit that depends on the request alone."""
    name = STEERS[(request.seed or 0) % len(STEERS)]
    edit = {**OUTER["edits"][0], "content": f"Raise {name} at step {request.seed}."}
    return {**OUTER, "edits": [edit]}


def slow_inner(request: Request) -> Any:
    """Like `inner`, with a pause, so that a test can come in between."""
    time.sleep(0.3)
    return inner(request)
