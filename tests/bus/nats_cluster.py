"""A NATS JetStream cluster of three on this machine, as an MQTT broker with replicated streams."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hal9.bus import BrokerAddress
from hal9.bus.broker.nats_config import find_server
from tests.bus.harness import free_port


class NatsCluster:
    """Three nodes; any may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mqtt = [free_port() for _ in range(3)]
        self._nats = [free_port() for _ in range(3)]
        self._routes = [free_port() for _ in range(3)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * 3

    @property
    def urls(self) -> list[str]:
        return [f"mqtt://node:secret@127.0.0.1:{port}" for port in self.mqtt]

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress.from_urls(self.urls)

    def start(self, number: int) -> None:
        home = self.folder / f"n{number}"
        home.mkdir(parents=True, exist_ok=True)
        routes = ", ".join(f'"nats-route://r:r@127.0.0.1:{port}"' for port in self._routes)
        (home / "nats.conf").write_text(
            f'server_name: "n{number}"\nhost: "127.0.0.1"\nport: {self._nats[number]}\n'
            f'log_file: "{home / "log"}"\n'
            f'jetstream {{ store_dir: "{home / "store"}", max_mem: 64MB, max_file: 256MB }}\n'
            f'cluster {{ name: "c", host: "127.0.0.1", port: {self._routes[number]},\n'
            f'  authorization {{ user: "r", password: "r" }}, routes: [{routes}] }}\n'
            f'mqtt {{ host: "127.0.0.1", port: {self.mqtt[number]}, ack_wait: "2s", max_ack_pending: 1000,\n'
            f'  stream_replicas: 3, js_api_timeout: "1s" }}\n'
            "accounts { A { jetstream: enabled, users: [ { user: node, password: secret } ] }\n"
            "  SYS { users: [ { user: sys, password: sys } ] } }\nsystem_account: SYS\n"
        )
        self._processes[number] = subprocess.Popen(
            [str(find_server(None)), "-c", str(home / "nats.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def node_at(self, address: BrokerAddress) -> int:
        return self.mqtt.index(address.port)

    def kill(self, number: int) -> None:
        process = self._processes[number]
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self._processes[number] = None

    def stop(self) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.wait()


@asynccontextmanager
async def nats_cluster(folder: Path) -> AsyncIterator[NatsCluster]:
    """All three started together, as the very first start needs it."""
    cluster = NatsCluster(folder)
    try:
        for number in range(3):
            await asyncio.to_thread(cluster.start, number)
        yield cluster
    finally:
        await asyncio.to_thread(cluster.stop)
