"""What ranking a repository's own commits takes, made once for each commit and kept on disk.

A case needs the tree before its commit: files, words, history up to there. That is made in tenths of a second
a commit and read back in milliseconds. Entries are named by commit, by the settings of the index and by the
version of all code that makes them, so that another version makes its own.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hal9 import __version__
from hal9.ripmap.evaluation.evaluation import PreparedCase, RankingCase
from hal9.ripmap.evaluation.git_cases import CaseRules, cases_from_history
from hal9.ripmap.history.git_command import run_git
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.index_data import INDEX_DATA_VERSION, packed_index_data, unpack_index_data
from hal9.ripmap.index.opening import open_revision
from hal9.ripmap.ranking.commits import COMMIT_INDEX_VERSION, packed_commit_index, unpack_commit_index
from hal9.ripmap.ranking.prepared_task import Task, prepare_query
from hal9.ripmap.records import EXTRACTOR_VERSION
from hal9.ripmap.settings import IndexSettings, load_settings
from hal9.ripmap.storage.array_codec import pack, unpack
from hal9.ripmap.storage.cache import read_sealed_file, write_sealed_file

__all__ = ["CaseCache", "cases_home"]

_FORMAT = 1
_ISSUE_SEED = 7
_CASES = "cases-"
_MOST_BYTES = 8_000_000_000
"""What the entries of all repositories may take together; the ones used least recently go first."""


def cases_home() -> Path:
    """Where entries of all repositories lie."""
    from platformdirs import user_cache_path  # noqa: PLC0415 - not needed when a folder is given

    return user_cache_path("hal9", appauthor=False) / "training-cases"


@dataclass(slots=True)
class CaseCache:
    """Prepared cases of one repository's commits.

    Attributes:
        root: the repository.
        home: where entries of all repositories lie; made when something is kept.
        settings: what is indexed; it is read from the repository when not given.
        made, known: cases that were prepared anew, and read back, so far.
    """

    root: Path
    home: Path
    settings: IndexSettings | None = None
    made: int = 0
    known: int = 0

    @property
    def folder(self) -> Path:
        """This repository's entries."""
        return self.home / hashlib.blake2b(str(self.root.resolve()).encode(), digest_size=12).hexdigest()

    def _settings(self) -> IndexSettings:
        if self.settings is None:
            self.settings = load_settings(self.root)
        return self.settings

    def place(self, case: RankingCase, *, issue: bool = False) -> Path:
        """The file of a case's entry; `issue` names the one that is asked as a user would report it."""
        settings = self._settings()
        facts = (
            _FORMAT,
            __version__,
            EXTRACTOR_VERSION,
            INDEX_DATA_VERSION,
            COMMIT_INDEX_VERSION,
            settings.selection(),
            settings.use_git,
            settings.history_limit,
            case.id,
            case.tree,
            issue,
        )
        return self.folder / hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()

    def has(self, case: RankingCase, *, issue: bool = False) -> bool:
        """Whether an entry is there (it may still turn out damaged)."""
        return self.place(case, issue=issue).is_file()

    def cases(self, rules: CaseRules) -> list[RankingCase]:
        """The repository's cases, newest first; those of an unchanged head are read back.

        Raises:
            GitFailed: it is no repository, or git is missing.
            CasesInvalid: no commit qualifies.
        """
        head = run_git(self.root, "rev-parse", "--verify", "HEAD").decode().strip()
        facts = repr((_FORMAT, __version__, head, rules)).encode()
        place = self.folder / f"{_CASES}{hashlib.blake2b(facts, digest_size=16).hexdigest()}"
        block = read_sealed_file(place)
        if block is not None:
            return [RankingCase(**one) for one in json.loads(bytes(block))]
        found = cases_from_history(self.root, rules=rules)
        write_sealed_file(place, json.dumps([asdict(case) for case in found]).encode())
        return found

    def prepared(self, case: RankingCase, *, issue: bool = False) -> PreparedCase | None:
        """The case with its evidence, read back or made and kept; None when no wanted file is indexed.

        Raises:
            GitFailed: the commit's parent cannot be read.
        """
        place = self.place(case, issue=issue)
        block = read_sealed_file(place)
        if block is None:
            made = self._make(case, issue=issue)
            # A cache that cannot be written costs the next start its speed; this run goes on.
            block = read_sealed_file(place) if write_sealed_file(place, made) else memoryview(made)
            block = memoryview(made) if block is None else block
            self.made += 1
        else:
            self.known += 1
        return _prepared(case, block)

    def _make(self, case: RankingCase, *, issue: bool) -> bytes:
        index = open_revision(self.root, case.tree, self._settings())
        try:
            asked = _as_issue(case, index) if issue else case.text
            commits = packed_commit_index(index) if self._settings().use_git else b""
            return pack(
                {
                    "paths": index.paths,
                    "text": [asked],
                    "index_data": np.frombuffer(packed_index_data(index), np.uint8),
                    "commits": np.frombuffer(commits, np.uint8),
                }
            )
        finally:
            index.close()

    def keep_only(self, cases: Iterable[tuple[RankingCase, bool]]) -> None:
        """Drop this repository's other entries, and those of others where all take too much room.

        Args:
            cases: what is wanted, each with whether it is asked as an issue.
        """
        wanted = {self.place(case, issue=issue).name for case, issue in cases}
        with contextlib.suppress(OSError):  # removed by another process, or not ours to remove
            for path in self.folder.iterdir():
                if path.name not in wanted and not path.name.startswith(_CASES):
                    path.unlink(missing_ok=True)
            os.utime(self.folder)
            _trim(self.home, keep=self.folder)


def _as_issue(case: RankingCase, index: Index) -> str:
    from hal9.ripmap.evaluation.issue_like import issue_like  # noqa: PLC0415 - plain cases do without

    # Seeded by the commit, so that a commit that comes later does not reword the others.
    rng = np.random.default_rng([_ISSUE_SEED, int(case.tree[:12], 16)])
    return issue_like(case, index, rng).text


def _prepared(case: RankingCase, block: memoryview) -> PreparedCase | None:
    found = unpack(block)
    paths = tuple(str(path) for path in found["paths"])
    gold = {path: grade for path, grade in case.gold.items() if path in paths}
    if not gold:
        return None  # the repository's settings leave these files out of its index
    index_data = unpack_index_data(paths, np.asarray(found["index_data"]).data)
    packed = np.asarray(found["commits"]).data
    commits = unpack_commit_index(len(paths), packed) if packed else None
    asked = replace(case, text=str(found["text"][0]), gold=gold)
    if commits is not None and not len(commits.times):
        commits = None
    evidence = prepare_query(index_data, Task(asked.text, time=case.time), commits)
    return PreparedCase(asked, evidence, np.ones(len(paths), np.bool_))


def _trim(home: Path, *, keep: Path) -> None:
    folders = sorted((one for one in home.iterdir() if one.is_dir() and one != keep), key=_used)
    total = _size(keep) + sum(map(_size, folders))
    while folders and total > _MOST_BYTES:
        gone = folders.pop(0)
        total -= _size(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _used(folder: Path) -> float:
    return folder.stat().st_mtime
