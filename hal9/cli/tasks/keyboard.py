"""Keys of a terminal as they are pressed, by name."""

import asyncio
import os
import re
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Keyboard", "keyboard"]

_NAMES = {
    "\x1b[A": "up", "\x1bOA": "up", "k": "up", "\x1b[B": "down", "\x1bOB": "down", "j": "down",
    "\x1b[5~": "page up", "\x1b[6~": "page down", " ": "page down",
    "\x1b[H": "home", "\x1bOH": "home", "\x1b[1~": "home", "g": "home",
    "\x1b[F": "end", "\x1bOF": "end", "\x1b[4~": "end", "G": "end",
    "\r": "enter", "\n": "enter", "\x1b": "back", "\x7f": "back", "\x1b[D": "back", "\x1bOD": "back",
}  # fmt: skip
_ONE = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Keyboard:
    """A terminal's keys.

    Attributes:
        pressed: names of keys ("up", "enter", "back", or the character itself); "closed" when the terminal
            has gone.
        descriptor: the terminal.
        before: its settings as they were.
    """

    pressed: asyncio.Queue[str]
    descriptor: int
    before: list[Any]

    def take(self) -> None:
        """From now on each key is told at once, without echo."""
        tty.setcbreak(self.descriptor)

    def give_back(self) -> None:
        """The terminal is as it was."""
        termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self.before)


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read standard input key by key, without echo; the terminal is given back as it was."""
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
    keys = Keyboard(pressed, descriptor, termios.tcgetattr(descriptor))
    keys.take()
    loop.add_reader(descriptor, read)
    try:
        yield keys
    finally:
        loop.remove_reader(descriptor)
        keys.give_back()
