"""The commits of a repository, newest first, as git tells them."""

import marshal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import overload

from hal9.errors.ripmap import GitFailed
from hal9.ripmap.history.git_command import GIT_SECONDS, git_environment, git_line, run_git, shallow_stamp
from hal9.ripmap.records import Commit
from hal9.ripmap.storage.cache import read_sealed_file, write_sealed_file
from hal9.ripmap.storage.record_codec import FORMAT

__all__ = ["History", "history_fingerprint", "load_history", "read_history"]

_FORMAT = "%x00%H%x00%P%x00%ct%x00%an%x00%B"
"""Fields between NULs, which neither names nor messages can hold; the empty first one begins a commit."""
_FIELDS = 5
_HISTORY_FORMAT = f"{FORMAT}-history-2"


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
    def __getitem__(self, index: int) -> Commit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Commit, ...]: ...
    def __getitem__(self, index: int | slice) -> Commit | tuple[Commit, ...]:
        return self._commits[index]

    def __iter__(self) -> Iterator[Commit]:
        return iter(self._commits)


def history_fingerprint(root: Path, head: str, limit: int) -> str:
    """Names what `load_history` gives: the newest commit, how far back, and where a shallow clone ends."""
    cut = shallow_stamp(root)
    return f"{head}:{limit}:{cut}" if cut else f"{head}:{limit}"


def load_history(
    root: Path, head: str, limit: int, folder: Path | None, notify: Callable[[str], None] | None = None
) -> History:
    """History of `head`, read from `folder`'s cache where it can be; commits are loaded on first use.

    A history that git cannot read (an object is missing, or the folder belongs to another user) counts as
    empty, and `notify` is told: files can still be ranked by what they say.
    """
    fingerprint = history_fingerprint(root, head, limit)
    load = partial(_loaded, root, fingerprint, limit, folder, notify)
    return History(_LazyCommits(load), fingerprint)


def _loaded(
    root: Path, fingerprint: str, limit: int, folder: Path | None, notify: Callable[[str], None] | None
) -> tuple[Commit, ...]:
    try:
        return _load_commits(root, fingerprint, limit, folder)
    except GitFailed as error:
        if notify is not None:
            notify(f"the history is left out: {error}")
        return ()


def _load_commits(root: Path, fingerprint: str, limit: int, folder: Path | None) -> tuple[Commit, ...]:
    path = folder / f"history-{limit}" if folder is not None else None
    known_as, known = _cached(path) if path is not None else ("", ())
    if known_as == fingerprint:
        return known
    head, _, extent = fingerprint.partition(":")
    known_head, _, known_extent = known_as.partition(":")
    commits: tuple[Commit, ...] | None = None
    if known and known_extent == extent and _is_ancestor(root, known_head, head):
        newer = read_history(root, head, limit=limit, exclude=known_head)
        commits = (*newer, *known)[:limit]
    if commits is None:
        commits = read_history(root, head, limit=limit)
    if path is not None:
        rows = [(c.id, c.time, c.author, c.message, c.files, c.parents) for c in commits]
        write_sealed_file(path, marshal.dumps((_HISTORY_FORMAT, fingerprint, rows)))
    return commits


def _cached(path: Path) -> tuple[str, tuple[Commit, ...]]:
    data = read_sealed_file(path)
    if data is None:
        return "", ()
    version, fingerprint, rows = marshal.loads(data)  # noqa: S302 - our own file, checked against its seal
    return (fingerprint, tuple(Commit(*row) for row in rows)) if version == _HISTORY_FORMAT else ("", ())


def _is_ancestor(root: Path, older: str, newer: str) -> bool:
    import subprocess  # noqa: PLC0415 - a warm query asks git nothing

    command = git_line(root, "merge-base", "--is-ancestor", older, newer)
    return (
        subprocess.run(
            command, capture_output=True, timeout=GIT_SECONDS, check=False, env=git_environment()
        ).returncode
        == 0
    )


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
        "--end-of-options",
        revision,
        *([f"^{exclude}"] if exclude else []),
        "--",
        ".",
    ]
    arguments[1:1] = [
        f"--max-count={limit}",
        "--name-only",
        "-z",
        "--relative",
        "--no-renames",
        "--full-history",
        "--encoding=UTF-8",
        f"--format={_FORMAT}",
    ]
    return tuple(_commits(run_git(root, *arguments).decode("utf-8", "surrogateescape").split("\0")))


def _commits(parts: list[str]) -> Iterator[Commit]:
    """Commits in git's output: an empty part, five fields, then names up to the next empty part."""
    position = 0
    while position < len(parts):
        if parts[position]:
            position += 1
            continue
        fields = parts[position + 1 : position + 1 + _FIELDS]
        if len(fields) < _FIELDS:
            return
        end = position + 1 + _FIELDS
        names: list[str] = []
        while end < len(parts) and parts[end]:
            name = parts[end].removeprefix("\n") if not names else parts[end]
            if name:
                names.append(name)
            end += 1
        identity, parents, time, author, message = fields
        yield Commit(identity, float(time), author, message.strip(), tuple(names), tuple(parents.split()))
        position = end
