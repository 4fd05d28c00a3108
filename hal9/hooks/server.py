"""The daemon's side of hook calls: a socket in the home's folder of state, for this user alone."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from hal9.hooks.client import SOCKET, address_of
from hal9.hooks.events import AGENTS
from hal9.hooks.session import answer_hook
from hal9.learning.guards.advisor import ActionAdvisor
from hal9.memory import MemoryStore

__all__ = ["serve_hooks"]

_log = logging.getLogger("hal9.hooks")
_MOST_INPUT = 5_000_000
_MOST_HEAD = 400
_INPUT_SECONDS = 5.0


@asynccontextmanager
async def serve_hooks(
    folder: Path, store: MemoryStore, advisor: ActionAdvisor, *, learning: Callable[[], bool] = lambda: True
) -> AsyncGenerator[None]:
    """Answer hook calls while this is open.

    Where no socket can be made (a path that is too long, a file system without sockets), that is logged and
    the calls go the way that needs no daemon.

    Args:
        folder: the home's folder of state.
        store: the memory, open, with the embedder.
        advisor: guards and runs of the same memory.
        learning: whether outcomes may be learned from now.
    """
    server = _HookServer(folder, store, advisor, learning)
    try:
        listening = await asyncio.start_unix_server(server.serve, sock=_bound(folder), limit=_MOST_INPUT)
    except OSError as error:
        _log.warning("hooks are answered without the daemon: no socket in %s (%s)", folder, error)
        yield
        return
    async with listening:
        try:
            yield
        finally:
            with suppress(OSError):
                (folder / SOCKET).unlink()
            server.worker.shutdown(wait=True, cancel_futures=True)


def _bound(folder: Path) -> socket.socket:
    """A listening address in the folder; what a dead daemon left there goes (the home's lock is ours)."""
    (folder / SOCKET).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    handle = os.open(folder, os.O_RDONLY)
    try:
        made.bind(address_of(str(folder), handle))
        (folder / SOCKET).chmod(0o600)
    except OSError:
        made.close()
        raise
    finally:
        os.close(handle)
    return made


class _HookServer:
    """Answers one call per connection; whatever goes wrong, the agent goes on."""

    def __init__(
        self, folder: Path, store: MemoryStore, advisor: ActionAdvisor, learning: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._store = store
        self._advisor = advisor
        self._learning = learning
        # One call after the other reads and writes a session's file, and none waits behind other work.
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="hooks")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_INPUT_SECONDS):
                text = await reader.read(_MOST_INPUT)
                while more := await reader.read(_MOST_INPUT - len(text)):
                    text += more
            answer = await asyncio.get_running_loop().run_in_executor(self.worker, self._answer, text)
            writer.write(json.dumps(answer).encode())
            await writer.drain()
        except (OSError, TimeoutError) as error:
            _log.info("a hook call broke off: %s", error)
        finally:
            writer.close()

    def _answer(self, text: bytes) -> dict[str, Any]:
        head, _, body = text.partition(b"\n")
        agent, _, event = head[:_MOST_HEAD].decode("utf-8", "replace").partition(" ")
        try:
            value = json.loads(body or b"{}")
            if agent not in AGENTS or not isinstance(value, dict):
                return {}
            return answer_hook(
                self._store,
                self._folder / "hooks",
                agent,
                event,
                value,
                advisor=self._advisor,
                learning=self._learning(),
            )
        except Exception as error:  # noqa: BLE001 - a broken memory must never stop another agent
            _log.warning("hook %s of %s: %s: %s", event, agent, type(error).__name__, error)
            return {}
