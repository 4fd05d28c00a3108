"""A task text cut into title, prose, code, output and traceback; what says nothing of the code is dropped."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from hal9.ripmap.query import patterns

__all__ = ["PARTS", "Part", "TaskParts", "cut_task", "plain_trace"]

Part = Literal["title", "prose", "code", "output", "traceback", "diff", "configuration", "command"]
PARTS: tuple[Part, ...] = get_args(Part)

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
    diff: list[str] = field(default_factory=list)
    configuration: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

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
        if not (about_machine and patterns.MACHINE_BLOCK.match(match["block"])):
            _cut_block(match["block"], texts, block_kind(match["info"], match["block"]))
        position = match.end()
    _cut_plain(rest[position:], texts, about_machine)
    return texts


_KINDS: dict[str, Part] = {
    **dict.fromkeys(("diff", "patch", "udiff"), "diff"),
    **dict.fromkeys(
        ("yaml", "yml", "toml", "ini", "cfg", "conf", "properties", "dotenv", "env"), "configuration"
    ),
    **dict.fromkeys(
        ("env", "json", "jsonc", "json5", "xml", "editorconfig", "nginx", "hcl"), "configuration"
    ),
    **dict.fromkeys(("bash", "sh", "zsh", "shell", "fish", "console", "terminal", "powershell"), "command"),
    **dict.fromkeys(("pwsh", "ps1", "bat", "cmd", "shell-session", "shellsession"), "command"),
    **dict.fromkeys(("text", "txt", "log", "logs", "output", "plaintext", "none"), "output"),
}


def block_kind(info: str, block: str) -> Part:
    """What a fenced block holds, by the word after its fence or, without one, by what its lines look like."""
    word = info.strip().strip("{}").lstrip(".").partition(" ")[0].lower()
    if word:
        return _KINDS.get(word, "code")
    lines = [line for line in block.split("\n") if line.strip()]
    settings = sum(1 for line in lines if patterns.SETTING.match(line))
    headed = any(line.lstrip().startswith("[") for line in lines[:1]) or any(": " in line for line in lines)
    return "configuration" if headed and len(lines) > 1 and settings == len(lines) else "code"


def is_command(line: str) -> bool:
    """Whether a line is typed at a shell's prompt."""
    return bool(patterns.COMMAND.match(line))


@dataclass(slots=True)
class Patch:
    """Follows a unified diff, from its marks to the first line that cannot belong to it."""

    always: bool = False
    inside: bool = False

    def holds(self, line: str) -> bool:
        """Whether a line belongs to a diff."""
        if self.always:
            return True
        started = bool(patterns.DIFF_START.match(line))
        self.inside = started or (self.inside and bool(patterns.DIFF_LINE.match(line)))
        return self.inside


def _cut_block(block: str, texts: TaskParts, kind: Part) -> None:
    """A fenced block: traces, diffs, output leave it line by line; version lists are dropped."""
    lines = block.split("\n")
    versions = sum(1 for line in lines if patterns.VERSION_LINE.match(line))
    if versions >= 3 and versions * 2 >= len([line for line in lines if line.strip()]):
        return
    in_trace = False
    session = _Session()
    patch = Patch(always=kind == "diff")
    for line in lines:
        if patch.holds(line):
            texts.diff.append(line)
            continue
        if _starts_trace(line):
            in_trace = True
        elif in_trace and line.strip() and not line.startswith((" ", "\t")):
            texts.traceback.append(line)
            in_trace = False
            continue
        if in_trace:
            texts.traceback.append(line)
        else:
            said = "output" if session.answers(line) else "command" if is_command(line) else kind
            getattr(texts, said).append(line)


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
    patch = Patch()
    for line in text.split("\n"):
        said = session.answers(line)
        if patch.holds(line):
            texts.diff.append(line)
            continue
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
        else:
            part = "output" if said else _line_part(line)
            about_machine = about_machine and part != "prose"
            getattr(texts, part).append(line)
    return about_machine


def _line_part(line: str) -> Part:
    if is_command(line):
        return "command"
    return "code" if patterns.CODE_LINE.match(line) else "prose"


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
