"""The embedded broker's program, ports and configuration text."""

import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from hal9.bus.broker.permissions import BrokerUser
from hal9.errors.bus import BrokerBinaryUnusable

__all__ = ["MINIMUM_VERSION", "Ports", "StoreLimits", "find_server", "render"]

# MQTT publishing is pipelined from 2.15 on; before 2.14.3 there are known security holes.
MINIMUM_VERSION = (2, 15, 0)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much the broker keeps for those who are away; beyond it the oldest goes first.

    Attributes:
        max_bytes: of queued messages.
        max_age_seconds: of a queued message; a journal must remember ids for longer than this.
        max_payload: bytes of one message.
        ack_wait_seconds: after this an unacknowledged message is delivered again.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_age_seconds: int = 24 * 3600
    max_payload: int = 1024 * 1024
    ack_wait_seconds: int = 10


@dataclass(frozen=True, slots=True)
class Ports:
    """What the server listens on, all on 127.0.0.1; `websocket` 0 means off."""

    nats: int
    mqtt: int
    websocket: int

    @classmethod
    def free(cls, *, websocket: bool) -> Self:
        """Ports that are free now. The server's own choice (-1) cannot be learned for MQTT."""
        with ExitStack() as stack:
            found: list[int] = []
            for _ in range(3 if websocket else 2):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                found.append(int(probe.getsockname()[1]))
        return cls(found[0], found[1], found[2] if websocket else 0)

    def all(self) -> list[int]:
        """Those in use."""
        return [port for port in (self.nats, self.mqtt, self.websocket) if port]

    def as_dict(self) -> dict[str, int]:
        """For the state file."""
        return asdict(self)


def find_server(given: Path | None) -> Path:
    """The nats-server to run: the user's, else one on PATH that is new enough, else the packaged one.

    Raises:
        BrokerBinaryUnusable: the given one is not usable, or there is none at all.
    """
    if given is not None:
        problem = _problem(given)
        if problem:
            raise BrokerBinaryUnusable(path=str(given), detail=problem)
        return given
    on_path = shutil.which("nats-server")
    candidates = [Path(on_path)] if on_path else []
    candidates += [
        Path(sysconfig.get_path("scripts")) / "nats-server",
        Path(sys.executable).with_name("nats-server"),
    ]
    problems = []
    for candidate in candidates:
        problem = _problem(candidate)
        if not problem:
            return candidate
        problems.append(f"{candidate}: {problem}")
    raise BrokerBinaryUnusable(path="nats-server", detail="; ".join(problems))


def _problem(program: Path) -> str:
    try:
        answer = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if found is None:
        return "it does not say its version"
    version = tuple(int(part) for part in found.groups())
    if version < MINIMUM_VERSION:
        return f"version {'.'.join(found.groups())} is older than {'.'.join(map(str, MINIMUM_VERSION))}"
    return ""


def render(
    *,
    directory: Path,
    ports: Ports,
    limits: StoreLimits,
    admin: tuple[str, str],
    users: Sequence[tuple[BrokerUser, str]],
) -> str:
    """The server's configuration file."""
    logins = [f'    {{ user: "{admin[0]}", password: "{admin[1]}" }}']
    logins += [
        f'    {{ user: "{user.name}", password: "{password}", permissions: {{ '
        f"publish: {_subjects(user.publish)}, subscribe: {_subjects(user.subscribe)} }} }}"
        for user, password in users
    ]
    websocket = (
        f'websocket {{ host: "127.0.0.1", port: {ports.websocket}, no_tls: true }}' if ports.websocket else ""
    )
    return f"""\
server_name: "hal9-{ports.mqtt}"
host: "127.0.0.1"
port: {ports.nats}
max_payload: {limits.max_payload}
log_file: "{directory / "nats-server.log"}"
logfile_size_limit: 10MB
logfile_max_num: 3
jetstream {{
  store_dir: "{directory / "store"}"
  max_mem: 64MB
  max_file: {limits.max_bytes * 2}
}}
mqtt {{
  host: "127.0.0.1"
  port: {ports.mqtt}
  ack_wait: "{limits.ack_wait_seconds}s"
  max_ack_pending: 1000
}}
{websocket}
authorization {{
  users: [
{chr(10).join(logins)}
  ]
}}
"""


def _subjects(subjects: Sequence[str]) -> str:
    if not subjects:
        return '{ deny: ">" }'
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"
