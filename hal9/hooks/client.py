"""The quickest way of a hook call: hand it to the daemon over its socket; nothing else is loaded.

The first line says who asks and about what, then comes what the agent wrote, unread; the daemon's answer is
what is printed. Where no daemon listens, `quick` reads the memory file.
"""

from __future__ import annotations

import _socket  # without `socket`, which loads enum and selectors: half of the call's time
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SOCKET", "address_of", "ask_daemon", "hook_call"]

AGENT_NAMES = ("claude-code", "codex", "gemini-cli", "cursor")
SOCKET = "hooks.sock"
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
_MOST_INPUT = 5_000_000
_LONGEST_PATH = 100
"""Bytes that fit into a socket's address on every system; a longer path goes by its folder's number."""


def hook_call(arguments: Sequence[str]) -> bool:
    """Answer `[--home DIR] hook EVENT [--agent NAME]` on standard input and output.

    Returns:
        Whether it was such a call; anything else is left to the command line, which explains what is wrong.
    """
    words = list(arguments)
    home = os.environ.get("HAL9_HOME") or "."
    if words[:1] == ["--home"] and len(words) > 1:
        home, words = words[1], words[2:]
    agent = "claude-code"
    if len(words) == 4 and words[2] == "--agent":
        agent, words = words[3], words[:2]
    if len(words) != 2 or words[0] != "hook" or words[1].startswith("-") or agent not in AGENT_NAMES:
        return False
    sys.stdout.write(_answer(os.path.join(home, ".hal9"), agent, words[1]) + "\n")  # noqa: PTH118
    return True


def _answer(state: str, agent: str, event: str) -> str:
    body = sys.stdin.buffer.read(_MOST_INPUT)
    said: str | None = None
    try:
        said = ask_daemon(state, agent, event, body)
    except OSError as error:  # it took the call and does not answer: asking again would count twice
        from pathlib import Path  # noqa: PLC0415

        from hal9.hooks.quick import log_hook  # noqa: PLC0415

        log_hook(Path(state), f"hook {event}: the daemon did not answer: {type(error).__name__}: {error}")
        return "{}"
    if said is not None:
        return said
    import json  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from hal9.hooks.quick import answer_call  # noqa: PLC0415

    return json.dumps(answer_call(Path(state), agent, event, body))


def address_of(folder: str, handle: int | None = None) -> str:
    """The address of the socket in a home's folder of state.

    Args:
        folder: the folder.
        handle: the folder, open; used where the path is too long for an address.
    """
    path = os.path.join(folder, SOCKET)  # noqa: PTH118 - pathlib takes longer to load than the whole call
    if handle is None or len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    return f"/proc/self/fd/{handle}/{SOCKET}"


def ask_daemon(folder: str, agent: str, event: str, body: bytes) -> str | None:
    """The daemon's answer as JSON; None when there is no daemon to ask.

    Args:
        folder: the home's folder of state.
        agent: who asks.
        event: the event's name.
        body: what the agent wrote.

    Raises:
        OSError: the daemon took the call and did not answer in time; it must not be asked another way.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(address_of(folder, handle))
    except OSError:
        connection.close()
        return None
    finally:
        os.close(handle)
    try:
        connection.settimeout(_ANSWER_SECONDS)
        connection.sendall(f"{agent} {event}\n".encode("utf-8", "replace") + body)
        connection.shutdown(_socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    finally:
        connection.close()
    return b"".join(pieces).decode("utf-8", "replace") or None
