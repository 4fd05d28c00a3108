"""What is known about the files of a running agent's workspace, from its own steps alone.

A live workspace can simply be looked at. An imported run cannot, so the commands are followed: what was
written, appended, moved and removed, and what the agent's program refused to run.
"""

import os
import posixpath
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hal9.tools.shell import SimpleCommand, parse_command

__all__ = ["FileView", "LiveView", "RunState", "Walk", "is_path"]

_PATH = re.compile(r"[\w.@+/-]+")
_READERS = frozenset({"cat", "sed", "grep", "head", "tail", "nl", "ls", "git", "rg", "find", "wc", "diff"})
_QUIET = _READERS | {"echo", "cd", "pwd", "rm", "export", "which", "true", "test", "["}
_MOST_FILES = 5_000
_MOST_TEXT = 200_000

Presence = Literal["there", "missing", "unknown"]


def is_path(word: str) -> bool:
    """Whether a word of a command looks like a path: it has a dot or a slash and nothing odd."""
    return ("." in word or "/" in word) and not word.startswith("-") and _PATH.fullmatch(word) is not None


@dataclass(slots=True)
class FileView:
    """Files as the steps left them.

    Attributes:
        texts: files that were written here; None when their text is not known any more.
        gone: paths that were removed, or whose writing was refused.
        seen: paths that a command has read without complaint.
        stale: removed paths that a program may have made again since.
    """

    texts: dict[str, str | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)

    def copy(self) -> "FileView":
        """A view that may be changed without changing this one."""
        return FileView(dict(self.texts), set(self.gone), set(self.seen), set(self.stale))

    def presence(self, path: str) -> Presence:
        """Whether a path is there, as far as the steps tell."""
        if path in self.texts or path in self.seen or self.holds(path):
            return "there"
        return "missing" if path in self.gone and path not in self.stale else "unknown"

    def text(self, path: str) -> str | None:
        """A file's text, where it is known."""
        return self.texts.get(path)

    def holds(self, folder: str) -> bool:
        """Whether something was written below this folder."""
        return any(one.startswith(folder.rstrip("/") + "/") for one in self.texts)

    def write(self, path: str, text: str | None) -> None:
        """A file was written; its text, None when that is not known."""
        if len(self.texts) < _MOST_FILES or path in self.texts:
            self.texts[path] = None if text is None or len(text) > _MOST_TEXT else text
        self.gone.discard(path)
        self.stale.discard(path)

    def remove(self, path: str) -> None:
        """A file or folder was removed."""
        for known in [one for one in self.texts if one == path or one.startswith(path.rstrip("/") + "/")]:
            del self.texts[known]
        self.gone.add(path)
        self.seen.discard(path)
        self.stale.discard(path)

    def refuse(self, path: str) -> None:
        """A file should have been written, and the step was not run."""
        if path not in self.texts and path not in self.seen:
            self.gone.add(path)


@dataclass(slots=True)
class LiveView(FileView):
    """Files of a real folder, with what the steps are known to have changed on top.

    Attributes:
        root: the folder; only what lies in it is looked at.
    """

    root: str = ""

    def copy(self) -> "LiveView":
        return LiveView(dict(self.texts), set(self.gone), set(self.seen), set(self.stale), self.root)

    def presence(self, path: str) -> Presence:
        known = FileView.presence(self, path)
        if known != "unknown" or path.startswith(("/", "..")):
            return known
        try:
            return "there" if os.path.lexists(posixpath.join(self.root, path)) else "missing"
        except (OSError, ValueError):
            return "unknown"

    def text(self, path: str) -> str | None:
        if path in self.texts or path in self.gone or path.startswith(("/", "..")):
            return self.texts.get(path)
        return _small_text(posixpath.join(self.root, path))


def _small_text(path: str) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        raw = stream.read(_MOST_TEXT + 1)
    return None if len(raw) > _MOST_TEXT else raw.decode("utf-8", "replace")


class Walk:
    """Goes through the commands of one step, one after the other, over a view of its own."""

    def __init__(self, state: "RunState") -> None:
        self.view = state.view.copy()
        self.folder = state.folder
        self._root = state.root

    def path(self, word: str) -> str:
        """A word as a path from the workspace's root."""
        if self._root and (word == self._root or word.startswith(self._root + "/")):
            return word[len(self._root) :].strip("/") or "."
        return word if word.startswith("/") else posixpath.normpath(posixpath.join(self.folder, word))

    def do(self, command: SimpleCommand) -> None:
        """Take over what a command does to files."""
        words = [self.path(word) for word in command.arguments if not word.startswith("-")]
        program, view = command.program, self.view
        self._redirected(command)
        if program == "cd":
            self.folder = words[0] if words else self.folder
        elif program == "rm":
            for path in words:
                view.remove(path)
        elif program in ("touch", "mkdir"):
            for path in words:
                view.write(path, view.texts.get(path, "" if program == "touch" else None))
        elif program in ("cp", "mv") and len(words) > 1:
            view.write(words[-1], view.texts.get(words[0]))
            if program == "mv":
                view.remove(words[0])
        elif _in_place(command):
            view.texts.update(dict.fromkeys(path for path in words if path in view.texts))
        if program not in _QUIET:
            view.stale |= {path for path in view.gone if not path.endswith(_SOURCES) or "/" in path}

    def _redirected(self, command: SimpleCommand) -> None:
        text = command.here_documents[0].text if command.here_documents else None
        for word in command.written:
            path = self.path(word)
            given = text if command.program in ("cat", "tee") else None
            if word in command.appended:
                before = self.view.texts.get(path)
                given = before + given if before is not None and given is not None else None
            self.view.write(path, given)


def _in_place(command: SimpleCommand) -> bool:
    return command.program in ("sed", "perl") and any(flag.startswith("-i") for flag in command.flags)


_SOURCES = (".py", ".js", ".ts", ".sh", ".rb", ".go", ".rs", ".java", ".c", ".cpp", ".patch")
"""Programs leave databases, pictures and logs behind, and hardly ever a source file beside themselves."""


@dataclass(slots=True)
class RunState:
    """What one run has done so far; see `RunState.after`.

    Attributes:
        root: the workspace as commands name it.
        folder: where the shell stands, from the root; every step begins there.
        view: its files.
        changes: how many steps may have changed something.
        failures: commands that failed, with the number of changes at that time.
    """

    root: str = ""
    folder: str = ""
    view: FileView = field(default_factory=FileView)
    changes: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def unchanged_since_failure(self, command: str) -> bool:
        """Whether this very command has failed and nothing was changed since."""
        return self.failures.get(command) == self.changes

    def wrote(self, path: str, text: str | None) -> None:
        """A file was written by a tool other than the shell."""
        walk = Walk(self)
        self.view.write(walk.path(path), text)
        self.changes += 1

    def after(self, command: str, *, executed: bool, exit_code: int | None) -> None:
        """Take over what a step has done."""
        commands = parse_command(command)
        if not executed:
            walk = Walk(self)
            for one in commands:
                for word in one.written:
                    self.view.refuse(walk.path(word))
            return
        walk = Walk(self)
        for one in commands:
            walk.do(one)
        self.view = walk.view
        self.changes += int(_may_change(commands))
        if exit_code:
            self.failures[command] = self.changes
        else:
            self._saw(commands)

    def _saw(self, commands: Sequence[SimpleCommand]) -> None:
        walk = Walk(self)
        for one in commands:
            if one.program in _READERS:
                for word in one.arguments:
                    path = walk.path(word)
                    if is_path(word) and path not in self.view.gone:
                        self.view.seen.add(path)


def _may_change(commands: Sequence[SimpleCommand]) -> bool:
    for one in commands:
        if one.written:
            return True
        if _in_place(one) or (one.program not in _QUIET and one.program != "sed") or one.program == "rm":
            return True
    return False
