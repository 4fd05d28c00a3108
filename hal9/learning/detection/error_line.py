"""The line of an output that says what went wrong."""

import re

from hal9.text import split_lines

__all__ = ["key_line"]

_TELLING = re.compile(
    r"error|exception|assert|expected|fail|refused|denied|not found|timed? ?out", re.IGNORECASE
)
_SPACE = re.compile(r"\s+")


def key_line(evidence: str, *, limit: int = 200) -> str:
    """The line of an output that says most: the last one that names an error, else the last one."""
    lines = [_SPACE.sub(" ", line).strip() for line in split_lines(evidence) if line.strip()]
    if not lines:
        return ""
    telling = [line for line in lines if _TELLING.search(line)]
    return (telling or lines)[-1][:limit]
