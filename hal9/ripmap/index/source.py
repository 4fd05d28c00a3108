"""Where an index's files come from: a working tree, or a commit of a git repository."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hal9.ripmap.history.blobs import BlobReader
from hal9.ripmap.history.git_command import head_commit
from hal9.ripmap.history.git_log import History, load_history
from hal9.ripmap.settings import IndexSettings

__all__ = ["CommitTree", "IndexStats", "Origin", "WorkingTree"]


@dataclass(frozen=True, slots=True)
class IndexStats:
    """How an index came to be.

    Attributes:
        files: files in it.
        extracted: files that were parsed now.
        reused: files whose content was known from the cache.
        seconds: wall time of opening.
        languages: files by language ("" unknown).
        statuses: files by parse status.
        missing_grammars: languages present whose grammar is not installed.
        skipped_binary: binary files left out.
        notices: what went wrong on the way without stopping it.
    """

    files: int
    extracted: int = 0
    reused: int = 0
    seconds: float = 0.0
    languages: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    missing_grammars: tuple[str, ...] = ()
    skipped_binary: int = 0
    notices: tuple[str, ...] = ()


class Origin(Protocol):
    """What an index asks of the place its files come from."""

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        ...

    @property
    def digest(self) -> str:
        """Names the cache folder."""
        ...

    def read(self, path: str, content_hash: str) -> bytes | None:
        """The bytes of one file; None when it is gone."""
        ...

    def history(self, settings: IndexSettings, folder: Path | None, notify: Callable[[str], None]) -> History:
        """The commits the files stand on."""
        ...


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """Files on disk as they are now."""

    root: Path
    digest: str

    def read(self, path: str, content_hash: str) -> bytes | None:
        del content_hash
        try:
            return (self.root / path).read_bytes()
        except OSError:
            # Gone or unreadable since the walk; the caller marks the index stale.
            return None

    def history(self, settings: IndexSettings, folder: Path | None, notify: Callable[[str], None]) -> History:
        head = head_commit(self.root) if settings.use_git else None
        return load_history(self.root, head, settings.history_limit, folder, notify) if head else History()


@dataclass(frozen=True, slots=True)
class CommitTree:
    """Files of one commit, read from git's objects; the working tree is not looked at."""

    root: Path
    digest: str
    commit: str
    blobs: BlobReader

    def read(self, path: str, content_hash: str) -> bytes | None:
        del path
        return self.blobs.read(content_hash)

    def history(self, settings: IndexSettings, folder: Path | None, notify: Callable[[str], None]) -> History:
        del folder  # one file per root holds the newest history; older commits are read straight from git
        return (
            load_history(self.root, self.commit, settings.history_limit, None, notify)
            if settings.use_git
            else History()
        )
