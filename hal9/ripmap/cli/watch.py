"""Keeping one tree warm: the index follows every change, and commands are answered from memory."""

import contextlib
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from hal9 import __version__
from hal9.errors.base import Hal9Error
from hal9.errors.ripmap import RipmapExtraMissing, WatchRefused
from hal9.ripmap.cli.common import use_map_service
from hal9.ripmap.rendering.repository_map import MapRequest, MapService
from hal9.ripmap.serving.warm_client import receive, send, socket_path

__all__ = ["Watcher", "watch_tree"]

_ACCEPT_SECONDS = 0.2
_CLIENT_SECONDS = 10.0
_BACKLOG = 16


class Watcher:
    """Answers commands about one root; use it with `with`, then call `run`."""

    def __init__(self, root: Path, maps: MapService, *, say: Callable[[str], None]) -> None:
        self.root = root
        self._maps = maps
        self._say = say
        self._stop = threading.Event()
        self._working = threading.Lock()
        self._path = Path(socket_path(str(root)))
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self._path.parent.stat()
        if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
            raise WatchRefused(path=str(self._path.parent), detail="the folder is open to other users")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if self._answers():
            self._listener.close()
            raise WatchRefused(path=str(self.root), detail="another process watches it already")
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen(_BACKLOG)
        self._listener.settimeout(_ACCEPT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
            self._path.unlink(missing_ok=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self._path))
            except OSError:
                return False
            return True

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def run(self) -> None:
        """Answer and follow changes until `stop`."""
        follower = threading.Thread(target=self._follow, name="ripmap-follow", daemon=True)
        follower.start()
        while not self._stop.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            with connection, contextlib.suppress(OSError):  # a client that went away needs no answer
                connection.settimeout(_CLIENT_SECONDS)
                self._answer(connection)
        follower.join()

    @property
    def _listening(self) -> socket.socket:
        if self._listener is None:
            raise RuntimeError("use the watcher with `with`")
        return self._listener

    def _answer(self, connection: socket.socket) -> None:
        request = receive(connection)
        if request is None or request.get("version") != __version__:
            send(connection, {"refused": __version__})
            return
        with self._working:
            send(connection, self._run_command(request))

    def _run_command(self, request: dict[str, Any]) -> dict[str, object]:
        from hal9.ripmap.cli.main import main  # noqa: PLC0415 - cli imports this module's caller

        out, err = io.StringIO(), io.StringIO()
        code = 0
        arguments = [str(argument) for argument in request.get("arguments", [])]
        if request.get("terminal") and "--no-color" not in arguments and "explain" not in arguments[:1]:
            arguments = [*arguments, "--color"]
        with _within(str(request.get("folder", "."))), use_map_service(self._maps), \
                contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # fmt: skip
            try:
                main(arguments)
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
        return {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}

    def _follow(self) -> None:
        try:
            from watchfiles import watch  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise RipmapExtraMissing(package="watchfiles", extra="ripmap") from error
        for changes in watch(self.root, stop_event=self._stop, raise_interrupt=False):
            with self._working:
                try:
                    index = self._maps.index(self.root)
                    self._maps.ranking(index, MapRequest())
                except Hal9Error as error:
                    self._say(str(error))
                else:
                    self._say(f"{len(changes)} changes, {index.stats.extracted} files read")


@contextlib.contextmanager
def _within(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def watch_tree(root: Path, maps: MapService, *, say: Callable[[str], None]) -> None:
    """Keep `root` warm until interrupted.

    Raises:
        WatchRefused: another process does so already, or the socket's folder is not safe.
    """
    with Watcher(root, maps, say=say) as watcher:
        say(f"watching {root}; `ripmap` answers from here until you press Ctrl-C")
        signal.signal(signal.SIGTERM, lambda *_: watcher.stop())
        try:
            watcher.run()
        except KeyboardInterrupt:
            watcher.stop()
            sys.stderr.write("\n")
