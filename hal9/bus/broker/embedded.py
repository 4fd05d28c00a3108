"""The embedded broker: a nats-server of our own on this machine's loopback interface.

It survives the daemon: its store lock is inherited by the server process, so a daemon that starts again finds
the lock taken, logs in to the survivor and adopts it; one that does not answer is ended and started anew.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hal9.bus.broker.jetstream import JetStream
from hal9.bus.broker.nats_config import Ports, StoreLimits, find_server, render
from hal9.bus.broker.permissions import BrokerUser
from hal9.bus.broker.server_process import (
    end_child,
    end_process,
    is_our_server,
    read_pid,
    taken,
    write_private,
)
from hal9.bus.crew import BackgroundTasks
from hal9.bus.protocol import BrokerAddress
from hal9.clock import Clock, SystemClock
from hal9.errors.base import BusError
from hal9.errors.bus import BrokerFailed, BrokerRefused, BrokerStoreInUse, JetStreamRefused
from hal9.processes import until_ended

__all__ = ["EmbeddedBroker"]

_log = logging.getLogger("hal9.bus.broker.embedded")

ADMIN = "hal9-admin"
_START_SECONDS = 10.0
_RELEASE_SECONDS = 3.0
_LOOK_SECONDS = 5.0
_MESSAGE_STREAM = "$MQTT_msgs"


@dataclass(frozen=True, slots=True)
class _State:
    ports: Ports
    passwords: dict[str, str]
    users: tuple[BrokerUser, ...]


class EmbeddedBroker:
    """Run (or adopt) the broker for as long as the context is open.

    Args:
        directory: for store, configuration, log and locks; made with mode 0700.
        users: logins besides the administrator's.
        server: a nats-server of the user's; otherwise PATH, otherwise the packaged one.
        limits: of the store.
        websocket: also listen for MQTT over WebSocket (path /mqtt).
        clock: what the supervisor's delays wait on.

    Raises:
        BrokerStoreInUse, BrokerBinaryUnusable, BrokerFailed: on entering.
    """

    def __init__(
        self,
        directory: Path,
        *,
        users: Sequence[BrokerUser] = (),
        server: Path | None = None,
        limits: StoreLimits | None = None,
        websocket: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.directory = Path(directory).absolute()  # the server looks for its files from a folder of its own
        self.limits = limits or StoreLimits()
        self._wanted = {user.name: user for user in users}
        self._server = server
        self._websocket = websocket
        self._clock = clock or SystemClock()
        self._state: _State | None = None
        self._new_users: list[str] = []  # those that the configuration before did not have
        self._program: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._owner_lock: IO[bytes] | None = None
        self._crew = BackgroundTasks()
        self.adopted = False
        self.restarts = 0

    # --- what others need to know ---------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The server's process id."""
        return self._pid

    def address(self, user: str) -> BrokerAddress:
        """How this user logs in.

        Raises:
            KeyError: there is no such user.
        """
        state = self._require_state()
        return BrokerAddress(
            host="127.0.0.1", port=state.ports.mqtt, username=user, password=state.passwords[user]
        )

    @property
    def websocket_url(self) -> str | None:
        """Where browsers speak MQTT; None when switched off."""
        port = self._require_state().ports.websocket
        return f"ws://127.0.0.1:{port}/mqtt" if port else None

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.directory / "nats-server.log"

    async def add_user(self, user: BrokerUser) -> BrokerAddress:
        """Add (or change) a login without interrupting anybody's connection."""
        self._wanted[user.name] = user
        self._write_config()
        self._signal(signal.SIGHUP)
        address = self.address(user.name)
        await self._wait_login(address, until_allowed=True)
        return address

    async def remove_user(self, name: str) -> None:
        """Remove a login; its connections are ended by the server."""
        self._wanted.pop(name, None)
        self._write_config()
        self._signal(signal.SIGHUP)

    # --- life -----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._prepare)
        try:
            await self._adopt_or_start()
            await self._cap_store()
            await self._crew.__aenter__()
            self._crew.start(self._watch(), name="embedded broker")
        except BaseException:
            await self._end_server()
            self._release()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._crew.__aexit__(exc_type, exc, traceback)
        finally:
            await self._end_server()
            self._release()

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)
        lock = (self.directory / "owner.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise BrokerStoreInUse(path=str(self.directory)) from error
        self._owner_lock = lock
        try:
            self._program = find_server(self._server)
            self._state = self._load_state()
            self._write_config()
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    async def _adopt_or_start(self) -> None:
        store_lock = self._take_store_lock()
        if store_lock is None:
            pid = read_pid(self.directory)
            if pid is not None and await self._answers(2.0):
                self._pid, self.adopted = pid, True
                self._signal(signal.SIGHUP)  # our users may be others than those of the run before
                # One that is new gets in only once all of it is in force. Before that, users of ours would be
                # refused, and whoever is logging in while it is being read is thrown out.
                await self._wait_login(self.address(next(iter(self._new_users), ADMIN)), until_allowed=True)
                _log.info("adopted the broker that was left running (process %d)", pid)
                return
            await asyncio.to_thread(end_process, pid, self.directory)
            store_lock = await self._released_store_lock()
        try:
            await self._start(store_lock)
        finally:
            store_lock.close()  # the server holds its own copy

    async def _released_store_lock(self) -> IO[bytes]:
        """A process that was just ended vanishes first and closes its files after that."""
        deadline = time.monotonic() + _RELEASE_SECONDS
        while True:
            lock = self._take_store_lock()
            if lock is not None:
                return lock
            if time.monotonic() > deadline:
                raise BrokerStoreInUse(path=str(self.directory))
            await asyncio.sleep(0.02)

    def _take_store_lock(self) -> IO[bytes] | None:
        lock = (self.directory / "store.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        return lock

    async def _start(self, store_lock: IO[bytes]) -> None:
        self._fresh_ports_iftaken()
        self._write_config()
        with self.log_path.open("ab") as log:
            self._process = await asyncio.to_thread(
                lambda: subprocess.Popen(
                    [str(self._program), "-c", str(self.directory / "nats.conf")],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    pass_fds=(store_lock.fileno(),),
                    # Ctrl-C in a terminal is for the daemon, which then ends the broker in order.
                    start_new_session=True,
                )
            )
        self._pid = self._process.pid
        (self.directory / "pid").write_text(f"{self._pid}\n")
        if not await self._answers(_START_SECONDS):
            detail = f"no answer on port {self._require_state().ports.mqtt} within {_START_SECONDS:g} s"
            if self._process.poll() is not None:
                detail = f"it ended at once with code {self._process.returncode}"
            raise BrokerFailed(detail=detail, log=str(self.log_path))

    async def _watch(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            while self._pid is not None and self._alive():
                await until_ended(self._pid, longest=_LOOK_SECONDS)
            _log.warning("the embedded broker (process %s) is gone, starting it again", self._pid)
            failures = 0 if self._clock.monotonic() - began > _START_SECONDS else failures + 1
            await self._clock.sleep(min(10.0, 0.1 * 2**failures) if failures else 0.0)
            self.restarts += 1
            self.adopted = False
            try:
                await self._adopt_or_start()
                await self._cap_store()
            except BusError as error:
                _log.error("%s", error)
                await self._end_server()

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._pid is not None and is_our_server(self._pid, self.directory)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None and self._alive():
            os.kill(self._pid, number)

    async def _end_server(self) -> None:
        pid, process = self._pid, self._process
        self._pid = self._process = None
        if process is not None:
            await asyncio.to_thread(end_child, process)
        elif pid is not None:
            await asyncio.to_thread(end_process, pid, self.directory)
        with contextlib.suppress(FileNotFoundError):
            (self.directory / "pid").unlink()

    # --- configuration ----------------------------------------------------------------------

    def _require_state(self) -> _State:
        if self._state is None:
            raise BrokerFailed(detail="it is not open, use it inside `async with`", log=str(self.log_path))
        return self._state

    def _load_state(self) -> _State:
        """Ports and passwords stay the same over restarts, so that clients find their way back."""
        path = self.directory / "state.json"
        kept: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            kept = json.loads(path.read_text())
        ports = kept.get("ports")
        return _State(
            Ports(**ports) if ports else Ports.free(websocket=self._websocket),
            {str(name): str(secret) for name, secret in kept.get("passwords", {}).items()},
            (),
        )

    def _fresh_ports_iftaken(self) -> None:
        state = self._require_state()
        if any(taken(port) for port in state.ports.all()):
            self._state = _State(Ports.free(websocket=self._websocket), state.passwords, state.users)

    def _write_config(self) -> None:
        state = self._require_state()
        users = tuple(self._wanted.values())
        names = [ADMIN, *(user.name for user in users)]
        self._new_users = [name for name in names if name not in state.passwords]
        passwords = {name: state.passwords.get(name) or secrets.token_urlsafe(24) for name in names}
        self._state = state = _State(state.ports, passwords, users)
        text = render(
            directory=self.directory,
            ports=state.ports,
            limits=self.limits,
            admin=(ADMIN, passwords[ADMIN]),
            users=[(user, passwords[user.name]) for user in users],
        )
        write_private(self.directory / "nats.conf", text)
        kept = {"ports": state.ports.as_dict(), "passwords": passwords}
        write_private(self.directory / "state.json", json.dumps(kept, indent=1))

    # --- talking to the server ----------------------------------------------------------------

    async def _answers(self, seconds: float) -> bool:
        try:
            await self._wait_login(self.address(ADMIN), seconds)
        except BusError:
            return False
        return True

    async def _wait_login(
        self, address: BrokerAddress, seconds: float = _START_SECONDS, *, until_allowed: bool = False
    ) -> None:
        from hal9.bus.session import Session  # noqa: PLC0415 - loads the MQTT client

        deadline = time.monotonic() + seconds
        while True:
            session = Session(
                address,
                client_id=f"hal9-probe-{secrets.token_hex(4)}",
                clean=True,
                will=None,
                keepalive=30,
                in_flight=1,
                answer_timeout=2.0,
                deliver=lambda _message: None,
            )
            try:
                await session.open({})
                await session.goodbye()
            except BusError as error:
                ended = self._process is not None and self._process.poll() is not None
                final = isinstance(error, BrokerRefused) and not until_allowed
                if ended or final or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)
            else:
                return
            finally:
                session.dispose()

    async def _cap_store(self) -> None:
        """Without this the message store fills up once and then refuses everything for ever.

        The stream exists from the first MQTT connection on, so it is changed rather than declared.
        """
        state, limits = self._require_state(), self.limits
        try:
            async with JetStream(state.ports.nats, user=ADMIN, password=state.passwords[ADMIN]) as store:
                await store.limit_stream(
                    _MESSAGE_STREAM, max_bytes=limits.max_bytes, max_age_seconds=limits.max_age_seconds
                )
        except (JetStreamRefused, OSError) as error:
            raise BrokerFailed(
                detail=f"its store could not be capped: {error}", log=str(self.log_path)
            ) from error
