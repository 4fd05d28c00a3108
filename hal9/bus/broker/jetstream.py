"""Two requests to the embedded server's JetStream API, over NATS' own protocol of text lines.

The NATS library would do it too, but takes 12 MB and a third of a second of every daemon, for these alone.
https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import contextlib
import json
import secrets
from types import TracebackType
from typing import Any, Self

from hal9.errors.bus import JetStreamRefused

__all__ = ["JetStream"]

_ANSWER_SECONDS = 5.0
_NANOSECONDS = 1_000_000_000
_MOST_LINE = 1024 * 1024


class JetStream:
    """A connection of one user; use it with `async with`.

    Raises:
        JetStreamRefused: the server refuses, says what this protocol does not know, or does not answer.
        OSError: it cannot be reached.
    """

    def __init__(self, port: int, *, user: str, password: str) -> None:
        self._port = port
        self._login = {"user": user, "pass": password}
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_MOST_LINE)
        said = {**self._login, "verbose": False, "pedantic": False, "lang": "python", "version": "1"}
        try:
            await self._send(f"CONNECT {json.dumps(said)}\r\nSUB {self._inbox} 1\r\nPING\r\n".encode())
            await self._until("PONG")
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def limit_stream(self, name: str, *, max_bytes: int, max_age_seconds: float) -> None:
        """Keep at most so much of a stream, so long; beyond it the oldest goes first."""
        config = (await self._ask(f"STREAM.INFO.{name}", {}))["config"]
        limits = {
            "max_bytes": max_bytes,
            "max_age": int(max_age_seconds * _NANOSECONDS),
            "discard": "old",
        }
        await self._ask(f"STREAM.UPDATE.{name}", {**config, **limits})

    async def _ask(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        await self._send(
            b"PUB $JS.API.%s %s %d\r\n%s\r\n" % (what.encode(), self._inbox.encode(), len(data), data)
        )
        words = (await self._until("MSG")).split()
        payload = await self._within(self._reader.readexactly(int(words[-1]) + 2))
        answer: dict[str, Any] = json.loads(payload)
        if "error" in answer:
            raise JetStreamRefused(detail=f"{what}: {answer['error'].get('description', answer['error'])}")
        return answer

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _until(self, wanted: str) -> str:
        """The next line that begins with a word; pings are answered on the way."""
        while True:
            line = (await self._within(self._reader.readline())).decode("utf-8", "replace").strip()
            word = line.partition(" ")[0].upper()
            if word == wanted:
                return line
            if word == "PING":
                await self._send(b"PONG\r\n")
            elif word not in ("INFO", "+OK", "PONG"):
                raise JetStreamRefused(detail=line or "it closed the connection")

    async def _within(self, answer: Any) -> bytes:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return bytes(await answer)
        except TimeoutError:
            raise JetStreamRefused(detail=f"no answer within {_ANSWER_SECONDS:g} s") from None
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise JetStreamRefused(detail=f"it closed the connection, or said too much: {error}") from error
