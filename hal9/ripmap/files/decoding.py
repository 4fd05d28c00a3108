"""Bytes of a file as text: byte order marks, declared encodings, and what is no text at all."""

import codecs
import re

__all__ = ["decode", "is_binary", "utf8"]

_SNIFF = 8192
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COOKIE = re.compile(rb"^[^\n]*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)", re.MULTILINE)


def is_binary(source: bytes) -> bool:
    """Whether the bytes are no text: a NUL near the start without a byte order mark that explains it."""
    return b"\0" in source[:_SNIFF] and not source.startswith(tuple(mark for mark, _ in _MARKS))


def decode(source: bytes) -> str:
    """Text of `source`.

    By its byte order mark, as UTF-8, by its coding cookie, else as Latin-1 (never fails).
    """
    for mark, encoding in _MARKS:
        if source.startswith(mark):
            return source.decode(encoding, "replace")
    try:
        return source.decode("utf-8")
    except UnicodeDecodeError:
        pass
    cookie = _COOKIE.search(source[:400])
    if cookie:
        try:
            return source.decode(cookie.group(1).decode("ascii"))
        except (LookupError, ValueError):
            # An unknown or wrong cookie says nothing; the bytes still have to be read somehow.
            return source.decode("latin-1")
    return source.decode("latin-1")


def utf8(source: bytes) -> bytes:
    """`source` as UTF-8 without a byte order mark, which is what grammars parse."""
    if not source.startswith(tuple(mark for mark, _ in _MARKS)):
        try:
            source.decode("utf-8")
        except UnicodeDecodeError:
            return decode(source).encode("utf-8", "replace")
        return source
    return decode(source).encode("utf-8", "replace")
