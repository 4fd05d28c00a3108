"""Endpoints about learning: everything to see, and what a person may do about it."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hal9.api.endpoint import Call, Endpoint, Handler
from hal9.api.models import Answer, ApprovalIn
from hal9.api.requests import ask
from hal9.api.tokens import TokenScope
from hal9.api.views import VIEWS, View
from hal9.errors.learning import ApprovalStale

__all__ = ["LEARNING_ENDPOINTS", "REQUEST_PATHS"]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NothingIn(_In):
    """No choice."""


class RollbackIn(_In):
    """One change, or everything since a moment (epoch seconds)."""

    change: Annotated[str, Field(max_length=200)] = ""
    moment: Annotated[float | None, Field(ge=0, le=1e11)] = None


class NeuronIn(_In):
    """A neuron by its name."""

    neuron: Annotated[str, Field(min_length=1, max_length=200)]


class ChangeIn(ApprovalIn):
    """A change by its id, or a unique end of it."""

    change: Annotated[str, Field(min_length=1, max_length=200)]


class ConsolidateIn(_In):
    """Whether only to say what would happen."""

    dry_run: bool = False


class ImportIn(_In):
    """A pack or an archive as text."""

    text: Annotated[str, Field(max_length=8_000_000)]
    file: Annotated[str, Field(max_length=300)]
    workspace: Annotated[str | None, Field(max_length=4096)] = None
    key: Annotated[str | None, Field(max_length=200)] = None


def _view(view: View) -> Handler:
    async def handle(call: Call) -> Any:
        return await view(call.services.cluster, call.query)

    return handle


def _request(kind: str) -> Handler:
    async def handle(call: Call) -> Answer:
        return await ask(call.services, kind, call.body.model_dump(exclude_defaults=True))

    return handle


async def _approve(call: Call) -> Answer:
    body: ChangeIn = call.body
    view, query, _ = VIEWS["change"]
    found = await view(call.services.cluster, query(id=body.change))
    # What was looked at counts; without it what waits now, as on the command line.
    if not str(found["hash"]).startswith(body.hash):
        raise ApprovalStale(change=found["id"], shown=body.hash, found=found["hash"])
    return await ask(call.services, "approve", {"change": found["id"], "hash": found["hash"]})


async def _deny(call: Call) -> Answer:
    return await ask(call.services, "deny", {"change": call.body.change, "why": call.body.why})


_ACTIONS: tuple[tuple[str, str, TokenScope, type[BaseModel], Callable[..., Any], str], ...] = (
    ("approve", "/v1/approvals/approve", "approve", ChangeIn, _approve, "Approve a change that waits."),
    ("deny", "/v1/approvals/deny", "approve", ChangeIn, _deny, "Refuse a change that waits."),
    ("rollback", "/v1/ledger/rollback", "approve", RollbackIn, _request("rollback"), "Undo a change."),
    ("pause", "/v1/learning/pause", "admin", NothingIn, _request("pause"), "Stop all learning."),
    ("resume", "/v1/learning/resume", "admin", NothingIn, _request("resume"), "Learn again."),
    ("freeze", "/v1/learning/freeze", "admin", NeuronIn, _request("freeze"), "Let a neuron learn nothing."),
    ("unfreeze", "/v1/learning/unfreeze", "admin", NeuronIn, _request("unfreeze"), "Let it learn again."),
    (
        "sleep",
        "/v1/memories/sleep",
        "admin",
        ConsolidateIn,
        _request("sleep"),
        "Consolidate what was learned.",
    ),
    ("import", "/v1/memories/import", "admin", ImportIn, _request("import"), "Take in a pack or an archive."),
)

REQUEST_PATHS: dict[str, str] = {kind: path for kind, path, *_ in _ACTIONS}
"""Where each request to the daemon goes over HTTP; feedback has the task in its path."""

LEARNING_ENDPOINTS: tuple[Endpoint, ...] = (
    *(
        Endpoint(
            method="GET",
            path=f"/v1/{name}",
            scope="read",
            handler=_view(view),
            summary=summary,
            tag="learning",
            query=query,
            returns=Any,
        )
        for name, (view, query, summary) in VIEWS.items()
    ),
    *(
        Endpoint(
            method="POST",
            path=path,
            scope=scope,
            handler=handler,
            summary=summary,
            tag="learning",
            body=body,
            returns=Answer,
        )
        for _, path, scope, body, handler, summary in _ACTIONS
    ),
)
