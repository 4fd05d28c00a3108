"""Errors of signals."""

from dataclasses import dataclass

from hal9.errors.base import SignalError

__all__ = [
    "SignalExpired",
    "SignalForged",
    "SignalInvalid",
    "SignalOverHopped",
    "SignalOversize",
    "SignalRefused",
]


@dataclass(eq=False, kw_only=True)
class SignalRefused(SignalError):
    """Base of what makes a receiver refuse a signal; `reason` goes into the dead-letter table."""

    signal_id: str | None
    reason: str = "refused"

    def message(self) -> str:
        return f"signal {self.signal_id or '(unreadable)'} refused: {self.reason}"


@dataclass(eq=False, kw_only=True)
class SignalInvalid(SignalRefused):
    """Not a signal of a version and kind this HAL9 knows."""

    detail: str

    def message(self) -> str:
        return f"signal {self.signal_id or '(unreadable)'} refused, {self.reason}: {self.detail}"


@dataclass(eq=False, kw_only=True)
class SignalOversize(SignalRefused):
    """Larger than a signal may be."""

    size: int
    limit: int
    reason: str = "oversize"

    def message(self) -> str:
        return (
            f"signal {self.signal_id or '(unread)'} has {self.size} bytes, the limit is {self.limit}: "
            "send large content by reference (a file in the workspace)."
        )


@dataclass(eq=False, kw_only=True)
class SignalForged(SignalRefused):
    """The envelope claims something else than the topic it came on."""

    field: str
    claimed: str
    actual: str
    reason: str = "forged"

    def message(self) -> str:
        return f"signal {self.signal_id} claims {self.field} {self.claimed!r} but came as {self.actual!r}"


@dataclass(eq=False, kw_only=True)
class SignalExpired(SignalRefused):
    """Arrived after its time."""

    seconds_ago: float
    reason: str = "expired"

    def message(self) -> str:
        return f"signal {self.signal_id} expired {self.seconds_ago:.1f} s before it arrived"


@dataclass(eq=False, kw_only=True)
class SignalOverHopped(SignalRefused):
    """Passed on too often; most likely a loop."""

    hops: int
    limit: int
    reason: str = "over_hopped"

    def message(self) -> str:
        return f"signal {self.signal_id} was passed on {self.hops} times, the limit is {self.limit}"
