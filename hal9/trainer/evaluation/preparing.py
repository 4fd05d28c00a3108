"""Preparing cases while somebody waits: told from the first second, and stopped when asked."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hal9.clock import Clock, SystemClock

__all__ = ["Preparation", "PreparationStopped"]

_TOLD_EVERY = 5.0
"""Seconds between two lines."""


class PreparationStopped(Exception):
    """A run was stopped while its cases were prepared; what was prepared is kept.

    Attributes:
        done, total: cases.
    """

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} cases were prepared")
        self.done = done
        self.total = total


@dataclass(slots=True)
class Preparation:
    """Tells how far preparing has come.

    Attributes:
        say: told a line now and then.
        stop: asked before every case; True ends it.
        clock: time.
    """

    say: Callable[[str], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    clock: Clock = field(default_factory=SystemClock)
    _began: float = 0.0
    _told: float = 0.0
    _known: int = 0

    def begin(self, what: str, total: int, known: int) -> None:
        """Preparing `total` cases begins, of which `known` need only be read back."""
        self._began = self._told = self.clock.monotonic()
        self._known = known
        if known < total:
            told = f" ({known} are known from before)" if known else ""
            self.say(f"preparing {total} {what} cases{told}")

    def begin_trees(self, what: str, total: int) -> None:
        """The cases of a split share `total` source trees, which are opened now."""
        self._began = self._told = self.clock.monotonic()
        self._known = 0
        self.say(f"preparing the {what} cases of {total} repositories")

    def step(self, done: int, made: int, total: int) -> None:
        """`done` cases are ready, `made` of them anew.

        Raises:
            PreparationStopped: it is to stop.
        """
        if self.stop():
            raise PreparationStopped(done, total)
        now = self.clock.monotonic()
        if made and done < total and now - self._told >= _TOLD_EVERY:
            self._told = now
            missing = max(0, total - self._known - made)
            left = (now - self._began) / made * missing
            self.say(f"  {done} of {total} prepared, about {left:.0f} s left")
