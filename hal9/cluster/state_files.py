"""Small files in a home's state folder: replaced in one step, readable by their owner only; and its lock."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from hal9.cluster.home import Home
from hal9.errors.cluster import DaemonRunning, HomeUnwritable

__all__ = ["HomeLock", "read_state", "write_state"]


def write_state(path: Path, value: Any) -> None:
    """Replace a file of ours in one step; only its owner may read it.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(value, stream)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_state(path: Path) -> dict[str, Any]:
    """What the file says; empty when there is none or it cannot be read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


class HomeLock:
    """Held by the one daemon of a home; the file holds its process id.

    Raises:
        DaemonRunning: on entering, when another daemon has it.
        HomeUnwritable: on entering, when the state folder cannot be written.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stream: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._home.make_state()
            stream = self._home.lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise HomeUnwritable(home=str(self._home.root), detail=str(error)) from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            text = stream.read().strip()
            stream.close()
            pid = int(text) if text.isdigit() else None
            raise DaemonRunning(home=str(self._home.root), pid=pid) from None
        try:
            stream.seek(0)
            stream.truncate()
            stream.write(f"{os.getpid()}\n")
            stream.flush()
        except OSError as error:
            stream.close()
            raise HomeUnwritable(home=str(self._home.root), detail=str(error)) from error
        self._stream = stream
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.seek(0)
            stream.truncate()
            stream.close()
