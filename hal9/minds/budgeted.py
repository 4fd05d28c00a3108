"""A mind whose every call is reserved in the budget book before it is made and settled after it."""

import time
import uuid

from hal9.errors.minds import (
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
)
from hal9.limits import BudgetStore, Reservation, Spend
from hal9.minds.protocol import Mind, OnToken, Reply, Request, Usage
from hal9.minds.wrapping import WrappingMind

__all__ = ["NO_TASK", "BudgetedMind"]

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
)


class BudgetedMind(WrappingMind):
    """Wraps a mind; one `think` of the inner mind is one reservation."""

    def __init__(self, mind: Mind, book: BudgetStore) -> None:
        super().__init__(mind)
        self._book = book

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Reserve, call, settle.

        Raises:
            LimitExceeded: the budget does not allow the call; the provider was not called.
            PriceUnknown: a usd budget is set and the mind's price is unknown.
            MindError: what the inner mind raises.
        """
        quote = await self.quote(request)
        reservation = self._book.reserve(
            uuid.uuid4().hex,
            request.metadata.get("task_id", NO_TASK),
            tokens=quote.tokens,
            usd=quote.usd,
            seconds=request.timeout_seconds,
            mind=self.name,
        )
        began = time.monotonic()
        try:
            reply = await self._mind.think(request, on_token=on_token)
        except _FREE_FAILURES:
            self._book.release(reservation)
            raise
        except BaseException:
            lasted = time.monotonic() - began
            self._book.settle(reservation, Spend(tokens=quote.tokens, usd=quote.usd, seconds=lasted))
            raise
        self._book.settle(reservation, _spend(reply.usage, reservation))
        return reply


def _spend(usage: Usage, reservation: Reservation) -> Spend:
    tokens = usage.prompt_tokens + usage.completion_tokens
    if usage.estimated:
        tokens = max(tokens, reservation.tokens)
    return Spend(tokens=tokens, usd=usage.usd, seconds=usage.seconds, calls=1)
