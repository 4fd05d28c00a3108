"""What is wrong with a broker is named: at real mosquittos that are set up wrong on purpose."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hal9.bus import BrokerAddress, MqttBus
from hal9.bus.broker.probe import probe_broker
from hal9.errors.base import BusError
from hal9.errors.bus import (
    BrokerCertificateUntrusted,
    BrokerLoginRefused,
    BrokerNeedsTls,
    BrokerUnfit,
    BrokerUnreachable,
    BrokerWithoutTls,
)
from tests.bus.harness import free_port
from tests.bus.test_tls import certificate

pytestmark = pytest.mark.mosquitto


@asynccontextmanager
async def broker(directory: Path, *lines: str) -> AsyncIterator[int]:
    """A mosquitto with these further lines of configuration; gives its port."""
    port = free_port()
    config = directory / f"{port}.conf"
    config.write_text(
        "\n".join([f"listener {port} 127.0.0.1", "user root", "allow_anonymous true", *lines, ""])
    )
    process = subprocess.Popen(
        ["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(120):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield port
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)


async def refused(url: str, **options: Path) -> BusError:
    async with MqttBus(
        BrokerAddress.from_url(url, allow_insecure=True, **options),  # type: ignore[arg-type]
        client_id="x",
        answer_timeout=3.0,
    ) as bus:
        with pytest.raises(BusError) as caught:
            await bus.wait_connected(10)
        assert bus.health()["error"] == str(caught.value)
        assert not bus.health()["connected"]
    return caught.value


async def test_certificates_and_encryption_that_do_not_fit(tmp_path: Path) -> None:
    key, cert = await asyncio.to_thread(certificate, tmp_path, "broker")
    _, other = await asyncio.to_thread(certificate, tmp_path, "other")
    async with broker(tmp_path, f"certfile {cert}", f"keyfile {key}") as port:
        error = await refused(f"mqtts://127.0.0.1:{port}", ca_file=other)
        assert isinstance(error, BrokerCertificateUntrusted)
        assert "broker.ca_file" in str(error)
        assert isinstance(await refused(f"mqtt://127.0.0.1:{port}"), BrokerNeedsTls)
    async with broker(tmp_path) as port:
        assert isinstance(await refused(f"mqtts://127.0.0.1:{port}", ca_file=cert), BrokerWithoutTls)


async def test_logins_that_are_not_let_in(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "node", "secret"], check=True)
    async with broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as port:
        error = await refused(f"mqtt://node:wrong@127.0.0.1:{port}")
        assert isinstance(error, BrokerLoginRefused)
        assert "'node'" in str(error)
        assert "wrong" not in str(error).replace("wrong user name", "")
        assert "anonymous" in str(await refused(f"mqtt://127.0.0.1:{port}"))
        await probe_broker(
            BrokerAddress.from_url(f"mqtt://node:secret@127.0.0.1:{port}"), cluster="c", node="n"
        )


@pytest.mark.parametrize(
    ("url", "words"),
    [("mqtt://127.0.0.1:{port}", "nothing listens"), ("mqtt://nobody.invalid:1883", "nobody knows")],
)
async def test_where_there_is_no_broker(url: str, words: str) -> None:
    async with MqttBus(
        BrokerAddress.from_url(url.format(port=free_port()), allow_insecure=True), client_id="x"
    ) as bus:
        with pytest.raises(BrokerUnreachable, match=words):
            await bus.wait_connected(1.0)


async def test_something_else_that_answers() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 a mail server\r\n")
        with contextlib.suppress(OSError):
            await writer.drain()
            await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        bus = MqttBus(BrokerAddress.from_url(f"mqtt://127.0.0.1:{port}"), client_id="x", answer_timeout=0.5)
        async with bus:
            with pytest.raises(BrokerUnreachable):
                await bus.wait_connected(4.0)
            assert not bus.connected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max_qos 0", "QoS"),
        ("retain_available false", "retained"),
        ("message_size_limit 10000", "256 KiB"),
    ],
)
async def test_a_broker_that_lacks_what_is_needed(tmp_path: Path, line: str, words: str) -> None:
    async with broker(tmp_path, line) as port:
        address = BrokerAddress.from_url(f"mqtt://127.0.0.1:{port}")
        with pytest.raises(BrokerUnfit, match=words):
            await probe_broker(address, cluster="c", node="n", seconds=1.5)
