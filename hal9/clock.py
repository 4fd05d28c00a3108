"""Time as an argument: the `Clock` protocol, the real clock and a hand-moved one for tests."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


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
        await asyncio.sleep(0)
