"""Keys of a terminal as they are pressed, by name."""

import asyncio
import os
import re
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keyboard"]

_NAMES = {
    "\x1b[A": "up", "\x1bOA": "up", "k": "up", "\x1b[B": "down", "\x1bOB": "down", "j": "down",
    "\x1b[5~": "page up", "\x1b[6~": "page down", " ": "page down",
    "\x1b[H": "home", "\x1bOH": "home", "\x1b[1~": "home", "g": "home",
    "\x1b[F": "end", "\x1bOF": "end", "\x1b[4~": "end", "G": "end",
    "\r": "enter", "\n": "enter", "\x1b": "back", "\x7f": "back", "\x1b[D": "back", "\x1bOD": "back",
}  # fmt: skip
_ONE = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)


@contextmanager
def keyboard() -> Iterator[asyncio.Queue[str]]:
    """Read standard input key by key, without echo; the terminal is given back as it was.

    Yields:
        Names of keys ("up", "enter", "back", or the character itself); "closed" when the terminal has gone.
    """
    descriptor = sys.stdin.fileno()
    pressed: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        try:
            data = os.read(descriptor, 1024)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(descriptor)
            pressed.put_nowait("closed")
        for one in _ONE.findall(data.decode("utf-8", "replace")):
            pressed.put_nowait(_NAMES.get(one, one))

    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield pressed
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
