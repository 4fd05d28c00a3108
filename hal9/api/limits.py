"""How often one client may ask: a bucket of requests per token or address, refilled steadily."""

from collections import OrderedDict

from hal9.clock import Clock
from hal9.errors.api import RateExceeded

__all__ = ["RateLimiter"]

_CLIENTS = 10_000
_BURST_SECONDS = 10.0


class RateLimiter:
    """Buckets that hold ten seconds' worth of requests.

    Args:
        per_minute: requests a client may make on average.
        clock: time.
    """

    def __init__(self, per_minute: float, *, clock: Clock) -> None:
        self._rate = per_minute / 60.0
        self._size = max(5.0, self._rate * _BURST_SECONDS)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            RateExceeded: the bucket is empty; says when to try again.
        """
        now = self._clock.now()
        left, at = self._buckets.pop(client, (self._size, now))
        left = min(self._size, left + max(0.0, now - at) * self._rate)
        if left < 1.0:
            self._buckets[client] = (left, now)
            raise RateExceeded(retry_after=(1.0 - left) / self._rate)
        self._buckets[client] = (left - 1.0, now)
        while len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
