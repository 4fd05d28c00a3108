"""Import statements of each language, read from the statement's text."""

import re
from collections.abc import Callable, Iterator

from hal9.ripmap.records import Import

__all__ = ["read_imports"]

_Reader = Callable[[str, int], Iterator[Import]]
_SPACE = re.compile(r"\s+")
_COMMENT = re.compile(r"#[^\n]*")


def _renamed(item: str, separator: str = " as ") -> tuple[str, str]:
    name, _, alias = item.strip().partition(separator)
    return name.strip(), alias.strip()


def _python(text: str, line: int) -> Iterator[Import]:
    text = _SPACE.sub(" ", _COMMENT.sub("", text).replace("\\\n", " ")).strip()
    if text.startswith("from "):
        module, _, names = text[5:].partition(" import ")
        module = module.strip()
        bare = module.lstrip(".").strip()
        level = len(module.replace(" ", "")) - len(bare)
        plain: list[str] = []
        for item in names.strip(" ()").split(","):
            name, alias = _renamed(item)
            if alias and alias != name:
                yield Import(bare, (name,), alias, line, level)
            elif name:
                plain.append(name)
        if plain:
            yield Import(bare, tuple(plain), "", line, level)
        return
    for item in text.removeprefix("import ").split(","):
        module, alias = _renamed(item)
        if module:
            yield Import(module, (), alias, line)


_STRING = re.compile(r"""["'`]([^"'`\n]+)["'`]""")
_FROM = re.compile(r"""(?:from|require\s*\(|import\s*\(|=)\s*["'`]([^"'`]+)["'`]""")
_BRACES = re.compile(r"\{([^}]*)\}", re.DOTALL)


def _javascript(text: str, line: int) -> Iterator[Import]:
    source = _FROM.search(text) or _STRING.search(text)
    if source is None:
        return
    module = source.group(1)
    head = text[: source.start()]
    names: list[str] = []
    braces = _BRACES.search(head)
    if braces:
        for item in braces.group(1).split(","):
            name, alias = _renamed(item.replace(":", " as ").strip().removeprefix("type "))
            if alias and alias != name:
                yield Import(module, (name,), alias, line)
            elif name:
                names.append(name)
    rest = _BRACES.sub("", head)
    found = re.search(
        r"\*\s+as\s+([\w$]+)|(?:import|const|let|var)\s+(?:type\s+(?!,))?(?!type\s*$)([\w$]+)", rest
    )
    if found:
        whole = found.group(1) or found.group(2)
        if found.group(2) and "require" not in text:
            yield Import(module, ("default",), whole, line)
        else:
            yield Import(module, (), whole, line)
    if names or not (braces or found):
        yield Import(module, tuple(names), "", line)


def _rust(text: str, line: int) -> Iterator[Import]:
    text = _SPACE.sub(" ", text).strip().rstrip(";")
    text = re.sub(r"^(?:#\[[^\]]*\]\s*)*(?:pub(?:\s*\([^)]*\))?\s+)?", "", text)
    for keyword in ("mod ", "extern crate "):
        if text.startswith(keyword):
            name, alias = _renamed(text.removeprefix(keyword))
            prefix = "self::" if keyword == "mod " else ""
            yield Import(prefix + name, (), alias, line)
            return
    for path in _rust_paths(text.removeprefix("use ").strip()):
        whole, alias = _renamed(path)
        module, _, name = whole.rpartition("::")
        if name == "self":
            module, _, name = module.rpartition("::")
        yield Import(module, (name,) if name else (), alias, line)


def _rust_paths(text: str) -> list[str]:
    """Every full path of a use tree, braces multiplied out."""
    opened = text.find("{")
    if opened < 0:
        return [text.strip()] if text.strip() else []
    prefix, inside = text[:opened].strip(), text[opened + 1 :].rpartition("}")[0]
    parts, depth, start = [], 0, 0
    for position, character in enumerate(f"{inside},"):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(inside[start:position])
            start = position + 1
    return [prefix + path for part in parts for path in _rust_paths(part.strip())]


def _go(text: str, line: int) -> Iterator[Import]:
    for offset, row in enumerate(text.split("\n")):
        found = re.search(r"""(?:^|[\s(;])(?:([\w.]+)\s+)?["`]([^"`]+)["`]""", row.removeprefix("import"))
        if found:
            yield Import(found.group(2), (), found.group(1) or "", line + offset)


def _dotted(text: str, line: int) -> Iterator[Import]:
    """Java and Kotlin: a dotted path whose last part is the imported name."""
    body = _SPACE.sub(" ", text).strip().rstrip(";").removeprefix("import ").removeprefix("static ")
    path, alias = _renamed(body)
    module, _, name = path.rpartition(".")
    if path:
        yield (
            Import(module, (name,) if module else (), alias, line)
            if module
            else Import(name, (), alias, line)
        )


def _scala(text: str, line: int) -> Iterator[Import]:
    body = _SPACE.sub(" ", text).strip().removeprefix("import ")
    opened = body.find("{")
    if opened < 0:
        for path in body.split(","):
            module, _, name = path.strip().rpartition(".")
            yield Import(module, (name,), "", line)
        return
    module = body[:opened].strip().rstrip(".")
    for item in body[opened + 1 :].rpartition("}")[0].split(","):
        name, alias = _renamed(item.replace("=>", " as "))
        if name:
            yield Import(module, (name,), alias, line)


def _c(text: str, line: int) -> Iterator[Import]:
    found = re.search(r"""["<]([^">]+)[">]""", text)
    if found:
        yield Import(found.group(1), (), "", line)
    elif text.startswith("using"):
        path = text.removeprefix("using").replace("namespace", "").strip(" ;")
        yield Import(path, (), "", line)


def _ruby(text: str, line: int) -> Iterator[Import]:
    found = _STRING.search(text)
    if found:
        yield Import(found.group(1), (), "", line, 1 if text.startswith("require_relative") else 0)


def _php(text: str, line: int) -> Iterator[Import]:
    if not text.startswith("use"):
        found = _STRING.search(text)
        if found:
            yield Import(found.group(1).lstrip("/"), (), "", line)
        return
    body = _SPACE.sub(" ", text).strip().rstrip(";").removeprefix("use ")
    body = re.sub(r"^(?:function|const) ", "", body)
    opened = body.find("{")
    prefix = body[:opened].strip().strip("\\") if opened >= 0 else ""
    inside = body[opened + 1 :].rpartition("}")[0] if opened >= 0 else body
    for item in inside.split(","):
        path, alias = _renamed(item)
        whole = "\\".join(part for part in (prefix, path.strip("\\")) if part)
        module, _, name = whole.rpartition("\\")
        if name:
            yield Import(module, (name,), alias, line)


def _csharp(text: str, line: int) -> Iterator[Import]:
    body = _SPACE.sub(" ", text).strip().rstrip(";")
    body = body.removeprefix("global ").removeprefix("using ").removeprefix("static ")
    alias, equals, path = body.partition("=")
    yield Import(path.strip(), (), alias.strip(), line) if equals else Import(body.strip(), (), "", line)


def _bash(text: str, line: int) -> Iterator[Import]:
    words = text.split()
    if len(words) > 1:
        yield Import(words[1].strip("\"'"), (), "", line)


_READERS: dict[str, _Reader] = {
    "python": _python,
    "javascript": _javascript,
    "typescript": _javascript,
    "rust": _rust,
    "go": _go,
    "java": _dotted,
    "kotlin": _dotted,
    "scala": _scala,
    "c": _c,
    "cpp": _c,
    "ruby": _ruby,
    "php": _php,
    "csharp": _csharp,
    "bash": _bash,
}


def read_imports(language: str, text: str, line: int) -> tuple[Import, ...]:
    """Imports in one statement of `language` that starts at `line`."""
    reader = _READERS.get(language)
    return tuple(reader(text, line)) if reader else ()
