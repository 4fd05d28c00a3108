"""Ranking cases with their trees: found, fetched, split by repository and time, prepared.

Three splits never share a repository, and a fourth keeps the newest cases of the training repositories:

* ``train``: half of the training repositories (by name, in the pattern A B B A), without each one's newest
  fifth; what a strategy and a mind see.
* ``validation``: the other half; decides which result is better, never shown to a mind.
* ``late``: the newest fifth of the training repositories' cases; reported beside validation.
* ``test``: the repositories of `dev/`; scored once, at the end of a run.

A corpus that is one repository's own history is split by time alone.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hal9.errors.ripmap import CasesInvalid, GitFailed
from hal9.errors.trainer import CorpusUnavailable, TrainerSettingInvalid
from hal9.ripmap.evaluation.evaluation import PreparedCase, RankingCase, prepare_cases, read_cases
from hal9.ripmap.index.index import Index
from hal9.text import split_lines
from hal9.trainer.evaluation.preparing import Preparation

if TYPE_CHECKING:
    from hal9.trainer.evaluation.case_cache import CaseCache

__all__ = [
    "SPLITS",
    "Corpus",
    "Queries",
    "find_corpus",
    "history_corpus",
    "localization_corpus",
    "named_corpus",
]

Split = Literal["train", "validation", "late", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "late", "test")
Queries = Literal["plain", "issue", "both"]
_LATE_SHARE = 0.2
_ISSUE_SEED = 7
_QUICK = 6
"""Cases per repository in the quick corpus."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Cases by split, and how to open their trees; nothing is opened before `prepare`.

    Attributes:
        name: of the corpus; of a repository's own history, the repository's.
        cache: keeps the evidence of a repository's own commits; None where cases share a few trees.
    """

    name: str
    cases: Mapping[str, tuple[RankingCase, ...]]
    open_tree: Callable[[str], Index]
    queries: Queries = "plain"
    cache: "CaseCache | None" = None

    def repository(self, case: RankingCase) -> str:
        """The repository a case is about, by which errors are clustered; a history has but one."""
        return case.tree if self.cache is None else self.name

    def prepare(self, split: str, watch: Preparation | None = None) -> list[PreparedCase]:
        """Evidence of one split's cases; each tree is opened once per call.

        Args:
            split: which.
            watch: told how far it has come, and asked whether to stop.

        Raises:
            CorpusUnavailable: the split has no cases.
            PreparationStopped: `watch` ended it.
        """
        import numpy as np  # noqa: PLC0415 - reading a corpus does without

        from hal9.ripmap.evaluation.evaluation import is_candidate  # noqa: PLC0415
        from hal9.ripmap.evaluation.issue_like import issue_like  # noqa: PLC0415

        chosen = self.cases.get(split, ())
        if not chosen:
            raise CorpusUnavailable(
                detail=f"corpus {self.name} has no {split} cases", remedy="Use a larger one."
            )
        watch = watch or Preparation()
        if self.cache is not None:
            return self._prepare_commits(self.cache, split, chosen, watch)
        opened: dict[str, Index] = {}

        def open_tree(name: str) -> Index:
            if name not in opened:
                watch.step(len(opened), len(opened), trees)
                opened[name] = self.open_tree(name)
            return opened[name]

        trees = len({case.tree for case in chosen})
        watch.begin_trees(split, trees)
        asked: list[RankingCase] = list(chosen) if self.queries != "issue" else []
        if self.queries != "plain":
            asked += [
                issue_like(case, open_tree(case.tree), np.random.default_rng([_ISSUE_SEED, number]))
                for number, case in enumerate(chosen)
            ]
        return prepare_cases(asked, open_tree, is_candidate)

    def _prepare_commits(
        self, cache: "CaseCache", split: str, chosen: Sequence[RankingCase], watch: Preparation
    ) -> list[PreparedCase]:
        wanted = self._asked(chosen)
        watch.begin(split, len(wanted), sum(cache.has(case, issue=issue) for case, issue in wanted))
        before = cache.made
        prepared: list[PreparedCase] = []
        for number, (case, issue) in enumerate(wanted):
            watch.step(number, cache.made - before, len(wanted))
            made = cache.prepared(case, issue=issue)
            if made is not None:
                prepared.append(made)
        if not prepared:
            detail = f"no {split} case of {self.name} changes a file that its ripmap settings index"
            raise CorpusUnavailable(detail=detail, remedy="Widen [tool.ripmap], or use --curated.")
        if cache.made > before:
            cache.keep_only(self._asked([case for cases in self.cases.values() for case in cases]))
        return prepared

    def _asked(self, cases: Sequence[RankingCase]) -> list[tuple[RankingCase, bool]]:
        """Each case with whether it is put as an issue, in the order of `queries`."""
        plain = [] if self.queries == "issue" else [(case, False) for case in cases]
        return plain + ([] if self.queries == "plain" else [(case, True) for case in cases])

    def describe(self) -> dict[str, Any]:
        """Counts and repositories per split, for the record."""
        return {
            split: {"cases": len(cases), "trees": sorted({self.repository(case) for case in cases})}
            for split, cases in self.cases.items()
        }


def find_corpus(environment: Mapping[str, str] = os.environ) -> Path:
    """The localization corpus: below $HAL9_SHARED, or `shared/` beside the checkout.

    Raises:
        CorpusUnavailable: it is nowhere.
    """
    given = environment.get("HAL9_SHARED")
    base = Path(given) if given else Path(__file__).resolve().parents[2].parent / "shared"
    for folder in (base / "data" / "localization", base / "localization", base):
        if (folder / "train").is_dir():
            return folder
    raise CorpusUnavailable(
        detail=f"there is no localization corpus below {base}",
        remedy="Set HAL9_SHARED to the folder that holds data/localization, or use --repo",
    )


def localization_corpus(
    folder: Path | None = None,
    *,
    trees: Path | None = None,
    queries: Queries = "plain",
    quick: bool = False,
    fetch: bool = True,
) -> Corpus:
    """The shared corpus, split by repository and time.

    Args:
        folder: holds train/ and dev/ with JSON files; None finds it.
        trees: where the source trees are, or are fetched to; None is the user's cache.
        queries: cases as their commits put them, as users would report them, or both.
        quick: a few cases per repository.
        fetch: whether missing source distributions may be downloaded.

    Raises:
        CorpusUnavailable: cases or trees are missing and cannot be fetched.
    """
    folder = folder or find_corpus()
    dates = _dates(folder)
    by_tree: dict[str, list[RankingCase]] = {}
    for case in read_cases(folder / "train"):
        by_tree.setdefault(case.tree, []).append(case)
    splits: dict[str, list[RankingCase]] = {split: [] for split in SPLITS}
    for number, tree in enumerate(sorted(by_tree)):
        cases = sorted(by_tree[tree], key=lambda case: (dates.get(case.id, ""), case.id))
        if number % 4 in (1, 2):
            splits["validation"] += _thinned(cases, quick=quick)
            continue
        cut = len(cases) - int(_LATE_SHARE * len(cases))
        splits["train"] += _thinned(cases[:cut], quick=quick)
        splits["late"] += _thinned(cases[cut:], quick=quick)
    if (folder / "dev").is_dir():
        by_dev: dict[str, list[RankingCase]] = {}
        for case in read_cases(folder / "dev"):
            by_dev.setdefault(case.tree, []).append(case)
        for tree in sorted(by_dev):
            splits["test"] += _thinned(by_dev[tree], quick=quick)
    home = trees or _trees_cache()
    name = "quick" if quick else "curated"
    return Corpus(name, {k: tuple(v) for k, v in splits.items()}, _opener(home, fetch=fetch), queries)


def named_corpus(
    name: str, *, queries: Queries = "plain", say: Callable[[str], None] = lambda _: None
) -> Corpus:
    """The corpus of a name, or of the folder of a repository; `say` is told what is read.

    Args:
        name: curated (the shared corpus), quick (a few cases of each repository), or a repository's path.
        queries: see `localization_corpus`.
        say: told what is read.

    Raises:
        CorpusUnavailable: cases or trees are missing.
        TrainerSettingInvalid: it is neither a known name nor a folder.
    """
    if name in ("curated", "quick"):
        return localization_corpus(queries=queries, quick=name == "quick")
    root = Path(name)
    if not root.is_dir():
        raise TrainerSettingInvalid(name="corpus", detail=f"{name!r} is neither curated, quick nor a folder")
    say(f"reading the history of {root}")
    return history_corpus(root, queries=queries)


def _thinned(cases: Sequence[RankingCase], *, quick: bool) -> list[RankingCase]:
    if not quick or len(cases) <= _QUICK:
        return list(cases)
    return [cases[round(i * (len(cases) - 1) / (_QUICK - 1))] for i in range(_QUICK)]


def _dates(folder: Path) -> dict[str, str]:
    """Commit dates by case id; cases carry none."""
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*/*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8")):
            if "commit_date" in entry and "pypi_name" in entry:
                found[f"{entry['pypi_name']}-{entry['version']}:{entry['commit'][:12]}"] = entry[
                    "commit_date"
                ]
    return found


def history_corpus(
    root: Path, *, queries: Queries = "plain", limit: int = 400, cache: Path | None = None
) -> Corpus:
    """One repository's own history: the oldest 60% train, then 20% validate, the newest 20% test.

    Args:
        root: the repository.
        queries: cases as their commits put them, as users would report them, or both.
        limit: so many of the newest commits.
        cache: where prepared cases are kept; None is the user's cache.

    Raises:
        CorpusUnavailable: fewer than ten commits qualify.
    """
    from hal9.ripmap.evaluation.git_cases import CaseRules, open_parents  # noqa: PLC0415
    from hal9.trainer.evaluation.case_cache import CaseCache, cases_home  # noqa: PLC0415 - with the parser

    kept = CaseCache(root, cache or cases_home())
    try:
        cases = kept.cases(CaseRules(limit=limit))[::-1]
    except (GitFailed, CasesInvalid) as error:
        why = error.detail.strip().partition("\n")[0]
        raise CorpusUnavailable(
            detail=f"{root} has no history to learn from ({why})",
            remedy="Give a git repository with ten commits that change source, or use --curated",
        ) from error
    if len(cases) < 10:
        raise CorpusUnavailable(
            detail=f"only {len(cases)} commits of {root} qualify as cases",
            remedy="Ten are needed; use a repository with a longer history, or --curated",
        )
    first, second = round(0.6 * len(cases)), round(0.8 * len(cases))
    splits = {"train": cases[:first], "validation": cases[first:second], "test": cases[second:]}
    return Corpus(
        root.resolve().name,
        {name: tuple(part) for name, part in splits.items()},
        open_parents(root),
        queries,
        kept,
    )


def _trees_cache() -> Path:
    given = os.environ.get("HAL9_SDISTS")
    if given:
        return Path(given)
    from platformdirs import user_cache_path  # noqa: PLC0415 - not needed when a folder is given

    return user_cache_path("hal9", appauthor=False) / "sdists"


def _opener(folder: Path, *, fetch: bool) -> Callable[[str], Index]:
    def open_tree(name: str) -> Index:
        from hal9.ripmap.index.opening import open_index  # noqa: PLC0415 - pulls in the parser
        from hal9.ripmap.settings import IndexSettings  # noqa: PLC0415

        return open_index(source_tree(name, folder, fetch=fetch), IndexSettings(use_git=False))

    return open_tree


def source_tree(name: str, folder: Path, *, fetch: bool = True) -> Path:
    """The unpacked source distribution ``NAME-VERSION`` below `folder`, downloaded if need be.

    Raises:
        CorpusUnavailable: it is missing and could not be fetched.
    """
    tree = folder / name
    if tree.is_dir():
        return tree
    archive = _archive(folder, name)
    if not archive.is_file():
        if not fetch:
            raise CorpusUnavailable(detail=f"{archive} is missing", remedy="Fetch it, or allow fetching")
        _download(name, folder)
        archive = _archive(folder, name)
    if not archive.is_file():
        raise CorpusUnavailable(
            detail=f"the package index offers no archive {archive.name}",
            remedy=f"Put an unpacked tree at {tree}",
        )
    _unpack(archive, tree)
    return tree


def _archive(folder: Path, name: str) -> Path:
    """The archive of a distribution, however its project spells its name."""
    wanted = f"{name}.tar.gz"
    if folder.is_dir():
        for path in folder.glob("*.tar.gz"):
            if path.name.lower().replace("_", "-") == wanted.lower():
                return path
    return folder / wanted


def _download(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    project, version = name.rsplit("-", 1)
    # Only the project itself comes as source: `:all:` would build its build tools from source too.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", project]
    done = subprocess.run(
        [*command, "--quiet", "--dest", str(folder), f"{project}=={version}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and not _archive(folder, name).is_file():
        lines = split_lines(done.stderr.strip()) or [f"status {done.returncode}"]
        last = next((line for line in lines if line.startswith(("ERROR", "error"))), lines[-1])
        raise CorpusUnavailable(
            detail=f"`pip download {project}=={version}` failed: {last}",
            remedy=f"Check the connection, or put {name}.tar.gz into {folder}",
        )


def _unpack(archive: Path, tree: Path) -> None:
    """Unpack beside the final place and rename, so that a killed run leaves no half tree under its name."""
    scratch = tree.with_name(f".{tree.name}.{os.getpid()}")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    inner = [entry for entry in scratch.iterdir() if entry.is_dir()]
    if len(inner) != 1:
        raise CorpusUnavailable(detail=f"{archive} is no source distribution", remedy="Fetch it again")
    inner[0].rename(tree)
    scratch.rmdir()


def check_queries(value: str) -> Queries:
    """Read the option.

    Raises:
        TrainerSettingInvalid: it is none of plain, issue, both.
    """
    if value not in ("plain", "issue", "both"):
        raise TrainerSettingInvalid(name="queries", detail=f"{value!r} is none of plain, issue, both")
    return value  # type: ignore[return-value]
