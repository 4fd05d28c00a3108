"""Two settings out of a home's `hal9.yaml` as text: a hook call has no time to load YAML and its models."""

import re
from pathlib import Path
from typing import Literal, cast

__all__ = ["Effect", "guards_effect", "names_database"]

Effect = Literal["off", "remind", "require-once"]
_COMMENT = re.compile(r"(?:^|\s)#.*")
_GUARDS = re.compile(r"^\s+guards:\s*[\"']?(off|remind|require-once)\b", re.MULTILINE)
_URL = re.compile(r"^\s+url:\s*[\"']?(?:postgres|\$\{)", re.MULTILINE)


def names_database(settings: Path) -> bool:
    """Whether the memory lies in a database that the settings name; read in full only when it may."""
    text = _text(settings)
    if _URL.search(text) is None:
        return False
    from hal9.config import find_database  # noqa: PLC0415 - loads YAML and pydantic

    return find_database(settings) is not None


def guards_effect(settings: Path) -> Effect:
    """What is done about actions that earlier runs foretell to fail (`memory.guards`)."""
    found = _GUARDS.search(_text(settings))
    return cast(Effect, found.group(1)) if found else "require-once"


def _text(settings: Path) -> str:
    if not settings.is_file():
        return ""
    return _COMMENT.sub("", settings.read_text(encoding="utf-8", errors="replace"))
