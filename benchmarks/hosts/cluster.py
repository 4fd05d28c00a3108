"""Three hosts, each in a network of its own: a daemon and a node of a NATS cluster on each, one PostgreSQL for all."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from hal9.bus.broker.nats_config import find_server
from hal9.cluster import Home, init_home
from hal9.cluster.supervision.process import read_status
from tests.support.namespaces import Host, Network, run
from tests.support.postgres import PostgresServer, fresh_prefix

ROOT = Path(__file__).parents[2]
SKEWS = (0, 300, -300)
"""Seconds by which the hosts' clocks are off."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_DISK = "160m"


class HostMachine:
    """One host: its network, its disk, its daemon, its broker node."""

    def __init__(self, number: int, net: Host, folder: Path) -> None:
        self.number, self.net = number, net
        self.disk = folder / f"host{number}"
        self.disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(self.disk))
        self.home: Home = init_home(self.disk / "home")
        self.daemon: subprocess.Popen[bytes] | None = None
        self.nats: subprocess.Popen[bytes] | None = None

    @property
    def broker_url(self) -> str:
        return f"mqtt://node:secret@{self.net.address}:1883"

    def start_nats(self, routes: list[str]) -> None:
        folder, address = self.disk / "nats", self.net.address
        folder.mkdir(exist_ok=True)
        (folder / "nats.conf").write_text(
            f'server_name: "n{self.number}"\nhost: "{address}"\nport: 4222\nhttp: "{address}:8222"\n'
            f'jetstream {{ store_dir: "{folder / "store"}", max_mem: 32MB, max_file: 96MB }}\n'
            f'cluster {{ name: "c", host: "{address}", port: 6222,\n'
            f'  authorization {{ user: "r", password: "r" }}, routes: [{", ".join(routes)}] }}\n'
            f'mqtt {{ host: "{address}", port: 1883, ack_wait: "10s", max_ack_pending: 1000,\n'
            '  stream_replicas: 3, js_api_timeout: "1s" }\n'
            "accounts { A { jetstream: enabled, users: [ { user: node, password: secret } ] }\n"
            "  SYS { users: [ { user: sys, password: sys } ] } }\nsystem_account: SYS\n"
        )
        self.nats = subprocess.Popen(
            self.net.command(str(find_server(None)), "-c", str(folder / "nats.conf")),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start_daemon(self, model: str) -> None:
        skew: dict[str, str] = {}
        if SKEWS[self.number]:
            skew = {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME": f"{SKEWS[self.number]:+d}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
        # Not on the small disk: a log that cannot be written would hide what happened.
        with self.disk.with_suffix(".log").open("ab") as log:
            self.daemon = subprocess.Popen(
                self.net.command(
                    *(sys.executable, "-m", "hal9", "--home", str(self.home.root), "up", "--log-to-stderr")
                ),
                cwd=ROOT,
                env={**os.environ, "HAL9_MODEL": model, **skew},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def fill(self) -> None:
        """Use up the disk."""
        with contextlib.suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(65536))

    def empty(self) -> None:
        (self.disk / "filler").unlink(missing_ok=True)

    @property
    def ready(self) -> bool:
        return bool(read_status(self.home).get("state") == "ready")

    def kill(self, *what: str) -> None:
        for name in what:
            process: subprocess.Popen[bytes] | None = getattr(self, name)
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                process.wait()
            setattr(self, name, None)

    def close(self) -> None:
        self.kill("daemon", "nats")
        subprocess.run(["umount", "-l", str(self.disk)], check=False)


class Hosts:
    """The whole cluster, and a home without a daemon from which tasks are submitted."""

    def __init__(self, folder: Path, network: Network, server: PostgresServer, model: str) -> None:
        self.folder, self.model, self.name = folder, model, fresh_prefix()
        self.server = server
        self.machines: list[HostMachine] = []
        self.control = init_home(folder / "control")
        self._network = network
        self.restarts = 0

    def open(self) -> None:
        for number, net in enumerate(self._network.hosts):
            self.machines.append(HostMachine(number, net, self.folder))
        for machine in self.machines:
            urls = [one.broker_url for one in self.machines]
            first = urls[machine.number :] + urls[: machine.number]
            self._settings(machine.home, f"host{machine.number}", first)
        self._settings(self.control, "control", [])
        for machine in self.machines:  # the very first start of a NATS cluster needs all three
            self.start_nats(machine)

    def start_daemons(self) -> None:
        for machine in self.machines:
            machine.start_daemon(self.model)

    def start_nats(self, machine: HostMachine) -> None:
        machine.start_nats([f'"nats-route://r:r@{one.net.address}:6222"' for one in self.machines])

    def _settings(self, home: Home, host: str, brokers: list[str]) -> None:
        text = home.settings_file.read_text()
        edits = [
            ("  name: hal9 ", f"  name: {self.name} "),
            ("state:\n  url: ", f"state:\n  url: {self.server.url} "),
            ("  host: ", f"  host: {host} "),
            ("  concurrent_calls: 2 ", "  concurrent_calls: 4 "),
            ("everything: false ", "everything: true "),
        ]
        if brokers:
            listed = ", ".join(f'"{one}"' for one in brokers)
            edits += [
                ("url:                          # mqtt", f"url: [{listed}] # mqtt"),
                (
                    "allow_plaintext: false        # true permits mqtt",
                    "allow_plaintext: true # true permits mqtt",
                ),
            ]
        for old, new in edits:
            if old not in text:
                raise SystemExit(f"{old!r} is not in {home.settings_file}")
            text = text.replace(old, new, 1)
        home.settings_file.write_text(text)

    def nats_leader(self) -> HostMachine | None:
        """The host whose node leads the stream of all messages."""
        for machine in self.machines:
            url = f"http://{machine.net.address}:8222/jsz?accounts=1&streams=1"
            try:
                with urllib.request.urlopen(url, timeout=2) as reply:
                    said: dict[str, Any] = json.load(reply)
            except (OSError, ValueError):
                continue
            for account in said.get("account_details", []):
                for stream in account.get("stream_detail", []):
                    if stream.get("name") == "$MQTT_msgs":
                        leader = str(stream.get("cluster", {}).get("leader", ""))
                        return next((one for one in self.machines if f"n{one.number}" == leader), None)
        return None

    def supervise(self) -> None:
        """Start daemons that have ended by themselves, as a service manager does."""
        for machine in self.machines:
            if machine.daemon is not None and machine.daemon.poll() is not None:
                self.restarts += 1
                machine.start_daemon(self.model)

    def nats_is_up(self) -> bool:
        """Whether every node of the NATS cluster says that it is well."""
        for machine in self.machines:
            with urllib.request.urlopen(f"http://{machine.net.address}:8222/healthz", timeout=2) as reply:
                if reply.status != 200:
                    return False
        return True

    def close(self) -> None:
        for machine in self.machines:
            machine.close()
