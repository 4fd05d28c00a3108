"""When a run is to end before its time: Ctrl-C, a terminated process, a cancelled task, its time used up."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from hal9.clock import Clock, SystemClock

__all__ = ["RunStop"]


@dataclass(slots=True)
class RunStop:
    """Says whether a run is to end, and afterwards why.

    Attributes:
        asked: by whoever owns the run; True ends it.
        seconds: what the run may take from now on; None is as long as it likes.
        clock: time.
        reason: "cancelled" or "budget" once it is to end, empty before.
        detail: which.
    """

    asked: Callable[[], bool] = lambda: False
    seconds: float | None = None
    clock: Clock = field(default_factory=SystemClock)
    reason: str = ""
    detail: str = ""
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()

    def __call__(self) -> bool:
        """Whether the run is to end now; once True it stays so."""
        if not self.reason:
            if self.asked():
                self._end("cancelled", "")
            elif self.seconds is not None and self.clock.monotonic() - self._began >= self.seconds:
                self._end("budget", f"the {self.seconds:g} seconds of --limit-seconds are over")
        return bool(self.reason)

    def _end(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail

    @contextmanager
    def heeding_signals(self, say: Callable[[str], None]) -> Iterator[None]:
        """End at the next occasion on Ctrl-C or SIGTERM; a second Ctrl-C ends at once, without a report."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if self.reason and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._end("cancelled", signal.Signals(number).name)
            say("ending: what there is by now is reported (again to end at once)")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
