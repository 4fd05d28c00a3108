"""Asking the process that keeps a tree warm: the client's side, with nothing heavy imported.

`ripmap index --watch` listens on a socket in a folder of the user's own; `ripmap` and `ripmap explain` ask it
first and do the work themselves when nobody answers.
"""

import os
import sys
from typing import TYPE_CHECKING

from hal9 import __version__

if TYPE_CHECKING:
    import socket

__all__ = ["ask", "receive", "send", "socket_path"]

_OWN = frozenset({"index", "serve", "cache", "eval", "cases", "params", "-h", "--help", "--version"})
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
_LENGTH = 8


def _folder() -> str:
    """Where all sockets of this user are."""
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - its mode is checked
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return os.path.join(base, f"ripmap-{owner}")  # noqa: PTH118 - pathlib would double this module's cost


def socket_path(root: str) -> str:
    """Where the process that watches `root` listens; the folder belongs to the user alone."""
    from hashlib import blake2b  # noqa: PLC0415 - not paid for while nothing watches anything

    name = blake2b(os.fsencode(os.path.realpath(root)), digest_size=12).hexdigest()
    return os.path.join(_folder(), name)  # noqa: PTH118


def send(connection: "socket.socket", message: dict[str, object]) -> None:
    """One JSON message behind its length."""
    import json  # noqa: PLC0415 - only when there is somebody to talk to

    data = json.dumps(message).encode("utf-8", "surrogateescape")
    connection.sendall(len(data).to_bytes(_LENGTH, "little") + data)


def receive(connection: "socket.socket") -> dict[str, object] | None:
    """One message; None when the other side went away or sent something else."""
    import json  # noqa: PLC0415 - as above

    length = _exactly(connection, _LENGTH)
    data = _exactly(connection, int.from_bytes(length, "little")) if length is not None else None
    if data is None:
        return None
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _exactly(connection: "socket.socket", count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def ask(arguments: list[str]) -> int | None:
    """Have a watching process run the command; its exit code, or None when this process must run it."""
    own = (arguments and arguments[0] in _OWN) or "-" in arguments
    if own or os.environ.get("RIPMAP_NO_WARM") or not os.path.isdir(_folder()):  # noqa: PTH112
        return None
    path = socket_path(_root_of(arguments))
    if not os.path.exists(path):  # noqa: PTH110
        return None
    import socket  # noqa: PLC0415 - somebody seems to listen

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(path)
            connection.settimeout(_ANSWER_SECONDS)
            send(
                connection,
                {
                    "version": __version__,
                    "arguments": arguments,
                    "folder": os.getcwd(),  # noqa: PTH109
                    "terminal": sys.stdout.isatty(),
                },
            )
            answer = receive(connection)
    except OSError:
        # Nobody listens any more; the command does its own work.
        return None
    if answer is None or "code" not in answer:
        return None
    sys.stderr.write(str(answer.get("stderr", "")))
    sys.stdout.write(str(answer.get("stdout", "")))
    sys.stdout.flush()
    return int(str(answer["code"]))


def _root_of(arguments: list[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == "--root" and position + 1 < len(arguments):
            return arguments[position + 1]
    if arguments and arguments[0] == "explain":
        given = arguments[2] if len(arguments) > 2 else "."
        return given if not given.startswith("-") else "."
    start = 1 if arguments and arguments[0] == "map" else 0
    first = arguments[start] if len(arguments) > start else "."
    return first if not first.startswith("-") else _last_folder(arguments[start:])


def _last_folder(arguments: list[str]) -> str:
    last = arguments[-1] if arguments else "."
    return last if os.path.isdir(last) else "."  # noqa: PTH112
