"""AGENTS.md and CLAUDE.md as rules of their folders: the nearest first, and written only when asked.

Nothing is opened here: whoever has a handle on the repository reads, this says which files and what of them
goes into a prompt.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hal9.memory.records import EVERYWHERE, GLOB, Rule, defused
from hal9.memory.rules.wording import hostile, subject_words
from hal9.promptgram import estimate_tokens
from hal9.text import clean_text, split_lines

__all__ = [
    "MOST_BYTES",
    "RULE_FILES",
    "ChosenRules",
    "LeftOut",
    "RuleFile",
    "as_markdown",
    "choose_rules",
    "imported_files",
    "rule_file_names",
    "with_section",
]

RULE_FILES = ("AGENTS.md", "CLAUDE.md")
IMPORTING = "CLAUDE.md"
"""The file whose format knows imports; what it imports may import further."""
MOST_HOPS = 5
"""How far imports of imports are followed, as that format says."""
MOST_BYTES = 200_000
"""Longest file of rules that is read at all."""
_BEGIN = "<!-- hal9 rules: begin (written by `hal9 rules export`) -->"
_END = "<!-- hal9 rules: end -->"
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
_ITEM = re.compile(r"(?:[-*+]|\d+[.)])\s+")
_FENCE = re.compile(r"\s*(```|~~~)")
_IMPORT = re.compile(r"@(\S+)$")
_MENTION = re.compile(r"(?:^|(?<=[\s(]))@([^\s()`]+)")
_CODE_SPAN = re.compile(r"(`+).+?\1")
_TEXTS = (".md", ".mdc", ".markdown", ".rst", ".txt")
"""Endings of files that hold words for people; no other is put into a prompt."""
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_OPENING = "The repository's files of rules, the nearest first; where two disagree, the first holds."
_UNSEEN = re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file of rules as it was read.

    Attributes:
        file: its path in the repository; it speaks for its folder and all below.
        text: what it says.
        problem: why it could not be read; then there is no text.
        by: the file of rules that imports it, directly or by others; empty where it is one itself.
    """

    file: str
    text: str = ""
    problem: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of a file does not go into a prompt, and why."""

    file: str
    heading: str
    why: str


@dataclass(frozen=True, slots=True)
class ChosenRules:
    """What of the files goes into a prompt.

    Attributes:
        text: ready for the prompt; empty when there is nothing.
        shown: the files of which something is in it, the nearest first.
        left_out: what is not in it.
        tokens: how many tokens the text has, as estimated.
    """

    text: str = ""
    shown: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Block:
    """A list item, a paragraph, a fenced block or an import, under its heading."""

    heading: str
    text: str


def rule_file_names(touched: Iterable[str]) -> list[str]:
    """Paths at which files of rules may stand that speak for these paths, the nearest first.

    Args:
        touched: files and folders of the repository; folders end with a slash. With none, the root's.
    """
    folders = {""}
    for path in touched:
        folder = posixpath.normpath(path) if path.endswith("/") else posixpath.dirname(path)
        while folder not in ("", ".", "/"):
            folders.add(folder)
            folder = posixpath.dirname(folder)
    ordered = sorted(folders, key=lambda folder: (-(folder.count("/") + bool(folder)), folder))
    return [posixpath.join(folder, name) for folder in ordered for name in RULE_FILES]


def imported_files(file: str, text: str) -> list[str]:
    """Paths in the repository that a file of rules imports as `@path`, in order; code imports nothing.

    Paths are relative to the file's folder. What lies outside the repository, in a home folder or at the root
    of the machine is none of its rules; neither is what is no text.
    """
    found = []
    for block in _blocks(text):
        plain = _CODE_SPAN.sub("", "" if _FENCE.match(block.text) else block.text)
        for named in _MENTION.finditer(plain):
            path = _imported(file, named.group(1))
            if path and path.endswith(_TEXTS):
                found.append(path)
    return list(dict.fromkeys(found))


def _imported(file: str, named: str) -> str:
    """The path in the repository that an import names; empty where it leads out of it."""
    if named.startswith(("/", "~")):
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), named.rstrip(".,;:!?")))
    return "" if path.startswith("..") else path


def choose_rules(files: Sequence[RuleFile], *, tokens: int, task: str = "") -> ChosenRules:
    """What of the files goes into a prompt: whole files where they fit, else what is nearest to the task.

    What reads like an instruction to do harm stays out, as in packs and corrections; so does what a nearer
    file says already.

    Args:
        files: the nearest first.
        tokens: most tokens of their text.
        task: words by which the blocks of a file that is too long are chosen.
    """
    parts, shown, left = [_OPENING], list[str](), list[LeftOut]()
    room, said = tokens - estimate_tokens(_OPENING), set[str]()
    for file in files:
        if file.problem:
            left.append(LeftOut(file.file, "", file.problem))
            continue
        blocks = [block for block in _blocks(file.text) if _normal(block.text) not in said]
        blocks, refused = _without_harm(file, blocks, {one.file for one in files})
        left += refused
        if not blocks:
            continue
        head = f"From {file.file}:"
        chosen = _fitting(blocks, room - estimate_tokens(head), task)
        missing = [block for at, block in enumerate(blocks) if at not in chosen]
        if chosen:
            text = f"{head}\n{_joined([blocks[at] for at in sorted(chosen)])}"
            room -= estimate_tokens(text)
            said |= {_normal(blocks[at].text) for at in chosen}
            shown.append(file.file)
            parts.append(text)
        if missing:
            names = list(dict.fromkeys(block.heading or "(no heading)" for block in missing))
            left += [LeftOut(file.file, name, f"does not fit into {tokens} tokens") for name in names]
            note = f"({file.file} says more, which does not fit here: {_named(names)})"
            parts.append(note)
            room -= estimate_tokens(note)
    if not shown:
        return ChosenRules(left_out=tuple(left))
    made = "\n\n".join(parts)
    return ChosenRules(made, tuple(shown), tuple(left), estimate_tokens(made))


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return "; ".join(name[:60] for name in names[:_MOST_NAMED]) + (f"; {more} more" if more > 0 else "")


def _normal(text: str) -> str:
    return " ".join(text.split()).lower()


def _without_harm(
    file: RuleFile, blocks: Sequence[_Block], read: set[str]
) -> tuple[list[_Block], list[LeftOut]]:
    kept, left = list[_Block](), list[LeftOut]()
    for block in blocks:
        if named := _IMPORT.match(block.text.strip()):
            if _imported(file.file, named.group(1)) not in read:
                left.append(LeftOut(file.file, block.heading, f"{named.group(0)} is not followed"))
        elif _UNSEEN.search(block.heading + block.text):
            left.append(LeftOut(file.file, "", "holds characters that nobody sees"))
        elif found := hostile(f"{block.heading}\n{block.text}"):
            left.append(
                LeftOut(file.file, block.heading, f"reads like an instruction to do harm ({found!r})")
            )
        else:
            kept.append(block)
    found = hostile(_joined(kept))
    if found:  # no block says it alone, several together do
        return [], [*left, LeftOut(file.file, "", f"reads like an instruction to do harm ({found!r})")]
    return kept, left


def _fitting(blocks: Sequence[_Block], room: int, task: str) -> set[int]:
    """Numbers of the blocks that go in: all, else those that share most words with the task, in order."""
    about = subject_words(task)
    order = range(len(blocks))
    whole = estimate_tokens(_joined(blocks))
    ranked = sorted(
        order, key=lambda at: (-len(about & subject_words(f"{blocks[at].heading} {blocks[at].text}")), at)
    )
    if whole <= room:
        return set(order)
    chosen, headings = set[int](), set[str]()
    for at in ranked:
        block = blocks[at]
        title = "" if block.heading in headings else block.heading
        cost = estimate_tokens(f"{title}\n\n{block.text}\n")
        if cost <= room:
            chosen.add(at)
            headings.add(block.heading)
            room -= cost
    return chosen


def _joined(blocks: Sequence[_Block]) -> str:
    lines, heading = list[str](), ""
    for block in blocks:
        if block.heading != heading:
            heading = block.heading
            lines.append(f"{heading}:" if heading else "")
        lines.append(block.text)
    return "\n".join(line for line in lines if line)


def _blocks(text: str) -> list[_Block]:
    """A Markdown text in list items, paragraphs and fenced blocks; headings go with what is below them."""
    before, mark, rest = text.partition(_BEGIN)
    own = before + rest.partition(_END)[2] if mark else text  # our own rules are recalled one by one
    found, heading, lines = list[_Block](), "", list[str]()
    fence = ""

    def end() -> None:
        said = "\n".join(lines).strip("\n")
        if said.strip():
            found.append(_Block(heading, said))
        lines.clear()

    for line in split_lines(_COMMENT.sub("", defused(clean_text(own)))):
        opened = _FENCE.match(line)
        if opened and not fence:
            fence = opened.group(1)
            lines.append(line)
        elif fence:
            lines.append(line)
            fence = "" if line.strip() == fence else fence
        elif titled := _HEADING.match(line):
            end()
            heading = titled.group(1)
        elif not line.strip():
            end()
        else:
            if _ITEM.match(line) or _IMPORT.match(line) or (lines and _IMPORT.match(lines[-1])):
                end()
            lines.append(line.rstrip())
    end()
    return found


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
