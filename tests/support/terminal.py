"""A program in a real terminal of a given size: what stands on its screen, and keys that are pressed."""

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.cells import cell_len

from tests.support.commands import ROOT

__all__ = ["Terminal", "hal9_in_terminal", "shell_in_terminal"]

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()].|\r")
_REDRAWN = "\x1b[H"
_STILL_SECONDS = 90.0
# Tests that run in the background hand down a SIGINT that is ignored; a person's terminal does not.
_PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from hal9.__main__ import main; sys.exit(main())"
)
_IN_ITS_OWN_SESSION = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """The near end of a terminal in which a program runs."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes], columns: int) -> None:
        self.process = process
        self.written = ""
        self._descriptor = descriptor
        self._columns = columns

    def press(self, keys: str) -> None:
        """As a person's keyboard sends them."""
        os.write(self._descriptor, keys.encode())

    def screen(self) -> list[str]:
        """Lines of the newest whole picture of a full-screen program; each fits the terminal."""
        pictures = self.written.split(_REDRAWN)
        # The newest may not be whole yet.
        newest = pictures[-2 if len(pictures) > 2 else -1]
        lines = [_CONTROLS.sub("", line).rstrip() for line in newest.split("\n")]
        wide = [line for line in lines if cell_len(line) > self._columns]
        assert not wide, f"wider than {self._columns} columns: {wide}"
        return lines

    def until(self, there: str | Callable[[list[str]], bool]) -> list[str]:
        """Read until a text is on the screen (or a question about it is answered with yes)."""
        while True:
            lines = self.screen()
            if there in "\n".join(lines) if isinstance(there, str) else there(lines):
                return lines
            assert self._read(), f"it ended without showing {there!r}:\n{self.written[-3000:]}"

    def ended(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], _STILL_SECONDS)[0]:
            raise AssertionError(f"nothing more after {self.written[-3000:]!r}")
        try:
            part = os.read(self._descriptor, 65536)
        except OSError:  # the other side is closed: it ended
            return False
        self.written += part.decode(errors="replace")
        return bool(part)


@contextmanager
def hal9_in_terminal(
    *arguments: str, columns: int = 80, rows: int = 24, environ: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `hal9` in a terminal; on leaving it is ended, and the terminal must be as it was before."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    with _opened(columns, rows) as (ours, theirs):
        before = termios.tcgetattr(ours)
        with _running(command, ours, theirs, columns, environ or {}) as terminal:
            yield terminal
            if terminal.process.poll() is not None:
                assert termios.tcgetattr(ours) == before, "the terminal was not given back as it was"


@contextmanager
def shell_in_terminal(*, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    """A person's own shell, with job control; it knows `hal9` as a command."""
    command = ["bash", "--norc", "--noprofile", "-i"]
    with (
        _opened(columns, rows) as (ours, theirs),
        # What a person types into a shell may be of any width.
        _running(command, ours, theirs, 100_000, {"PS1": "$ "}, controlling=True) as terminal,
    ):
        terminal.press(f'hal9() {{ {shlex.join([sys.executable, "-c", _PROGRAM])} "$@"; }}\n')
        yield terminal


@contextmanager
def _opened(columns: int, rows: int) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@contextmanager
def _running(
    command: Sequence[str],
    ours: int,
    theirs: int,
    columns: int,
    environ: Mapping[str, str],
    *,
    controlling: bool = False,
) -> Iterator[Terminal]:
    given = {**os.environ, **environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    given = {name: value for name, value in given.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    if controlling:  # the terminal of a session of its own, which alone has foreground and background
        command = [sys.executable, "-c", _IN_ITS_OWN_SESSION, *command]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=given,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=controlling,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process, columns)
    finally:
        process.kill()
        process.wait(30)
