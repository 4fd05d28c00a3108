"""What a task text says: its parts by weight, and the strong evidence named in it.

A task is a sentence, a user's issue or a commit message. It is cut into title, prose, code and traceback;
version blocks, links, HTML comments and template headings are dropped. Paths, dotted names, identifiers,
stack frames and error messages are collected as mentions, which rank by exact match rather than by words.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hal9.ripmap.query import patterns
from hal9.ripmap.query.parts import PARTS, Part, cut_task, plain_trace
from hal9.ripmap.text.tokenize import STOP_WORDS, identifier_parts, is_code_like, words

__all__ = ["PARTS", "Frame", "Mention", "Part", "Query", "parse_task"]

_ARTICLES = frozenset({"A", "I"})
"""Capital letters that are words; any other in a title names something (`Q`, `F`) where it is defined."""
_EXTENSION_WORDS = frozenset({"com", "org", "net", "io", "dev", "html", "htm"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One stack frame of the task: path as written, line (0 unknown), function ("" unknown).

    `depth` counts from the innermost frame, 0.
    """

    path: str
    line: int
    function: str
    depth: int


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in the task.

    Attributes:
        part: where it was seen first.
        marked: written so that it must be a name (code marks, a call, snake or camel case).
        count: how often.
        quoted: stands alone in code marks.
    """

    text: str
    part: Part
    marked: bool
    count: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a task says.

    Attributes:
        counts: tokens by part, with multiplicity.
        identifiers: names as written, the case kept, single words without dots.
        dotted: dotted names as written (``::`` turned into dots).
        paths: file names and paths with an extension.
        folders: paths that end in a folder or have no extension.
        frames: stack frames, innermost first.
        errors: exception types and messages; (type, message), either may be "".
        phrases: quoted texts of several words.
        operations: how much the task speaks of configuration and deployment, 0 to 1.
        title, prose, command: these parts as text.
    """

    text: str
    counts: dict[Part, Counter[str]]
    identifiers: tuple[Mention, ...] = ()
    dotted: tuple[Mention, ...] = ()
    paths: tuple[Mention, ...] = ()
    folders: tuple[Mention, ...] = ()
    frames: tuple[Frame, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    phrases: tuple[str, ...] = ()
    operations: float = 0.0
    title: str = ""
    prose: str = ""
    command: str = ""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Distinct tokens of all parts, in order of first appearance."""
        seen: dict[str, None] = {}
        for part in PARTS:
            seen.update(dict.fromkeys(self.counts[part]))
        return tuple(seen)


_MOST_CHARACTERS = 200_000
"""Whoever pastes a longer log has said what matters before."""


def parse_task(text: str) -> Query:
    """Read a task text; every text is a valid task, the empty one included."""
    texts = cut_task(text[:_MOST_CHARACTERS])
    counts = {part: Counter(_query_tokens(plain_trace(texts.of(part)))) for part in PARTS}
    for part in _SPOKEN:
        counts[part].update(_joined_forms(texts.of(part)))
    mentions = _Mentions()
    for part in PARTS:
        mentions.read(part, texts.of(part))
    everything = "\n".join(texts.of(part) for part in PARTS)
    return Query(
        text=text,
        counts=counts,
        identifiers=mentions.listed("identifiers"),
        dotted=mentions.listed("dotted"),
        paths=mentions.listed("paths"),
        folders=mentions.listed("folders"),
        frames=_frames(everything),
        errors=_errors(everything),
        phrases=_phrases(texts.title + "\n" + texts.of("prose")),
        operations=_operations(counts),
        title=texts.title,
        prose=texts.of("prose"),
        command=texts.of("command"),
    )


def _query_tokens(text: str) -> Iterable[str]:
    for word in words(text):
        for token in identifier_parts(word):
            if token not in STOP_WORDS:
                yield token


_SPOKEN: tuple[Part, ...] = ("title", "prose")


def _joined_forms(text: str) -> Iterable[str]:
    """What prose writes in two parts and code in one: `http2` of HTTP/2, `timezone` of time-zone."""
    for match in patterns.TWO_PARTS.finditer(text):
        joined = (match.group(1) + (match.group(2) or match.group(3))).lower()
        if joined not in STOP_WORDS:
            yield joined


class _Mentions:
    """Collects names with the strongest place they were seen in."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Mention]] = {
            "identifiers": {},
            "dotted": {},
            "paths": {},
            "folders": {},
        }

    def listed(self, kind: str) -> tuple[Mention, ...]:
        return tuple(self._found[kind].values())

    def read(self, part: Part, text: str) -> None:
        if not text:
            return
        spans = {match.group(2).strip("~!.") for match in patterns.INLINE.finditer(text)}
        spans.update(match.group(2).split(".")[-1].strip("~!") for match in patterns.RST_ROLE.finditer(text))
        in_prose = part in ("title", "prose")
        self._read_places(part, text, spans)
        called = {match.group(1) for match in patterns.CALL.finditer(text)} if in_prose else set()
        marked_words = {word for span in spans for word in words(span)} | called
        for word in words(text):
            if word in marked_words:
                self._add("identifiers", word, part, marked=True, quoted=word in spans)
            elif is_code_like(word):
                self._add("identifiers", word, part, marked=in_prose)
            elif not in_prose or len(word) > 2 or word[0].isupper():
                self._add("identifiers", word, part, marked=False)

    def _read_places(self, part: Part, text: str, spans: set[str]) -> None:
        """Paths, folders, and dotted names, those that imports bring among them."""
        in_prose = part in ("title", "prose")
        for match in (patterns.DIFF_PATH if part == "diff" else patterns.PATH).finditer(text):
            self._add_path(match.group(1), part, spans)
        for match in patterns.FOLDER.finditer(text):
            self._add("folders", match.group(1).strip("/."), part, marked=True)
        for match in patterns.DOTTED.finditer(text):
            self._add("dotted", match.group(1), part, marked=in_prose)
        for match in patterns.DOUBLE_COLON.finditer(text):
            self._add("dotted", match.group(1).replace("::", "."), part, marked=in_prose)
        for match in patterns.FROM_IMPORT.finditer(text):
            for item in (match.group(2) or match.group(3)).split(","):
                name = item.split(" as ")[0].strip()
                if name.isidentifier() and not match.group(1).startswith("."):
                    self._add("dotted", f"{match.group(1)}.{name}", part, marked=in_prose)

    def _add_path(self, path: str, part: Part, spans: set[str]) -> None:
        name, _, extension = path.rpartition(".")
        if extension.lower() in _EXTENSION_WORDS and "/" not in path and path not in spans:
            return
        if not name.strip("./"):
            return
        self._add("paths", path.removeprefix("./"), part, marked=True)

    def _add(self, kind: str, text: str, part: Part, *, marked: bool, quoted: bool = False) -> None:
        if (
            len(text) < 2
            and not marked
            and not (part == "title" and text.isupper() and text not in _ARTICLES)
        ):
            return
        known = self._found[kind].get(text)
        if known is None:
            self._found[kind][text] = Mention(text, part, marked, 1, quoted)
        else:
            self._found[kind][text] = Mention(
                text, known.part, known.marked or marked, known.count + 1, known.quoted or quoted
            )


def _frames(text: str) -> tuple[Frame, ...]:
    """Frames innermost first: Python and Rust print the innermost last, JavaScript, Java and Go first."""
    python: list[tuple[str, int, str]] = [
        (match.group(1), int(match.group(2)), match.group(3) or "")
        for match in patterns.PYTHON_FRAME.finditer(text)
    ]
    if not python:
        python = [
            (m.group(1), int(m.group(2) or 0), m.group(3)) for m in patterns.IPYTHON_FRAME.finditer(text)
        ]
    if not python:
        python = [(m.group(1), int(m.group(2)), m.group(3)) for m in patterns.PYTEST_FRAME.finditer(text)]
    found = python[::-1]
    found += [
        (m.group(2), int(m.group(3)), (m.group(1) or "").strip()) for m in patterns.JS_FRAME.finditer(text)
    ]
    for match in patterns.JAVA_FRAME.finditer(text):
        package = match.group(1).rpartition(".")[0].replace(".", "/")
        found.append((f"{package}/{match.group(3)}".strip("/"), int(match.group(4)), match.group(2)))
    found += [(match.group(1), int(match.group(2)), "") for match in patterns.GO_FRAME.finditer(text)]
    found += [(match.group(1), int(match.group(2)), "") for match in patterns.RUST_FRAME.finditer(text)]
    return tuple(
        Frame(path.replace("\\", "/"), line, function, depth)
        for depth, (path, line, function) in enumerate(found)
    )


def _errors(text: str) -> tuple[tuple[str, str], ...]:
    found: dict[tuple[str, str], None] = {}
    for pattern in (patterns.ERROR, patterns.INLINE_ERROR):
        for match in pattern.finditer(text):
            found[(match.group(1).rpartition(".")[2], (match.group(2) or "").strip())] = None
    told = {kind for kind, message in found if message}
    return tuple((kind, message) for kind, message in found if message or kind not in told)


def _phrases(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for match in patterns.QUOTED.finditer(text):
        phrase = match.group(1) or match.group(2)
        if len(phrase.split()) >= 2:
            found[phrase] = None
    for match in patterns.INLINE.finditer(text):
        if len(match.group(2).split()) >= 3:
            found[match.group(2)] = None
    return tuple(found)


_OPERATIONS = frozenset(
    {
        "deploy",
        "deployment",
        "docker",
        "dockerfile",
        "compose",
        "kubernetes",
        "k8s",
        "helm",
        "ci",
        "pipeline",
        "workflow",
        "workflows",
        "actions",
        "release",
        "publish",
        "packaging",
        "package",
        "install",
        "installation",
        "setup",
        "build",
        "makefile",
        "dependency",
        "dependencies",
        "pin",
        "bump",
        "requirements",
        "lockfile",
        "config",
        "configuration",
        "environment",
        "env",
        "ansible",
        "terraform",
        "nginx",
        "systemd",
    }
)


def _operations(counts: dict[Part, Counter[str]]) -> float:
    """Share of the title's and prose's distinct words that speak of building, configuring and deploying."""
    distinct = set(counts["title"]) | set(counts["prose"])
    if not distinct:
        return 0.0
    return min(1.0, 3.0 * len(distinct & _OPERATIONS) / len(distinct))
