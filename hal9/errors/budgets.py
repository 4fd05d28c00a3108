"""Errors of limits."""

from dataclasses import dataclass

from hal9.errors.base import LimitError

__all__ = [
    "LimitExceeded",
    "PriceUnknown",
    "ReservationRepeated",
    "ReservationUnknown",
]


@dataclass(eq=False, kw_only=True)
class LimitExceeded(LimitError):
    """A call would pass a budget; nothing was spent."""

    kind: str
    scope: str
    spent: float
    reserved: float
    asked: float
    limit: float

    def message(self) -> str:
        return (
            f"the {self.kind} budget per {self.scope} is {self.limit:g}: {self.spent:g} spent, "
            f"{self.reserved:g} reserved, {self.asked:g} more asked. Raise the limit, "
            f"or wait until the {self.scope} is over."
        )


@dataclass(eq=False, kw_only=True)
class PriceUnknown(LimitError):
    """A money budget is set but nobody knows what the call costs."""

    mind: str

    def message(self) -> str:
        return (
            f"a usd budget is set and the price of {self.mind} is unknown, so the call was refused. "
            "Add its price (US dollars per million tokens, 0 for a server of your own) to config/hal9.yaml under minds.prices, as in\n"
            f'    prices: {{"{self.mind}": {{prompt_usd: 0, completion_usd: 0}}}}\n'
            "or limit tokens instead of usd."
        )


@dataclass(eq=False, kw_only=True)
class ReservationRepeated(LimitError):
    """A call id is reserved a second time."""

    call_id: str

    def message(self) -> str:
        return f"the call {self.call_id!r} was reserved before. Every attempt needs an id of its own."


@dataclass(eq=False, kw_only=True)
class ReservationUnknown(LimitError):
    """A call is settled or released that was never reserved."""

    call_id: str

    def message(self) -> str:
        return f"no reservation {self.call_id!r} is in the budget book. Reserve before the call."
