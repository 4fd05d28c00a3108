"""Ranking cases from a repository's own history: commits whose message asks and whose diff answers.

A case is asked of the tree at the commit's *parent*, opened with `open_revision`: neither the commit nor
anything after it is visible, in files or in history.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.errors.ripmap import CasesInvalid, CasesUnwritable
from hal9.ripmap.evaluation.evaluation import RankingCase
from hal9.ripmap.files.languages import language_of
from hal9.ripmap.files.roles import path_roles
from hal9.ripmap.history.git_command import run_git
from hal9.ripmap.history.git_log import read_history
from hal9.ripmap.index.index import Index
from hal9.ripmap.index.opening import open_revision
from hal9.ripmap.postings.module_paths import module_name
from hal9.ripmap.records import Commit, Role
from hal9.ripmap.settings import IndexSettings

__all__ = ["CaseRules", "cases_from_history", "commit_quality", "open_parents", "write_cases"]

_FORMAT_ONLY = re.compile(
    r"\b(?:format(?:ting)?|lint(?:ing)?|ruff|black|isort|prettier|whitespace|typos?|bump|changelog|release)\b",
    re.IGNORECASE,
)
_KINDS = (
    (re.compile(r"\b(?:wip|tmp|temp|save|checkpoint|squash|fixup)\b", re.IGNORECASE), 0.2),
    (
        re.compile(
            r"\b(?:fix(?:e[sd])?|bug|crash|regression|hotfix|resolve[sd]?|correct(?:ed|s)?)\b", re.IGNORECASE
        ),
        1.5,
    ),
    (
        re.compile(
            r"\b(?:refactor(?:ed|ing)?|rename[sd]?|clean ?up|move[sd]?|reorgani[sz]e[sd]?)\b", re.IGNORECASE
        ),
        0.6,
    ),
    (
        re.compile(
            r"\b(?:feat(?:ure)?|add(?:s|ed)?|implement(?:s|ed)?|support(?:s|ed)?|introduce[sd]?)\b",
            re.IGNORECASE,
        ),
        1.2,
    ),
)
_TRAILER = re.compile(
    r"^(?:signed-off-by|co-authored-by|reviewed-by|acked-by|tested-by|change-id|cc|see-also):.*$",
    re.IGNORECASE | re.MULTILINE,
)
_GREATEST, _LEAST = 2.0, 0.1
_SMALL, _MEDIUM, _LARGE = 6, 10, 15
_SHORTEST_MESSAGE = 12


@dataclass(frozen=True, slots=True)
class CaseRules:
    """Which commits become cases.

    Attributes:
        most_files: commits that touch more source files are left out.
        least_quality: commits of lower quality are left out.
        limit: newest first, at most so many cases.
    """

    most_files: int = 4
    least_quality: float = _LEAST
    limit: int = 500


def commit_quality(message: str, files: Sequence[str]) -> float:
    """How much a commit teaches: its kind, its width, share of source; 0 for formatting, at most 2."""
    subject = message.partition("\n")[0]
    if _FORMAT_ONLY.search(subject):
        return 0.0
    quality = next((value for pattern, value in _KINDS if pattern.search(subject)), 1.0)
    count = len(files)
    quality *= 1.2 if count <= _SMALL else 1.0 if count <= _MEDIUM else 0.7 if count <= _LARGE else 0.4
    if len({path.rpartition("/")[0] for path in files}) >= 3:
        quality *= 1.2
    source = sum(1 for path in files if _is_source(path))
    if source < 0.5 * count:
        quality *= 0.5
    return min(_GREATEST, quality)


def _is_source(path: str) -> bool:
    roles = path_roles(path, language_of(path))
    return bool(roles & Role.SOURCE) and not roles & (
        Role.TEST | Role.EXAMPLE | Role.VENDORED | Role.GENERATED | Role.DOCS
    )


def cases_from_history(
    root: Path, *, since: str = "", until: str = "HEAD", rules: CaseRules | None = None
) -> list[RankingCase]:
    """Cases of the commits reachable from `until` but not from `since`, newest first.

    `tree` of a case is its parent's id; `gold` grades each changed source file by its share of the
    changed lines, 0.5 to 1; `weight` is the commit's quality; `leak` marks messages that name a changed file.

    Raises:
        GitFailed: git is missing, or a revision does not exist.
        CasesInvalid: no commit qualifies.
    """
    rules = rules or CaseRules()
    cases: list[RankingCase] = []
    for commit in read_history(root, until, exclude=since):
        case = _case(root, commit, rules)
        if case is not None:
            cases.append(case)
        if len(cases) >= rules.limit:
            break
    if not cases:
        raise CasesInvalid(
            path=str(root), detail="no commit in this range changes one to four known source files"
        )
    return cases


def _case(root: Path, commit: Commit, rules: CaseRules) -> RankingCase | None:
    text = _TRAILER.sub("", commit.message).strip()
    source = [path for path in commit.files if _is_source(path)]
    quality = commit_quality(commit.message, commit.files)
    if (
        len(commit.parents) != 1
        or not 1 <= len(source) <= rules.most_files
        or quality < rules.least_quality
        or len(text) < _SHORTEST_MESSAGE
    ):
        return None
    parent = commit.parents[0]
    lines = _changed_lines(root, commit.id)
    existing = _existing(root, parent, source)
    if not existing:
        return None
    widest = max(1, *(lines.get(path, 1) for path in existing))
    return RankingCase(
        id=f"{root.name}:{commit.id[:12]}",
        tree=parent,
        text=text,
        gold={path: max(0.5, round(lines.get(path, 1) / widest, 3)) for path in existing},
        weight=round(quality, 3),
        time=commit.time,
        leak=any(_names(text, path) for path in existing),
    )


def _changed_lines(root: Path, commit: str) -> dict[str, int]:
    text = run_git(root, "show", "--numstat", "--format=", "--no-renames", "--relative", "-z", commit).decode(
        "utf-8", "surrogateescape"
    )
    found: dict[str, int] = {}
    for entry in text.split("\0"):
        parts = entry.strip("\n").split("\t")
        if len(parts) == 3:
            added, removed, path = parts
            found[path] = sum(int(number) for number in (added, removed) if number.isdigit())
    return found


def _existing(root: Path, revision: str, paths: Sequence[str]) -> list[str]:
    listed = run_git(root, "ls-tree", "-r", "-z", "--name-only", revision, "--", *paths).decode(
        "utf-8", "surrogateescape"
    )
    known = set(listed.split("\0"))
    return [path for path in paths if path in known]


def _names(text: str, path: str) -> bool:
    """Whether a text gives a file away: its name, or its module's last two parts in a row."""
    name = path.rpartition("/")[2]
    module = ".".join(module_name(path).split(".")[-2:])
    lower = text.lower()
    return name.lower() in lower or ("." in module and module.lower() in lower)


def open_parents(root: Path, settings: IndexSettings | None = None) -> Callable[[str], Index]:
    """Opens the trees of `cases_from_history` for `prepare_cases`."""

    def open_tree(revision: str) -> Index:
        return open_revision(root, revision, settings)

    return open_tree


def write_cases(cases: Sequence[RankingCase], path: Path) -> None:
    """Write cases as JSON that `read_cases` reads; folders on the way are made.

    Raises:
        CasesUnwritable: the file cannot be written.
    """
    entries = [
        {
            "commit": case.id.rpartition(":")[2],
            "tree": case.tree,
            "query": case.text,
            "gold": case.gold,
            "weight": case.weight,
            "time": case.time,
            "leak": case.leak,
        }
        for case in cases
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise CasesUnwritable(path=str(path), detail=error.strerror or str(error)) from error
