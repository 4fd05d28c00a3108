"""Endpoints for a person's own rules: give one, take one back; and for what is asked of hosts."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from hal9.api.endpoint import Call, Endpoint
from hal9.api.views import rule_as_json
from hal9.errors.api import RequestInvalid
from hal9.learning.rules.taught import rule_place, teach, withdraw
from hal9.memory import ANY, MemoryStore, RuleStore

__all__ = ["RULE_ENDPOINTS"]

T = TypeVar("T")


class RuleIn(BaseModel):
    """A rule in a person's own words."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=20_000, description="The rule.")]
    holds_for: Annotated[
        str, Field(max_length=500, description="Where: project, a folder, a file, a glob, or a kind of work.")
    ] = "project"
    workspace: Annotated[
        str,
        Field(
            max_length=4096,
            description="The repository it holds in, as `hal9 rules --json` names it; empty: in every one.",
        ),
    ] = ""


class Remembered(BaseModel):
    """What became of a rule."""

    rule: Annotated[int | None, Field(description="Its number; null when the words made none.")]
    said: Annotated[list[str], Field(description="How it was understood, in sentences.")]


class DrainIn(BaseModel):
    """Which host, and whether it is to work again."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, Field(min_length=1, max_length=200, description="Its name, as the status has it.")]
    undo: bool = False


async def _written(call: Call, write: Callable[[MemoryStore], T]) -> T:
    """Write into the memory file, as `hal9 remember` does beside the daemon."""
    from hal9.cluster.services.learning import choose_embedder  # noqa: PLC0415 - loads the daemon's part of learning

    cluster = call.services.cluster
    wanted = cluster.current_settings().memory.embedder

    def run() -> T:
        embedder, _notice = choose_embedder(wanted)
        with MemoryStore(cluster.home.memory, embedder=embedder, clock=call.services.clock) as store:
            return write(store)

    return await asyncio.to_thread(run)


async def _remember(call: Call) -> Remembered:
    body: RuleIn = call.body
    scope = rule_place(body.holds_for, body.workspace or ANY)
    cause = f"POST /v1/rules by {call.token.name}"
    number, said = await _written(call, lambda store: teach(store, body.text, scope, cause=cause))
    return Remembered(rule=number, said=said)


async def _forget(call: Call) -> dict[str, Any]:
    cause = f"POST /v1/rules/…/forget by {call.token.name}"
    given = call.path("id")
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise RequestInvalid(problems=(f"id: {given[:40]!r} is no number of a rule",))
    number = int(given)

    def write(store: MemoryStore) -> dict[str, Any]:
        return rule_as_json(RuleStore(store), withdraw(store, number, cause=cause))

    return await _written(call, write)


async def _drain(call: Call) -> dict[str, Any]:
    await call.services.cluster.drain(call.body.host, drain=not call.body.undo)
    return {"host": call.body.host, "draining": not call.body.undo}


RULE_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/rules",
        scope="approve",
        handler=_remember,
        summary="Give a rule in your own words; it holds at once.",
        tag="learning",
        body=RuleIn,
        returns=Remembered,
    ),
    Endpoint(
        method="POST",
        path="/v1/rules/{id}/forget",
        scope="approve",
        handler=_forget,
        summary="Take a rule back; it never returns by itself.",
        tag="learning",
        returns=Any,
    ),
    Endpoint(
        method="POST",
        path="/v1/hosts/drain",
        scope="admin",
        handler=_drain,
        summary="Let a host take up nothing new (or work again); what it has begun it ends.",
        tag="cluster",
        body=DrainIn,
        returns=Any,
    ),
)
