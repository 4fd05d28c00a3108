"""A mind whose every call is reserved in the budget book before it is made and settled after it."""

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass, replace

from hal9.budgets import BudgetStore, Reservation, Spend
from hal9.errors.base import MindError
from hal9.errors.budgets import LimitExceeded
from hal9.errors.minds import (
    AgentMissing,
    GrammarUnsupported,
    MindBroken,
    MindClosed,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    ModelMissing,
    ReplayMiss,
    RuntimeMissing,
    ScriptExhausted,
    ToolsUnsupported,
)
from hal9.minds.prices import Quote
from hal9.minds.protocol import Mind, OnToken, Reply, Request, Usage
from hal9.minds.wrapping import WrappingMind

__all__ = ["NO_TASK", "BudgetedMind"]

_LOOK_AGAIN_SECONDS = 0.5
NO_TASK = "none"
"""The task that calls are charged to whose request names none in `metadata["task_id"]`."""

# After these the provider has certainly computed nothing. After any other failure (a timeout, a lost
# connection) it may have, and nobody will ever say how much: the whole reservation counts as spent.
_FREE_FAILURES = (
    AgentMissing,
    GrammarUnsupported,
    MindClosed,
    MindContextExceeded,
    MindRateLimited,
    MindRefusedKey,
    MindRefusedRequest,
    ModelMissing,
    ReplayMiss,
    RuntimeMissing,
    ScriptExhausted,
    ToolsUnsupported,
)


@dataclass(slots=True)
class _Leaving:
    """Told by the mind that a call leaves now."""

    book: BudgetStore
    reservation: Reservation
    left: bool = True

    def __call__(self) -> None:
        if not self.left:
            self.book.mark_sent(self.reservation)
            self.left = True


class BudgetedMind(WrappingMind):
    """Wraps a mind; one `think` of the inner mind is one reservation."""

    def __init__(self, mind: Mind, book: BudgetStore) -> None:
        super().__init__(mind)
        self._book = book
        self._freed = asyncio.Event()

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Reserve, call, settle.

        Raises:
            LimitExceeded: the budget does not allow the call; the provider was not called.
            PriceUnknown: a usd budget is set and the mind's price is unknown.
            MindError: what the inner mind raises.
        """
        quote = await self.quote(request)
        reservation = await self._reserved(request, quote)
        leaving = _Leaving(self._book, reservation)
        if self._mind.capabilities.announces:
            leaving.left = False
            request = replace(request, before_sending=leaving)
        began = time.monotonic()
        try:
            reply = await self._mind.think(request, on_token=on_token)
        except _FREE_FAILURES:
            self._book.release(reservation)
            raise
        except MindError as error:
            if not leaving.left or (isinstance(error, MindBroken) and not error.computed):
                self._book.release(reservation)
                raise
            error.usage = _paid(error.usage, reservation, time.monotonic() - began)
            self._book.settle(reservation, _spend(error.usage))
            raise
        except BaseException:
            lasted = time.monotonic() - began
            if leaving.left:
                self._book.settle(reservation, Spend(tokens=quote.tokens, usd=quote.usd, seconds=lasted))
            else:
                self._book.release(reservation)
            raise
        finally:
            self._freed.set()
        usage = _paid(reply.usage, reservation, reply.usage.seconds)
        self._book.settle(reservation, _spend(usage))
        self._freed.set()
        return replace(reply, usage=usage)

    async def _reserved(self, request: Request, quote: Quote) -> Reservation:
        """A reservation; where only other calls' open ones stand in the way, they are waited for.

        Most of what a call reserves it never spends, so a limit that is full of reservations is not used up.
        """
        task_id = request.metadata.get("task_id", NO_TASK)
        while True:
            self._freed.clear()
            try:
                return self._book.reserve(
                    uuid.uuid4().hex,
                    task_id,
                    tokens=quote.tokens,
                    usd=quote.usd,
                    seconds=request.timeout_seconds,
                    mind=self.name,
                    sent=not self._mind.capabilities.announces,
                )
            except LimitExceeded as error:
                if error.reserved <= 0 or error.spent + error.asked > error.limit:
                    raise
            # Calls of other processes end unseen, so their reservations are looked at again.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self._freed.wait()


def _paid(usage: Usage | None, reservation: Reservation, seconds: float) -> Usage:
    """What a call is charged: what it says it cost, the whole reservation where nobody knows."""
    if usage is None:
        return Usage(
            completion_tokens=reservation.tokens, usd=reservation.usd, seconds=seconds, estimated=True
        )
    missing = reservation.tokens - usage.prompt_tokens - usage.completion_tokens
    if usage.estimated and missing > 0:
        usd = usage.usd if reservation.usd is None else reservation.usd
        return replace(usage, completion_tokens=usage.completion_tokens + missing, usd=usd)
    return usage


def _spend(usage: Usage) -> Spend:
    tokens = usage.prompt_tokens + usage.completion_tokens
    return Spend(tokens=tokens, usd=usage.usd, seconds=usage.seconds, calls=1)
