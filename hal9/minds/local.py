"""A model on this machine: a llama.cpp server in a child process, spoken to over loopback HTTP.

The child keeps a crash, a memory shortage or a long computation away from the cluster. Minds of one process that
want the same model with the same settings share one server; the last one to close stops it.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hal9.errors import (
    LocalMemoryShort,
    LocalStartFailed,
    MindClosed,
    MindUnreachable,
    RuntimeMissing,
)
from hal9.minds.machine import available_memory, free_cores
from hal9.minds.models import default_model, installed
from hal9.minds.openai_http import ChatClient, Endpoint
from hal9.minds.prices import Price, Quote
from hal9.minds.protocol import OnToken, Reply, Request
from hal9.minds.schema import constrainable

__all__ = ["LocalMind", "LocalSettings", "running_servers"]

_STOP_SECONDS = 5.0
_DEATH_SECONDS = 0.5
_BASE_BYTES = 250_000_000
"""What the runtime takes besides the model file, from the resident sizes measured in docs/models.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """How a local model is run; equal settings share one server.

    Attributes:
        model: a name of the catalogue or a path to a ``.gguf`` file; empty for the catalogue's default.
        threads: computing threads; 0 measures the cores that are free when the server starts, less one.
        context_tokens: prompt and answer of one request.
        parallel: requests computed at once; more wait in a queue.
        prompt_cache_mib: memory for prompt prefixes of requests that are not running.
        memory_limit_bytes: address space of the child, None for no limit.
        start_timeout_seconds: how long loading may take.
    """

    model: str = ""
    threads: int = 0
    context_tokens: int = 8192
    parallel: int = 2
    prompt_cache_mib: int = 512
    memory_limit_bytes: int | None = None
    start_timeout_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class _Address:
    url: str
    key: str


class _Server:
    """The child process; every method blocks and may be called from any thread."""

    def __init__(self, name: str, path: Path, settings: LocalSettings) -> None:
        self._name = name
        self._path = path
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._address: _Address | None = None
        self._log: deque[str] = deque(maxlen=40)
        self.users = 0

    def running(self) -> _Address | None:
        """The address if the child lives; never waits."""
        process, address = self._process, self._address
        return address if process is not None and process.poll() is None else None

    @property
    def pid(self) -> int | None:
        """Process id of the child while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ensure(self) -> _Address:
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

    def _start(self) -> _Address:
        key = secrets.token_urlsafe(24)
        settings = self._settings
        threads = settings.threads or max(1, min(free_cores() - 1, 8))
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
                    "prompt_cache_mib": settings.prompt_cache_mib,
                    "memory_limit_bytes": settings.memory_limit_bytes,
                },
            )
        except BaseException:
            self._reap()
            raise
        self._address = _Address(answer, key)
        return self._address

    def _handshake(self, process: "subprocess.Popen[str]", settings: dict[str, object]) -> str:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
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
        if message["failed"] == "memory" or _tells_of_memory(detail):
            raise LocalMemoryShort(mind=self._name, needed=None, free=available_memory(), detail=detail)
        raise LocalStartFailed(mind=self._name, detail=detail)

    def _raise_for_exit(self, process: "subprocess.Popen[str]") -> None:
        status = process.wait(_STOP_SECONDS)
        detail = f"it ended with status {status} while loading{self._log_tail()}"
        # The kernel's out-of-memory killer uses SIGKILL; an allocation that fails inside C++ ends in SIGABRT.
        if status == -9 or _tells_of_memory(detail):
            raise LocalMemoryShort(mind=self._name, needed=None, free=available_memory(), detail=detail)
        raise LocalStartFailed(mind=self._name, detail=detail)

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
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                self._log.append(line.rstrip())

    def _log_tail(self) -> str:
        lines = [line for line in self._log if line.strip()][-4:]
        return "; it said: " + " | ".join(lines) if lines else ""


def _tells_of_memory(text: str) -> bool:
    lowered = text.lower()
    return any(
        sign in lowered for sign in ("bad_alloc", "cannot allocate", "out of memory", "failed to allocate")
    )


def _read_line(process: "subprocess.Popen[str]", seconds: float) -> str | None:
    """One line of the child's answer, "" at its end, None when the time is over."""
    answered: Future[str] = Future()

    def read() -> None:
        assert process.stdout is not None
        try:
            answered.set_result(process.stdout.readline())
        except (OSError, ValueError) as error:
            answered.set_exception(error)

    threading.Thread(target=read, name="local-model-start", daemon=True).start()
    try:
        return answered.result(seconds)
    except TimeoutError:
        return None


# The kernel's parent-death signal follows the *thread* that started the child, so one thread that lives as long
# as this process starts them all. Keyed by process id: threads do not survive a fork.
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
            [sys.executable, "-m", "hal9.minds.local_server"],
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


_SERVERS: dict[tuple[Path, LocalSettings], _Server] = {}
_SERVERS_LOCK = threading.Lock()


def running_servers() -> tuple[tuple[str, int], ...]:
    """Model file and process id of every local server of this process."""
    with _SERVERS_LOCK:
        found = [(str(key[0]), server.pid) for key, server in _SERVERS.items()]
    return tuple((path, pid) for path, pid in found if pid is not None)


def _acquire(name: str, path: Path, settings: LocalSettings) -> _Server:
    with _SERVERS_LOCK:
        server = _SERVERS.setdefault((path, settings), _Server(name, path, settings))
        server.users += 1
        return server


def _release(path: Path, settings: LocalSettings, server: _Server) -> None:
    with _SERVERS_LOCK:
        server.users -= 1
        if server.users:
            return
        _SERVERS.pop((path, settings), None)
    server.stop()


class LocalMind:
    """A GGUF model served by llama.cpp; the server starts with the first request."""

    def __init__(self, settings: LocalSettings | None = None) -> None:
        self._settings = settings if settings is not None else LocalSettings()
        self._model = self._settings.model or default_model()
        self._path: Path | None = None
        self._server: _Server | None = None
        self._clients: dict[_Address, ChatClient] = {}
        self._exits = AsyncExitStack()
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"local:{self._model}"

    @property
    def server_pid(self) -> int | None:
        """Process id of the model's server while it runs."""
        return self._server.pid if self._server is not None else None

    async def __aenter__(self) -> Self:
        """Check that model and runtime are there.

        Raises:
            ModelMissing: the file is not on this machine.
            RuntimeMissing: xllamacpp is not installed.
        """
        if importlib.util.find_spec("xllamacpp") is None:
            raise RuntimeMissing(mind=self.name, library="xllamacpp", extra="local")
        self._path = installed(self._model)
        self._server = _acquire(self.name, self._path, self._settings)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, path, self._server = self._server, self._path, None
        try:
            await self._exits.aclose()
        finally:
            self._clients.clear()
            if server is not None and path is not None:
                await asyncio.to_thread(_release, path, self._settings, server)

    async def warm(self) -> None:
        """Load the model now instead of with the first request."""
        await self._client()

    async def quote(self, request: Request) -> Quote:
        """The exact prompt tokens plus `max_tokens`; a local model costs no money."""
        client, root = await self._client(), self._root
        turns = [{"role": item.role, "content": item.content} for item in request.messages]
        prompt = await client.post(f"{root}/apply-template", {"messages": turns}, request.timeout_seconds)
        tokens = await client.post(
            f"{root}/tokenize",
            {"content": prompt["prompt"], "add_special": True, "parse_special": True},
            request.timeout_seconds,
        )
        return Quote(tokens=len(tokens["tokens"]) + request.max_tokens, usd=0.0)

    async def think(self, request: Request, *, on_token: OnToken | None = None) -> Reply:
        """Answer with one sample; a dead server is started anew by the next call.

        Raises:
            MindError: a typed subclass.
        """
        if self._server is None:
            raise MindClosed(mind=self.name)
        server, client = self._server, await self._client()
        try:
            return await client.ask(request, on_token)
        except MindUnreachable as error:
            detail = await asyncio.to_thread(server.wait_for_death)
            raise MindUnreachable(
                mind=self.name, detail=f"{error.detail}; {detail}", remedy="The next call starts it anew."
            ) from error

    @property
    def _root(self) -> str:
        address = self._server.running() if self._server is not None else None
        if address is None:
            raise MindUnreachable(mind=self.name, detail="its server is not running")
        return address.url

    async def _client(self) -> ChatClient:
        if self._server is None:
            raise MindClosed(mind=self.name)
        async with self._connecting:
            address = self._server.running()
            if address is None:
                address = await asyncio.to_thread(self._server.ensure)
            client = self._clients.get(address)
            if client is None:
                endpoint = Endpoint(
                    mind=self.name,
                    base_url=address.url + "/v1",
                    model=self._model,
                    key=address.key,
                    key_variable="(made by HAL9)",
                    price=Price(0.0, 0.0),
                    adapt_schema=constrainable,
                    extra={"cache_prompt": True},
                )
                client = await self._exits.enter_async_context(ChatClient(endpoint))
                self._clients[address] = client
            return client
