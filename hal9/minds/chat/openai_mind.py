"""Any server that speaks the OpenAI chat protocol, over httpx and nothing else."""

from types import TracebackType
from typing import Self

from hal9.minds.chat.client import ChatClient
from hal9.minds.chat.endpoint import Endpoint
from hal9.minds.prices import Quote, bound_tokens
from hal9.minds.protocol import Capabilities, OnToken, Reply, Request

__all__ = ["OpenAIMind"]


class OpenAIMind:
    """A model behind an OpenAI-compatible address; replies are raw (see `open_mind` for the whole stack)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = ChatClient(endpoint)

    @property
    def name(self) -> str:
        return self._client.endpoint.mind

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", parallel_tools=True, announces=True)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(exc_type, exc, traceback)

    async def quote(self, request: Request) -> Quote:
        """One token a byte of prompt plus `max_tokens`, at the configured price."""
        prompt, price = bound_tokens(request.messages, request.tools), self._client.endpoint.price
        usd = None if price is None else price.of(prompt, request.max_tokens)
        return Quote(tokens=prompt + request.max_tokens, usd=usd)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        return await self._client.ask(request, on_token)
