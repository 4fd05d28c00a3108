"""The parent's side of a local model's server: start, watch, share and end the child process.

Everything here blocks and may be called from any thread; `local.py` calls it off the event loop.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from hal9.errors.minds import LocalMemoryShort, LocalStartFailed, RuntimeMissing
from hal9.minds.local.system_resources import available_memory, free_cores

__all__ = ["Address", "LocalServer", "LocalSettings", "acquire", "release", "running_servers"]

_STOP_SECONDS = 5.0
_DEATH_SECONDS = 0.5
_BASE_BYTES = 250_000_000
"""What the runtime takes besides the model file, from the resident sizes measured in docs/models.md."""

_MEMORY_SIGNS = (
    "bad_alloc",
    "allocate",
    "out of memory",
    "resource temporarily unavailable",  # no room for a thread's stack
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """How a local model is run; equal settings share one server.

    Attributes:
        model: a name of the catalogue or a path to a ``.gguf`` file; empty for the catalogue's default.
        threads: computing threads; 0 measures the cores that are free when the server starts, less one.
        context_tokens: prompt and answer of one request.
        parallel: requests computed at once; more wait in a queue.
        batch_tokens: most tokens computed between two looks at who still waits for an answer.
        prompt_cache_mib: memory for prompt prefixes of requests that are not running.
        memory_limit_bytes: address space of the child, None for no limit.
        start_timeout_seconds: how long loading may take.
    """

    model: str = ""
    threads: int = 0
    context_tokens: int = 8192
    parallel: int = 2
    batch_tokens: int = 32
    prompt_cache_mib: int = 512
    memory_limit_bytes: int | None = None
    start_timeout_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and the key it asks for."""

    url: str
    key: str = field(repr=False)


class LocalServer:
    """The child process; every method blocks and may be called from any thread."""

    def __init__(self, name: str, path: Path, settings: LocalSettings) -> None:
        self._name = name
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._address: Address | None = None
        self._log: deque[str] = deque(maxlen=40)
        self.users = 0

    def running(self) -> Address | None:
        """The address if the child lives; never waits."""
        process, address = self._process, self._address
        return address if process is not None and process.poll() is None else None

    @property
    def pid(self) -> int | None:
        """Process id of the child while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ensure(self) -> Address:
        """The address of a living child, starting one when there is none."""
        with self._lock:
            address = self.running()
            if address is not None:
                return address
            self._reap()
            self._check_memory()
            return self._start()

    def stop(self) -> None:
        """End the child."""
        with self._lock:
            self._reap()

    def wait_for_death(self) -> str:
        """Give a dying child a moment; says how it ended, or that it lives."""
        process = self._process
        if process is None:
            return "its server is not running"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_DEATH_SECONDS)
        status = process.returncode
        if status is None:
            return "its server runs but closed the connection"
        ending = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"its server {ending}" + self._log_tail()

    def _check_memory(self) -> None:
        free = available_memory()
        needed = self._path.stat().st_size + _BASE_BYTES
        if free is not None and free < needed:
            raise LocalMemoryShort(mind=self._name, needed=needed, free=free)

    def _start(self) -> Address:
        key = secrets.token_urlsafe(24)
        settings = self._settings
        threads = settings.threads or max(1, min(free_cores() - 1, 8))
        self._log.clear()
        process = _spawn()
        self._process = process
        threading.Thread(target=self._drain, args=(process,), name="local-model-log", daemon=True).start()
        try:
            answer = self._handshake(
                process,
                {
                    "parent": os.getpid(),
                    "model": str(self._path),
                    "key": key,
                    "threads": threads,
                    "context_tokens": settings.context_tokens,
                    "parallel": settings.parallel,
                    "batch_tokens": settings.batch_tokens,
                    "prompt_cache_mib": settings.prompt_cache_mib,
                    "memory_limit_bytes": settings.memory_limit_bytes,
                },
            )
        except BaseException:
            self._reap()
            raise
        self._address = Address(answer, key)
        return self._address

    def _handshake(self, process: "subprocess.Popen[str]", settings: dict[str, object]) -> str:
        stdin = cast("IO[str]", process.stdin)
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(settings) + "\n")
            stdin.flush()
        line = _read_line(process, self._settings.start_timeout_seconds)
        if line is None:
            raise LocalStartFailed(
                mind=self._name, detail=f"it was not ready after {self._settings.start_timeout_seconds:g} s"
            )
        if not line:
            self._raise_for_exit(process)
        message = json.loads(line)
        if "ready" in message:
            return str(message["ready"])
        detail = f"{message['detail']}{self._log_tail()}"
        if message["failed"] == "runtime":
            raise RuntimeMissing(mind=self._name, library="xllamacpp", extra="local")
        self._raise_for_memory(certain=message["failed"] == "memory")
        raise LocalStartFailed(mind=self._name, detail=detail)

    def _raise_for_exit(self, process: "subprocess.Popen[str]") -> None:
        status = process.wait(_STOP_SECONDS)
        detail = f"it ended with status {status} while loading{self._log_tail()}"
        # The kernel's out-of-memory killer uses SIGKILL.
        self._raise_for_memory(certain=status == -9)
        raise LocalStartFailed(mind=self._name, detail=detail)

    def _raise_for_memory(self, *, certain: bool) -> None:
        """Raise LocalMemoryShort when the child's log tells of memory, or when it is certain anyway."""
        told = [line for line in self._log if any(sign in line.lower() for sign in _MEMORY_SIGNS)]
        if told or certain:
            free = self._settings.memory_limit_bytes or available_memory()
            detail = told[0].strip() if told else "it was killed or could not allocate while loading"
            raise LocalMemoryShort(mind=self._name, needed=None, free=free, detail=detail)

    def _reap(self) -> None:
        process, self._process, self._address = self._process, None, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _drain(self, process: "subprocess.Popen[str]") -> None:
        with cast("IO[str]", process.stderr) as stream:
            for line in stream:
                self._log.append(line.rstrip())

    def _log_tail(self) -> str:
        lines = [line for line in self._log if line.strip()][-4:]
        return "; it said: " + " | ".join(lines) if lines else ""


def _read_line(process: "subprocess.Popen[str]", seconds: float) -> str | None:
    """One line of the child's answer, "" at its end, None when the time is over."""
    answered: Future[str] = Future()

    def read() -> None:
        try:
            answered.set_result(cast("IO[str]", process.stdout).readline())
        except (OSError, ValueError) as error:
            answered.set_exception(error)

    threading.Thread(target=read, name="local-model-start", daemon=True).start()
    try:
        return answered.result(seconds)
    except TimeoutError:
        return None


# The kernel's parent-death signal follows the *thread* that started the child, so one thread that lives as
# long as this process starts them all. Keyed by process id: threads do not survive a fork.
_SPAWNERS: dict[int, ThreadPoolExecutor] = {}


def _spawn() -> "subprocess.Popen[str]":
    spawner = _SPAWNERS.setdefault(
        os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="local-model-spawner")
    )
    environment = {
        **os.environ,
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "0",
        "PYTHONUNBUFFERED": "1",
    }
    return spawner.submit(
        lambda: subprocess.Popen(
            [sys.executable, "-m", "hal9.minds.local.server_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=True,  # Ctrl-C is for the cluster, which then stops the model in order
        )
    ).result()


_SERVERS: dict[tuple[Path, LocalSettings], LocalServer] = {}
_SERVERS_LOCK = threading.Lock()


def running_servers() -> tuple[tuple[str, int], ...]:
    """Model file and process id of every local server of this process."""
    with _SERVERS_LOCK:
        found = [(str(key[0]), server.pid) for key, server in _SERVERS.items()]
    return tuple((path, pid) for path, pid in found if pid is not None)


def acquire(name: str, path: Path, settings: LocalSettings) -> LocalServer:
    """The server that this process shares for a model and settings, with one more user."""
    with _SERVERS_LOCK:
        server = _SERVERS.setdefault((path, settings), LocalServer(name, path, settings))
        server.users += 1
        return server


def release(path: Path, settings: LocalSettings, server: LocalServer) -> None:
    """One user less; the last one ends the server."""
    with _SERVERS_LOCK:
        server.users -= 1
        if server.users:
            return
        _SERVERS.pop((path, settings), None)
    server.stop()
