"""The one retry loop of this room: timeouts, lost connections, rate limits and server errors, nothing else.

Providers' own retries are switched off, because loops within loops multiply attempts and hide the true error.
"""

import email.utils
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hal9.clock import Clock, SystemClock
from hal9.errors.base import MindError
from hal9.errors.minds import MindBroken, MindRateLimited, MindTimeout, MindUnreachable
from hal9.minds.protocol import Mind, OnToken, Reply, Request, Usage

if TYPE_CHECKING:
    from tenacity import RetryCallState
from hal9.minds.wrapping import WrappingMind

__all__ = ["RetryPolicy", "RetryingMind", "retry_after_seconds", "worth_retrying"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently.

    Attributes:
        attempts: calls in all, the first included.
        first_wait_seconds: the wait before the second call; doubles each time; up to one more
            of them is added by chance.
        longest_wait_seconds: no single wait is longer; a provider that asks for more is not waited for.
        timeouts: calls in all when each ran into its timeout (each one already cost the whole timeout).
    """

    attempts: int = 4
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 60.0
    timeouts: int = 2


def worth_retrying(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, (MindUnreachable, MindBroken, MindRateLimited, MindTimeout))


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """Seconds from a Retry-After header: a number, or an HTTP date compared with `now` (epoch seconds)."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except ValueError:
        return None


class RetryingMind(WrappingMind):
    """A mind whose passing failures are waited out.

    A retried call starts its text anew: pieces already given to `on_token` come again. The reply's text is
    what counts.
    """

    def __init__(
        self,
        mind: Mind,
        policy: RetryPolicy | None = None,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        """Wrap a mind.

        Args:
            mind: the mind whose calls are repeated.
            policy: how often and how patiently.
            clock: what waits between the calls.
            seed: makes the jitter of the waits repeatable.
        """
        super().__init__(mind)
        self._policy = policy if policy is not None else RetryPolicy()
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._jitter = random.Random(seed)  # noqa: S311 - spreads the waits of many callers, no secret

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Ask, and ask again while the failure is one that passes.

        Raises:
            MindError: the last attempt's failure, unchanged.
        """
        try:
            return await self._mind.think(request, on_token=on_token)
        except MindError as error:
            return await self._repeated(request, on_token, error)

    async def _repeated(self, request: Request, on_token: OnToken | None, first: MindError) -> Reply:
        """Go on after the first attempt has failed."""
        import tenacity  # noqa: PLC0415 - only needed once a call has failed

        spent = Usage(calls=0)
        failed: list[MindError] = [first]

        async def once() -> Reply:
            nonlocal spent
            try:
                if failed:
                    raise failed.pop()
                return await self._mind.think(request, on_token=on_token)
            except MindError as error:
                if error.usage is not None:
                    spent += error.usage
                raise

        try:
            reply: Reply = await tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception(self._again),
                stop=self._exhausted,
                wait=self._wait,
                sleep=self._clock.sleep,
                reraise=True,
            )(once)
        except MindError as error:
            error.usage = spent if spent.calls else None
            raise
        return replace(reply, usage=reply.usage + spent) if spent.calls else reply

    def _again(self, error: BaseException) -> bool:
        asked = _asked_to_wait(error)
        return worth_retrying(error) and (asked is None or asked <= self._policy.longest_wait_seconds)

    def _exhausted(self, state: "RetryCallState") -> bool:
        failed = state.outcome.exception() if state.outcome is not None else None
        allowed = self._policy.timeouts if isinstance(failed, MindTimeout) else self._policy.attempts
        return state.attempt_number >= allowed

    def _wait(self, state: "RetryCallState") -> float:
        failed = state.outcome.exception() if state.outcome is not None else None
        asked = _asked_to_wait(failed)
        if asked is not None:
            return asked
        policy = self._policy
        wait = policy.first_wait_seconds * 2.0 ** (state.attempt_number - 1)
        return min(wait + self._jitter.uniform(0, policy.first_wait_seconds), policy.longest_wait_seconds)


def _asked_to_wait(error: BaseException | None) -> float | None:
    return error.retry_after if isinstance(error, (MindRateLimited, MindBroken)) else None
