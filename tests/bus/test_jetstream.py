"""The two requests that cap a store: refusals, silence and odd servers are told. That they work: test_embedded.py."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hal9.bus.broker import jetstream
from hal9.bus.broker.embedded import ADMIN, EmbeddedBroker
from hal9.bus.broker.jetstream import JetStream
from hal9.errors.bus import JetStreamRefused

INFO = b'INFO {"server_id":"x"}\r\n'


async def asked(answer: Callable[[bytes], bytes | None]) -> list[bytes]:
    """Limit a stream at a server that answers each line as told (None closes); the lines it got."""
    got: list[bytes] = []

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        with contextlib.suppress(ConnectionError):
            writer.write(INFO)
            while line := await reader.readline():
                got.append(line.strip())
                said = answer(line)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with JetStream(port, user="u", password="p") as store:
            await store.limit_stream("s", max_bytes=5, max_age_seconds=1.5)
    finally:
        server.close()
        await asyncio.gather(*serving)
    return got


def answering(first: str, second: str = "{}") -> Callable[[bytes], bytes]:
    """A server that pings before it answers, and puts text on these two answers."""
    waiting = [first, second]
    inbox = b""

    def answer(line: bytes) -> bytes:
        nonlocal inbox
        if line.startswith(b"SUB"):
            inbox = line.split()[1]
        if line.startswith(b"PING"):
            return b"PING\r\nPONG\r\n"
        if line.startswith(b"PUB"):
            text = waiting.pop(0).encode()
            return b"PING\r\nMSG %s 1 %d\r\n%s\r\n" % (inbox, len(text), text)
        return b""

    return answer


async def test_what_the_server_knows_of_a_stream_is_kept() -> None:
    got = await asked(answering('{"config": {"name": "s", "max_age": 0, "new_in_3": [1]}}'))
    assert got[-2].startswith(b"PUB $JS.API.STREAM.UPDATE.s ") or got[-3].startswith(
        b"PUB $JS.API.STREAM.UPDATE.s "
    )
    body = next(line for line in got if b"new_in_3" in line)
    assert body == b'{"name": "s", "max_age": 1500000000, "new_in_3": [1], "max_bytes": 5, "discard": "old"}'
    assert got.count(b"PONG") >= 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            lambda line: b"-ERR 'Authorization Violation'\r\n" if line.startswith(b"CONNECT") else b"",
            "Authorization",
        ),
        (lambda _: None, "closed the connection"),
        (lambda _: b"", "no answer within 0.3 s"),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400"),
        (lambda _: b"x" * 3_000_000, "said too much"),
        (
            answering('{"error": {"code": 404, "description": "stream not found"}}'),
            "STREAM.INFO.s: stream not found",
        ),
        (answering('{"config": {}}', '{"error": {"code": 500}}'), "STREAM.UPDATE.s: "),
    ],
)
async def test_what_goes_wrong_is_told(
    answer: Callable[[bytes], bytes | None], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "_ANSWER_SECONDS", 0.3 if told.startswith("no answer") else 60.0)
    with pytest.raises(JetStreamRefused, match=told):
        await asked(answer)


async def test_the_embedded_server_refuses_a_wrong_password(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "broker", users=()) as broker:
        port = broker._require_state().ports.nats
        with pytest.raises(JetStreamRefused, match="Authorization"):
            async with JetStream(port, user=ADMIN, password="wrong"):
                pass
