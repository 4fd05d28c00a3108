"""Where a home's server is: a small file beside a lock that the server holds."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import IO

from hal9.cluster.home import Home

__all__ = ["last_port", "lock_file", "served_at", "write_place"]

_FILE, _LOCK = "api.json", "api.lock"


@contextlib.contextmanager
def lock_file(home: Home) -> Iterator[IO[str]]:
    """The file whose lock says that a server runs."""
    with (home.state / _LOCK).open("a+", encoding="utf-8") as lock:
        yield lock


def served_at(home: Home) -> str | None:
    """The URL of the server that runs on a home, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError), lock_file(home) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return str(json.loads((home.state / _FILE).read_text(encoding="utf-8"))["url"])
    return None


def last_port(home: Home) -> int:
    """The port the last server had, or 0."""
    try:
        return int(json.loads((home.state / _FILE).read_text(encoding="utf-8"))["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def write_place(home: Home, url: str, port: int) -> None:
    """Say where the server is; readable by the home's owner only."""
    path = home.state / _FILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps({"url": url, "port": port, "pid": os.getpid()}), encoding="utf-8")
