"""The index of a repository: every file with what was extracted from it, its text and its history."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hal9.errors import FileNotIndexed, GitFailed, NotARepository
from hal9.ripmap.extraction import EXTRACTOR_VERSION, extract
from hal9.ripmap.history import History, read_history, run_git
from hal9.ripmap.languages import language_of
from hal9.ripmap.model import FileRecord
from hal9.ripmap.roles import head_roles, path_roles
from hal9.ripmap.settings import IndexSettings

__all__ = ["Index", "IndexStats", "open_index"]


@dataclass(frozen=True, slots=True)
class IndexStats:
    """How the index came to be."""

    files: int
    extracted: int = 0


class Index:
    """A repository as of one moment. Make one with `open_index`; it never changes afterwards."""

    def __init__(self, root: Path, settings: IndexSettings, files: tuple[FileRecord, ...]) -> None:
        self.root = root
        self.settings = settings
        self.files = files
        self.paths = tuple(record.path for record in files)
        self.stats = IndexStats(len(files), len(files))
        self._positions = {path: position for position, path in enumerate(self.paths)}
        self._artifacts: dict[tuple[str, int, str], bytes] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._positions

    def position(self, path: str) -> int:
        """Where `path` stands in `paths` and `files`.

        Raises:
            FileNotIndexed: it is not there.
        """
        try:
            return self._positions[path]
        except KeyError:
            raise FileNotIndexed(path=path, root=str(self.root)) from None

    def file(self, path: str) -> FileRecord:
        """The record of one file."""
        return self.files[self.position(path)]

    def text(self, path: str) -> str:
        """The file's text, decoded as UTF-8 (or its declared or guessed encoding)."""
        self.position(path)
        return (self.root / path).read_bytes().decode("utf-8", "replace")

    @cached_property
    def history(self) -> History:
        """Ancestors of HEAD, newest first; empty without git."""
        if not self.settings.use_git:
            return History()
        try:
            head = run_git(self.root, "rev-parse", "HEAD").decode().strip()
            commits = read_history(self.root, head, limit=self.settings.history_limit)
        except GitFailed:
            return History()
        return History(commits, f"{head}:{self.settings.history_limit}")

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any path or content does (not with history)."""
        digest = hashlib.blake2b(f"{EXTRACTOR_VERSION}".encode(), digest_size=16)
        for record in self.files:
            digest.update(record.fingerprint.encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()

    def artifact(
        self, name: str, version: int, build: Callable[[], bytes], *, with_history: bool = False
    ) -> memoryview:
        """Bytes made from the whole index, kept under its fingerprint (and the history's when `with_history`)."""
        key = (name, version, self.history.fingerprint if with_history else "")
        if key not in self._artifacts:
            self._artifacts[key] = build()
        return memoryview(self._artifacts[key])

    def file_artifacts(
        self, name: str, version: int, build: Callable[[FileRecord, str], bytes]
    ) -> list[bytes]:
        """Bytes made from each file alone, in the order of `files`; only files that changed are built again.

        `build` gets the record and its text; it must be a function at module level (it may run in another
        process) and depend on nothing but its arguments.
        """
        return [build(record, self.text(record.path)) for record in self.files]


def open_index(root: Path | str, settings: IndexSettings | None = None) -> Index:
    """Walk, extract what changed, and return the index.

    Raises:
        NotARepository: the root is missing or no folder.
    """
    settings = settings or IndexSettings()
    root = Path(root)
    if not root.is_dir():
        raise NotARepository(path=str(root), detail="no such folder" if not root.exists() else "not a folder")
    root = root.resolve()
    records = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in {".git", "__pycache__"})
        for name in sorted(names):
            full = Path(folder) / name
            if full.is_symlink() or not full.is_file():
                continue
            path = full.relative_to(root).as_posix()
            source = full.read_bytes()
            language = language_of(path, source[:2048])
            if settings.extensions and path.rpartition(".")[2] not in settings.extensions:
                continue
            if b"\0" in source[:8192]:
                continue
            found = extract(language, source)
            digest = hashlib.sha1(b"blob %d\0" % len(source) + source, usedforsecurity=False).hexdigest()
            records.append(
                FileRecord(
                    path, language, len(source), digest, path_roles(path, language) | head_roles(source, language),
                    found.status, found.lines, found.definitions, found.references, found.imports, found.strings,
                    found.docstring,
                )
            )  # fmt: skip
    return Index(root, settings, tuple(sorted(records, key=lambda record: record.path)))
