"""Time as an argument: the `Clock` protocol, the real clock and a hand-moved one for tests."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SteadyClock", "SystemClock"]


class Clock(Protocol):
    """What anything that waits or stamps needs."""

    def now(self) -> float:
        """Wall-clock seconds since the epoch (what is written into files)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump (what durations and leases within one process use)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Wall-clock seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait in the running event loop."""
        import asyncio  # noqa: PLC0415 - most who ask for the time never wait

        await asyncio.sleep(seconds)


class SteadyClock:
    """The machine's clock, but deaf to somebody setting it: deadlines and leases go on as they were meant.

    Small corrections (time synchronisation slews) are followed. What is set by more is ignored for as long as
    the process runs, and told as `offset`, so that others who stamp for this process can speak its time.

    Args:
        offset: seconds by which the machine's clock was found to be ahead already.
        wall: seconds since the epoch.
        monotonic: seconds that never jump.
    """

    _FOLLOWED_SECONDS = 2.0

    def __init__(
        self,
        *,
        offset: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = offset
        self._anchor = wall() - offset, monotonic()

    def now(self) -> float:
        """Seconds since the epoch as this process counts them."""
        wall, since = self._anchor
        steady = wall + self._monotonic() - since
        ahead = self._wall() - steady
        if abs(ahead - self._offset) < self._FOLLOWED_SECONDS:
            # Within what slews and the drift of two clocks amount to: stay with the machine's.
            steady += ahead - self._offset
        else:
            self._offset = ahead
        self._anchor = steady, self._monotonic()
        return steady

    def correct(self, seconds: float) -> None:
        """Count on from so much later (earlier, when negative), as another clock than this machine's says."""
        wall, since = self.now(), self._monotonic()
        self._anchor = wall + seconds, since
        self._offset -= seconds

    @property
    def offset(self) -> float:
        """Seconds by which the machine's clock was set forward since the start; negative for back."""
        self.now()
        return self._offset

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return self._monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait in the running event loop."""
        import asyncio  # noqa: PLC0415 - most who ask for the time never wait

        await asyncio.sleep(seconds)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told; `sleep` moves it at once."""

    time: float = 1_700_000_000.0

    def now(self) -> float:
        """The hand-set time."""
        return self.time

    def monotonic(self) -> float:
        """The hand-set time."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.time += seconds

    async def sleep(self, seconds: float) -> None:
        """Move the clock instead of waiting."""
        self.time += seconds
        import asyncio  # noqa: PLC0415 - most who ask for the time never wait

        await asyncio.sleep(0)
