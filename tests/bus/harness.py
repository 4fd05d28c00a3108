"""The three brokers a bus must work with, behind one set of controls, and a TCP proxy that misbehaves."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self

from hal9.bus import (
    BrokerAddress,
    BrokerUser,
    Bus,
    EmbeddedBroker,
    LoopbackBroker,
    MqttBus,
    StoreLimits,
    node_user,
)

CLUSTER = "test"
# A login that may publish only as `limited` and hear only its own inbox.
LIMITED = BrokerUser("limited", ("hal9.test.in.*.*.limited",), ("hal9.test.in.limited.*.*",))


class Proxy:
    """Passes bytes to a broker; can reset all connections, or go silent without closing them."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.silent = False
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def reset(self) -> None:
        """Every connection ends with RST, as when a router forgets it."""
        for writer in list(self._writers):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            for side in (writer, far_writer):
                self._writers.discard(side)
                side.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                while self.silent:
                    await asyncio.sleep(0.01)
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.transport.abort()


class Broker(Protocol):
    """Controls every broker under test has."""

    name: str

    def bus(
        self, client_id: str, *, clean: bool = False, user: str = "node", in_flight: int = 256
    ) -> Bus: ...

    def cut(self) -> None:
        """Break every connection without a goodbye."""

    async def stop(self) -> None: ...

    async def start(self) -> None: ...


class Loopback:
    name = "loopback"

    def __init__(self) -> None:
        self.broker = LoopbackBroker()

    def bus(self, client_id: str, *, clean: bool = False, user: str = "node", in_flight: int = 256) -> Bus:
        return self.broker.client(client_id, clean=clean)

    def cut(self) -> None:
        self.broker.break_connections()

    async def stop(self) -> None:
        self.broker.stop()

    async def start(self) -> None:
        self.broker.start()


class Embedded:
    name = "embedded"

    def __init__(self, broker: EmbeddedBroker, proxy: Proxy) -> None:
        self.broker = broker
        self.proxy = proxy
        self._frozen: int | None = None

    def bus(self, client_id: str, *, clean: bool = False, user: str = "node", in_flight: int = 256) -> Bus:
        address = (
            replace(self.broker.address("node"), password="wrong")
            if user == "wrong"
            else self.broker.address(user)
        )
        return MqttBus(
            replace(address, port=self.proxy.port),
            client_id=client_id,
            clean=clean,
            in_flight=in_flight,
            answer_timeout=3.0,
        )

    def cut(self) -> None:
        self.proxy.reset()

    async def stop(self) -> None:
        """kill -9; the broker's supervisor starts it again at once, so keep clients away meanwhile."""
        assert self.broker.pid is not None
        before = self.broker.restarts
        self.proxy.target, self._frozen = 1, self.proxy.target
        os.kill(self.broker.pid, signal.SIGKILL)
        self.proxy.reset()
        async with asyncio.timeout(120):
            while self.broker.restarts == before:
                await asyncio.sleep(0.02)

    async def start(self) -> None:
        self.proxy.target = self.broker.address("node").port


class Mosquitto:
    name = "mosquitto"

    def __init__(self, directory: Path, proxy: Proxy, port: int) -> None:
        self.directory = directory
        self.proxy = proxy
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        self.directory.mkdir()
        passwords = self.directory / "passwords"
        passwords.touch()
        for user in ("node", "limited"):
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, "secret"], check=True)
        (self.directory / "acl").write_text(
            "user node\ntopic readwrite hal9/test/#\n"
            "user limited\ntopic write hal9/test/in/+/+/limited\ntopic read hal9/test/in/limited/+/+\n"
        )
        (self.directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"user root\npassword_file {passwords}\nacl_file {self.directory / 'acl'}\n"
            f"persistence true\npersistence_location {self.directory}/\nmax_queued_messages 100000\n"
        )

    def bus(self, client_id: str, *, clean: bool = False, user: str = "node", in_flight: int = 256) -> Bus:
        login, password = ("node", "wrong") if user == "wrong" else (user, "secret")
        address = BrokerAddress(host="127.0.0.1", port=self.proxy.port, username=login, password=password)
        return MqttBus(address, client_id=client_id, clean=clean, in_flight=in_flight, answer_timeout=3.0)

    def cut(self) -> None:
        self.proxy.reset()

    async def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 10)
        self.process = None

    async def start(self) -> None:
        self.process = subprocess.Popen(
            ["mosquitto", "-c", str(self.directory / "mosquitto.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(120):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def embedded(directory: Path, *, limits: StoreLimits | None = None) -> AsyncIterator[Embedded]:
    limits = limits or StoreLimits(ack_wait_seconds=1)
    users = [node_user(CLUSTER, "node"), LIMITED]
    async with (
        EmbeddedBroker(directory, users=users, limits=limits) as broker,
        Proxy(broker.address("node").port) as proxy,
    ):
        yield Embedded(broker, proxy)


@asynccontextmanager
async def mosquitto(directory: Path) -> AsyncIterator[Mosquitto]:
    port = free_port()
    async with Proxy(port) as proxy:
        broker = Mosquitto(directory, proxy, port)
        broker.prepare()
        await broker.start()
        try:
            yield broker
        finally:
            if broker.process is not None:
                await broker.stop()


def mosquitto_missing() -> bool:
    return shutil.which("mosquitto") is None or shutil.which("mosquitto_passwd") is None
