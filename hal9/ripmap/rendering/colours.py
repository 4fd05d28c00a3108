"""Colours for a map on a terminal."""

import re

from rich.console import Console
from rich.text import Text

from hal9.text import split_lines

__all__ = ["paint"]

_BADGES = re.compile(r"  (\[[^\]]+\])$")
_SYMBOL = re.compile(r"^(\s+)(\d+):( .*)$")
_KEYWORDS = re.compile(
    r"\b(?:class|def|async|fn|pub|func|function|interface|struct|enum|trait|impl|type|const|let|var|public|private|static"
    r"|object|fun|val|export|module|namespace|abstract|final|extends|implements)\b"
)


def paint(text: str, *, force: bool = False) -> None:
    """Print a plain map with paths, line numbers, keywords and notes set apart.

    With `force` in colours whatever the environment says (no terminal, TERM=dumb, NO_COLOR).
    """
    console = Console(
        highlight=False,
        soft_wrap=True,
        force_terminal=True if force else None,
        color_system="standard" if force else "auto",
        no_color=False if force else None,
    )
    for line in split_lines(text):
        console.print(_styled(line))


def _styled(line: str) -> Text:
    styled = Text(line)
    if line and not line[0].isspace():
        badges = _BADGES.search(line)
        end = badges.start() if badges else len(line)
        if re.match(r"^\d+ of \d+ files", line):
            styled.stylize("dim")
        else:
            styled.stylize("bold cyan", 0, end)
        if badges:
            styled.stylize("yellow", end)
        return styled
    symbol = _SYMBOL.match(line)
    if symbol:
        styled.stylize("dim", 0, symbol.end(2) + 1)
        styled.highlight_regex(_KEYWORDS, "magenta")
    elif line.lstrip().startswith(("“", "←", "→", "…", "why:")):
        styled.stylize("dim")
    return styled
