"""What minds that wrap another mind share: they open and close it, bear its name, pass on its quote."""

from types import TracebackType
from typing import Self

from hal9.minds.prices import Quote, Quoting, bound_request
from hal9.minds.protocol import Capabilities, Mind, Request

__all__ = ["WrappingMind"]


class WrappingMind:
    """Base of the wrappers; `think` is theirs."""

    def __init__(self, mind: Mind) -> None:
        self._mind = mind

    @property
    def name(self) -> str:
        return self._mind.name

    @property
    def capabilities(self) -> Capabilities:
        return self._mind.capabilities

    async def __aenter__(self) -> Self:
        await self._mind.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._mind.__aexit__(exc_type, exc, traceback)

    async def quote(self, request: Request) -> Quote:
        """The inner mind's quote; one token a byte and no price when it has none."""
        if isinstance(self._mind, Quoting):
            return await self._mind.quote(request)
        return Quote(tokens=bound_request(request), usd=None)
