"""Import statements of each language, read from the statement's text."""

import re
from collections.abc import Callable, Iterator

from hal9.ripmap.model import Import

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


_READERS: dict[str, _Reader] = {"python": _python}


def read_imports(language: str, text: str, line: int) -> tuple[Import, ...]:
    """Imports in one statement of `language` that starts at `line`."""
    reader = _READERS.get(language)
    return tuple(reader(text, line)) if reader else ()
