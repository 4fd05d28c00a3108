"""Error signatures: what stays of an error text when everything that differs from run to run is taken out."""

import re

__all__ = ["MAX_SIGNATURE", "signature"]

MAX_SIGNATURE = 400
"""Characters kept: the head names the error, the rest is detail."""

# Order matters: a UUID contains numbers, an address looks like a number, a path contains everything.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), ""),
    (
        re.compile(
            r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
            re.IGNORECASE,
        ),
        "<uuid>",
    ),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<addr>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"(?P<q>[\"'`])(?:[A-Za-z]:)?(?:[\w.~@+-]*[/\\])+[\w.@+-]*(?P=q)"), "<path>"),
    (re.compile(r"(?<![\w<])(?:[A-Za-z]:)?(?:~|\.{1,2})?(?:[/\\][\w.@+-]+)+[/\\]?"), "<path>"),
    (re.compile(r"(?<![\w<])[\w.@+-]+(?:/[\w.@+-]+)+/?"), "<path>"),
    (re.compile(r"\"(?:[^\"\\\n]|\\.)*\""), "<str>"),
    (re.compile(r"(?<!\w)'(?:[^'\\\n]|\\.)*'"), "<str>"),
    (re.compile(r"`[^`\n]*`"), "<str>"),
    (re.compile(r"\b[0-9a-f]{7,64}\b(?=.*)", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![\w<])[-+]?\d[\d_]*(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE), "<num>"),
    (re.compile(r"(?<=[a-z_])\d+\b", re.IGNORECASE), "<num>"),
)
_HEX_WORD = re.compile(r"^[a-f]+$", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_TRACE_LINE = re.compile(r"^\s*(?:File \"|Traceback \(most recent|\^+\s*$|~+\^*)", re.MULTILINE)
_FINAL_ERROR = re.compile(
    r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt)\b.*$", re.MULTILINE
)


def _hex(match: re.Match[str]) -> str:
    word = match.group(0)
    # "deadbeef" may be a hash, "effaced" is a word; a hash almost surely has a digit.
    return word if _HEX_WORD.match(word) else "<hex>"


def signature(text: str, *, error_type: str = "") -> str:
    """Normalise an error text.

    Paths, numbers, addresses, hashes, UUIDs, times, URLs, quoted strings and terminal colours become
    placeholders; of a Python traceback only the final error line stays. Idempotent, never longer than
    `MAX_SIGNATURE` plus the error type.
    """
    body = text
    if _TRACE_LINE.search(text):
        finals = _FINAL_ERROR.findall(text)
        if finals:
            body = finals[-1]
    for pattern, replacement in _RULES:
        body = pattern.sub(_hex if replacement == "<hex>" else replacement, body)
    body = _SPACE.sub(" ", body).strip().lower()[:MAX_SIGNATURE].rstrip()
    return f"{error_type}: {body}" if error_type else body
