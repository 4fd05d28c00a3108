"""Requests to the daemon on behalf of a client: kept in the journal, done once, answered when possible."""

import json
from typing import Any

from hal9.api.models import Answer
from hal9.api.services import Services
from hal9.errors.api import ApiFailed

__all__ = ["ask"]

_PATIENCE_SECONDS = 30.0


async def ask(services: Services, kind: str, body: dict[str, Any], *, task_id: str | None = None) -> Answer:
    """Put a request and wait a while for its answer; `queued` says that there is none yet.

    Raises:
        TaskUnknown: no such task.
        ApiFailed: the cluster said no, in its own words.
    """
    cluster = services.cluster
    full = await cluster.resolve(task_id) if task_id is not None else None
    number = await cluster.request(kind, body, task_id=full)
    status = await cluster.status()
    if status.get("state") not in ("ready", "starting"):
        return Answer(request=number, queued=True)
    try:
        told: dict[str, Any] = json.loads(await cluster.answer(number, timeout_seconds=_PATIENCE_SECONDS))
    except TimeoutError:
        return Answer(request=number, queued=True)
    if "error" in told:
        raise ApiFailed(text=str(told["error"]))
    return Answer(request=number, **told)
