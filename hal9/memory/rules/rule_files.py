"""AGENTS.md and CLAUDE.md as rules of their folders: read, the nearest first, and written only when asked."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hal9.memory.records import EVERYWHERE, GLOB, Rule
from hal9.memory.rules.place import repository_of

__all__ = ["RuleFile", "as_markdown", "rule_files", "with_section"]

_NAMES = ("AGENTS.md", "CLAUDE.md")
_MOST_BYTES = 60_000
_BEGIN = "<!-- hal9 rules: begin (written by `hal9 rules export`) -->"
_END = "<!-- hal9 rules: end -->"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file of rules, the folder it speaks for ("" for the repository's root), and its text."""

    file: str
    folder: str
    text: str


def rule_files(workspace: Path, path: str) -> list[RuleFile]:
    """Files of rules that speak for a path, the nearest first, without the section that is ours."""
    repository = repository_of(str(workspace))
    inside = repository.path(path) or repository.inside
    root = Path(repository.root)
    folder = inside if (root / inside).is_dir() else posixpath.dirname(inside)
    found: list[RuleFile] = []
    while True:
        for name in _NAMES:
            text = _read(root / folder / name)
            if text.strip():
                found.append(RuleFile(posixpath.join(folder, name), folder, text))
        if not folder or folder == ".":
            return found
        folder = posixpath.dirname(folder)


def _read(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return ""
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    before, mark, rest = text.partition(_BEGIN)
    return before + rest.partition(_END)[2] if mark else text


def as_markdown(rules: Sequence[Rule]) -> str:
    """Rules as a Markdown list, by place, the whole project first."""
    by_place: dict[str, list[str]] = {}
    for one in sorted(rules, key=lambda rule: (rule.scope.place != EVERYWHERE, rule.scope.place, rule.id)):
        place = one.scope.place.removeprefix(GLOB)
        by_place.setdefault("the whole project" if place == EVERYWHERE else f"`{place}`", []).append(one.rule)
    blocks = [
        f"For {place}:\n\n" + "".join(f"- {rule}\n" for rule in known) for place, known in by_place.items()
    ]
    return "\n".join(blocks)


def with_section(text: str, section: str) -> str:
    """A file's text with our section in place of the one it had, or at its end."""
    ours = f"{_BEGIN}\n\n{section}\n{_END}\n"
    before, mark, rest = text.partition(_BEGIN)
    if mark:
        return before + ours + rest.partition(_END)[2].lstrip("\n")
    return (text.rstrip("\n") + "\n\n" if text.strip() else "") + ours
