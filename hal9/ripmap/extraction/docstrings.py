"""Documentation and message strings as plain text."""

import re

__all__ = ["comment_above", "first_paragraph", "string_value"]

_DOC_LIMIT = 400
_MESSAGE_LIMIT = 240
_MESSAGE_WORDS = 2
_QUOTES = re.compile(r"""^[A-Za-z$@]{0,3}(\"\"\"|'''|`|\"|')(.*?)\1?$""", re.DOTALL)
_OPENED = re.compile(r"""^[A-Za-z$@]{0,3}(\"\"\"|'''|`|\"|')""")
_SPACED = re.compile(rb"[\s{%\xc2-\xe3]|\\n").search
"""Only a literal with one of these can hold two words: spaces, what stands for a hole, a line break."""
_HOLE = re.compile(r"\$?\{[^{}]*\}|%\([a-z_]+\)[a-z]|%[a-z]")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[A-Za-z]{2,}")
_LEADER = re.compile(r"^\s*(?:///?!?|//!|/\*\*?|\*/?|#+|--)\s?")
_TAG = re.compile(r"</?[a-z][^<>\n]*>")
_SKIPPED = (b"@", b"#[", b"#!", b"[")


def first_paragraph(text: str) -> str:
    """First paragraph of a docstring or comment, quotes and indentation gone, on one line."""
    match = _QUOTES.match(text.strip())
    body = match.group(2) if match else text
    paragraph = re.split(r"\n\s*\n", body.strip(), maxsplit=1)[0]
    return _SPACE.sub(" ", paragraph).strip()[:_DOC_LIMIT]


def string_value(literal: bytes) -> str:
    """The words of a string literal that reads like a message, "" for any other string."""
    if not _SPACED(literal):
        return ""
    text = literal.decode("utf-8", "replace").strip()
    opened = _OPENED.match(text)
    if opened is None:
        body = text
    else:
        body = text[opened.end() :]
        body = body.removesuffix(opened.group(1))
    body = body[: 4 * _MESSAGE_LIMIT]
    text = _SPACE.sub(" ", _HOLE.sub(" ", body).replace("\\n", " ")).strip()
    if " " not in text or len(_WORD.findall(text)) < _MESSAGE_WORDS:
        return ""
    return text[:_MESSAGE_LIMIT]


def comment_above(source: bytes, start: int) -> str:
    """First paragraph of the comment lines directly above the definition that starts at byte `start`."""
    collected: list[str] = []
    end = source.rfind(b"\n", 0, start)
    if any(mark in source[end + 1 : start] for mark in (b"{", b";", b"(")):
        return ""
    in_block = False
    while end > 0:
        begin = source.rfind(b"\n", 0, end) + 1
        line = source[begin:end].strip()
        end = begin - 1
        if (
            in_block
            or line.startswith((b"//", b"/*", b"*"))
            or (line.startswith(b"#") and line[1:2] in b" #")
        ):
            in_block = in_block or line.endswith(b"*/")
            if line.startswith(b"/*"):
                in_block = False
            collected.append(_LEADER.sub("", line.decode("utf-8", "replace")).removesuffix("*/").strip())
        elif line.endswith(b"*/"):
            in_block = True
            collected.append(line.decode("utf-8", "replace").removesuffix("*/").strip())
        elif not (collected == [] and line.startswith(_SKIPPED)):
            break
    text = _TAG.sub("", "\n".join(reversed(collected))).strip()
    return first_paragraph(text) if text else ""
