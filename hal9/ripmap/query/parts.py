"""A task text cut into title, prose, code, output and traceback; what says nothing of the code is dropped."""

from dataclasses import dataclass, field
from typing import Literal

from hal9.ripmap.query import patterns

__all__ = ["PARTS", "Part", "TaskParts", "cut_task", "plain_trace"]

Part = Literal["title", "prose", "code", "output", "traceback"]
PARTS: tuple[Part, ...] = ("title", "prose", "code", "output", "traceback")

_LONGEST_FACT = 80
"""Facts of a machine are told in short lines; what is longer is a sentence again."""


@dataclass(slots=True)
class TaskParts:
    """The parts' text while they are being cut, and code spans inside prose."""

    title: str = ""
    prose: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)

    def of(self, part: Part) -> str:
        return self.title if part == "title" else "\n".join(getattr(self, part))


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = patterns.HTML_COMMENT.sub(" ", text)
    text = patterns.DETAILS_TAG.sub(" ", text)
    text = patterns.NO_ANSWER.sub("", text)
    text = patterns.OBJECT.sub(r"\1", text)
    text = patterns.CREDIT.sub(" ", patterns.BACKPORT.sub("", patterns.RST_TAG.sub("", text)))
    return patterns.URL.sub(" ", text)


def cut_task(text: str) -> TaskParts:
    """Title is the first line that says something; fenced and indented blocks are code or traces."""
    texts = TaskParts()
    lead = _clean(text).lstrip()
    first, _, rest = lead.partition("\n")
    if first.lstrip().startswith(("```", "~~~", "Traceback (")):
        rest = lead
    else:
        texts.title = first.strip().lstrip("#").strip()[:400]
    position = 0
    about_machine = False
    for match in patterns.FENCE.finditer(rest):
        about_machine = _cut_plain(rest[position : match.start()], texts, about_machine)
        if not (about_machine and patterns.MACHINE_BLOCK.match(match.group(2))):
            _cut_block(match.group(2), texts)
        position = match.end()
    _cut_plain(rest[position:], texts, about_machine)
    return texts


def _cut_block(block: str, texts: TaskParts) -> None:
    """A fenced block: stack traces leave it line by line, version lists are dropped."""
    lines = block.split("\n")
    versions = sum(1 for line in lines if patterns.VERSION_LINE.match(line))
    if versions >= 3 and versions * 2 >= len([line for line in lines if line.strip()]):
        return
    in_trace = False
    session = _Session()
    for line in lines:
        if _starts_trace(line):
            in_trace = True
        elif in_trace and line.strip() and not line.startswith((" ", "\t")):
            texts.traceback.append(line)
            in_trace = False
            continue
        if in_trace:
            texts.traceback.append(line)
        else:
            (texts.output if session.answers(line) else texts.code).append(line)


@dataclass(slots=True)
class _Session:
    """Follows an interactive session: what stands after a prompt is typed, the rest is printed."""

    prompted: bool = False

    def answers(self, line: str) -> bool:
        """Whether a line is what a program printed."""
        if patterns.PROMPT.match(line):
            self.prompted = True
            return False
        if patterns.OUTPUT.match(line):
            return True
        if not line.strip():
            self.prompted = False
            return False
        return self.prompted


def _cut_plain(text: str, texts: TaskParts, about_machine: bool) -> bool:
    """Lines outside of fences; returns whether they end among facts of a machine (versions, platform)."""
    in_trace = False
    session = _Session()
    for line in text.split("\n"):
        said = session.answers(line)
        if not line.strip() or patterns.VERSION_LINE.match(line):
            continue
        headed = _heading(line)
        if headed is not None:
            about_machine = headed == "machine"
            if headed == "other":
                texts.prose.append(line)
        elif _traced(line, in_trace):
            in_trace = (in_trace and line.startswith((" ", "\t"))) or _starts_trace(line)
            texts.traceback.append(line)
        elif about_machine and len(line) < _LONGEST_FACT and not patterns.CODE_START.match(line):
            continue
        elif said:
            texts.output.append(line)
        elif patterns.CODE_LINE.match(line):
            texts.code.append(line)
        else:
            about_machine = False
            texts.prose.append(line)
    return about_machine


def _heading(line: str) -> Literal["template", "machine", "other"] | None:
    """What kind of heading a line is: a template's, one over facts of a machine, or one of the author's."""
    if patterns.TEMPLATE.match(line):
        return "template"
    if patterns.MACHINE_HEADING.match(line):
        return "machine"
    return "other" if patterns.HEADING.match(line) else None


def _starts_trace(line: str) -> bool:
    return bool(patterns.TRACE_START.match(line) or patterns.TRACE_LINE.match(line))


def _traced(line: str, in_trace: bool) -> bool:
    """A trace goes on with indented lines and ends with the error, the first line that is not."""
    return in_trace or _starts_trace(line) or bool(patterns.ERROR.match(line))


def plain_trace(text: str) -> str:
    """Stack frames reduced to the tail of their path and the function: the rest is the same everywhere."""
    text = patterns.TRACE_HEAD.sub("", text)
    for pattern in (patterns.PYTHON_FRAME, patterns.IPYTHON_FRAME):
        text = pattern.sub(lambda frame: " ".join((*frame[1].split("/")[-3:], frame[3] or "")) + " ", text)
    return text
