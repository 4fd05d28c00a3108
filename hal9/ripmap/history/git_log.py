"""The commits of a repository, newest first, as git tells them."""

import marshal
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from hal9.errors.ripmap import GitFailed
from hal9.ripmap.records import Commit
from hal9.ripmap.storage.cache import read_sealed_file, write_sealed_file
from hal9.ripmap.storage.record_codec import FORMAT

if TYPE_CHECKING:
    import subprocess

__all__ = ["BlobReader", "History", "head_commit", "load_history", "read_history", "run_git"]

_RECORD = "\x1e"
_FIELD = "\x1f"
_FORMAT = f"{_RECORD}%H{_FIELD}%P{_FIELD}%ct{_FIELD}%an{_FIELD}%B{_FIELD}"
_GIT_SECONDS = 300
_COMMIT_ID = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
_HISTORY_FORMAT = f"{FORMAT}-history-1"


@dataclass(frozen=True, slots=True)
class History:
    """Ancestors of one commit (itself included), newest first; empty without a repository.

    `fingerprint` names the newest commit and how far back was read; it is known before any commit is read.
    """

    commits: Sequence[Commit] = ()
    fingerprint: str = ""

    def before(self, time: float) -> "History":
        """The commits older than `time` (seconds since the epoch)."""
        kept = tuple(commit for commit in self.commits if commit.time < time)
        return History(kept, f"{self.fingerprint}<{time:.0f}")

    def __len__(self) -> int:
        return len(self.commits)


class _LazyCommits(Sequence[Commit]):
    """Commits read when first looked at."""

    def __init__(self, load: Callable[[], tuple[Commit, ...]]) -> None:
        self._load = load

    @cached_property
    def _commits(self) -> tuple[Commit, ...]:
        return self._load()

    def __len__(self) -> int:
        return len(self._commits)

    @overload
    def __getitem__(self, position: int) -> Commit: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Commit, ...]: ...
    def __getitem__(self, position: int | slice) -> Commit | tuple[Commit, ...]:
        return self._commits[position]

    def __iter__(self) -> Iterator[Commit]:
        return iter(self._commits)


def run_git(root: Path, *arguments: str) -> bytes:
    """Standard output of one git command.

    Raises:
        GitFailed: git is missing, took too long, or said no.
    """
    import subprocess  # noqa: PLC0415 - a warm query asks git nothing

    command = _git(root, *arguments)
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(root=str(root), command=" ".join(arguments), detail=str(error)) from error
    if done.returncode != 0:
        detail = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise GitFailed(root=str(root), command=" ".join(arguments), detail=detail)
    return done.stdout


def _git(root: Path, *arguments: str) -> list[str]:
    # A repository may be someone else's: none of its configured programs is run.
    return [
        "git",
        "-C",
        str(root),
        "-c",
        "core.quotepath=off",
        "-c",
        "log.showSignature=false",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        *arguments,
    ]


def head_commit(root: Path) -> str | None:
    """The commit checked out at `root`; None without a repository, without git, or before the first commit.

    Read from the files git keeps (a process costs more than the whole warm start), else asked of git.
    """
    for folder in (root, *root.parents):
        marker = folder / ".git"
        if marker.exists():
            return _head_of(marker) or _asked_head(root)
    return None


def _head_of(marker: Path) -> str | None:
    try:
        folder = marker
        if marker.is_file():
            folder = (marker.parent / marker.read_text().removeprefix("gitdir:").strip()).resolve()
        common = folder / "commondir"
        shared = (folder / common.read_text().strip()).resolve() if common.exists() else folder
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head if _COMMIT_ID.match(head) else None
        name = head.removeprefix("ref:").strip()
        for place in (folder / name, shared / name):
            if place.is_file():
                found = place.read_text().strip()
                return found if _COMMIT_ID.match(found) else None
        packed = (shared / "packed-refs").read_text()
    except (OSError, UnicodeDecodeError):
        # Another layout than the plain one (or none); git itself is asked.
        return None
    for line in packed.splitlines():
        if line.endswith(f" {name}"):
            return line.partition(" ")[0]
    return None


def _asked_head(root: Path) -> str | None:
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", "HEAD").decode().strip() or None
    except GitFailed:
        # No commit yet, or git is not installed: there is no history to read.
        return None


def load_history(root: Path, head: str, limit: int, folder: Path | None) -> History:
    """History of `head`, read from `folder`'s cache where it can be; commits are loaded on first use."""
    load = partial(_load_commits, root, head, limit, folder)
    return History(_LazyCommits(load), f"{head}:{limit}")


def _load_commits(root: Path, head: str, limit: int, folder: Path | None) -> tuple[Commit, ...]:
    place = folder / f"history-{limit}" if folder is not None else None
    known_head, known = _cached(place) if place is not None else ("", ())
    if known_head == head:
        return known
    commits: tuple[Commit, ...] | None = None
    if known and _is_ancestor(root, known_head, head):
        newer = read_history(root, head, limit=limit, exclude=known_head)
        commits = (*newer, *known)[:limit]
    if commits is None:
        commits = read_history(root, head, limit=limit)
    if place is not None:
        rows = [(c.id, c.time, c.author, c.message, c.files, c.parents) for c in commits]
        write_sealed_file(place, marshal.dumps((_HISTORY_FORMAT, head, rows)))
    return commits


def _cached(place: Path) -> tuple[str, tuple[Commit, ...]]:
    data = read_sealed_file(place)
    if data is None:
        return "", ()
    version, head, rows = marshal.loads(data)  # noqa: S302 - our own file, checked against its seal
    return (head, tuple(Commit(*row) for row in rows)) if version == _HISTORY_FORMAT else ("", ())


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    import subprocess  # noqa: PLC0415 - as above

    command = _git(root, "merge-base", "--is-ancestor", older, newer)
    return subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False).returncode == 0


def read_history(
    root: Path, revision: str = "HEAD", *, limit: int = 20_000, exclude: str = ""
) -> tuple[Commit, ...]:
    """Ancestors of `revision` (included), newest first; `exclude` leaves out what it reaches.

    Paths are relative to `root`; commits that touch nothing below it are left out.

    Raises:
        GitFailed: no such revision, no repository, or git is missing.
    """
    arguments = [
        "log",
        revision,
        *([f"^{exclude}"] if exclude else []),
        f"--max-count={limit}",
        "--name-only",
        "-z",
        "--relative",
        "--no-renames",
        "--full-history",
        "--encoding=UTF-8",
        f"--format={_FORMAT}",
        "--",
        ".",
    ]
    text = run_git(root, *arguments).decode("utf-8", "surrogateescape")
    return tuple(_commit(record) for record in text.split(_RECORD)[1:])


def _commit(record: str) -> Commit:
    identity, parents, time, author, rest = record.split(_FIELD, 4)
    message, _, names = rest.rpartition(_FIELD)
    files = tuple(name.lstrip("\n") for name in names.split("\0") if name.strip("\n"))
    return Commit(identity, float(time), author, message.strip(), files, tuple(parents.split()))


class BlobReader:
    """Contents of git objects by id, through one long-lived `git cat-file`.

    Close it with `with` or `close()`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a later read starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            if process.stdin:
                process.stdin.close()
            if process.stdout:
                process.stdout.close()
            process.wait(timeout=10)

    def __del__(self) -> None:
        if self._process is not None:
            self.close()

    def read(self, blob: str) -> bytes | None:
        """The object's bytes; None when the repository has no such blob.

        Raises:
            GitFailed: git is missing or ended.
        """
        import subprocess  # noqa: PLC0415 - as above

        with self._lock:
            if self._process is None:
                try:
                    self._process = subprocess.Popen(
                        _git(self._root, "cat-file", "--batch"),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                    )
                except OSError as error:
                    raise GitFailed(root=str(self._root), command="cat-file", detail=str(error)) from error
            stdin, stdout = self._process.stdin, self._process.stdout
            if stdin is None or stdout is None:
                raise GitFailed(root=str(self._root), command="cat-file", detail="its pipes are closed")
            try:
                stdin.write(f"{blob}\n".encode())
                stdin.flush()
                header = stdout.readline().split()
            except OSError as error:
                raise GitFailed(root=str(self._root), command="cat-file", detail=str(error)) from error
            if not header:
                raise GitFailed(root=str(self._root), command="cat-file", detail="it ended unexpectedly")
            if len(header) < 3:
                return None
            content = stdout.read(int(header[2]))
            stdout.read(1)
            return content
