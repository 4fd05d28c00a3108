"""Differences between two contents as text: unified diffs for people, patches that git applies."""

import base64
import difflib
import zlib
from dataclasses import dataclass

from hal9.text import split_lines

__all__ = ["Version", "as_text", "patch_of", "quoted", "unified"]

# Above this many differing lines on both sides, finding the smallest difference takes longer than it helps.
_MOST_COMPARED = 4000
_CONTEXT = 3
_B85_LINE = 52
_LETTERS = 26


@dataclass(frozen=True, slots=True)
class Version:
    """A file at one time: its content, and git's mode (100644, 100755, 120000 for a link)."""

    data: bytes
    mode: int = 0o100644


def as_text(data: bytes) -> str | None:
    """The text of a file; None when it is none."""
    if b"\0" in data[:8192]:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def unified(old: str, new: str, *, before: str, after: str) -> str:
    """A unified diff that `patch` and git accept, also without a line feed at the end; "" when equal."""
    if old == new:
        return ""
    a, b = split_lines(old, keepends=True), split_lines(new, keepends=True)
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[len(a) - 1 - end] == b[len(b) - 1 - end]:
        end += 1
    # Only what differs is compared, with the context that belongs to it.
    skip = max(start - _CONTEXT, 0)
    inner_a = a[skip : min(len(a) - end + _CONTEXT, len(a))]
    inner_b = b[skip : min(len(b) - end + _CONTEXT, len(b))]
    shown = [f"--- {before}\n", f"+++ {after}\n"]
    for group in _groups(inner_a, inner_b):
        first_a, last_a = group[0][1] + skip, group[-1][2] + skip
        first_b, last_b = group[0][3] + skip, group[-1][4] + skip
        shown.append(f"@@ -{_span(first_a, last_a)} +{_span(first_b, last_b)} @@\n")
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                shown += [_marked(" ", line) for line in inner_a[a1:a2]]
            else:
                shown += [_marked("-", line) for line in inner_a[a1:a2]]
                shown += [_marked("+", line) for line in inner_b[b1:b2]]
    return "".join(shown)


def _groups(a: list[str], b: list[str]) -> list[list[tuple[str, int, int, int, int]]]:
    if max(len(a), len(b)) > _MOST_COMPARED:
        return [[("replace", 0, len(a), 0, len(b))]]
    return list(difflib.SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(_CONTEXT))


def _span(first: int, last: int) -> str:
    length = last - first
    if length == 1:
        return str(first + 1)
    return f"{first + 1 if length else first},{length}"


def _marked(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def patch_of(path: str, old: Version | None, new: Version | None) -> str:
    """One file's part of a patch in git's format, binary contents included; "" when nothing differs."""
    if old == new:
        return ""
    a, b = quoted(f"a/{path}"), quoted(f"b/{path}")
    head = f"diff --git {a} {b}\n"
    if old is None and new is not None:
        head += f"new file mode {new.mode:06o}\n"
    elif new is None and old is not None:
        head += f"deleted file mode {old.mode:06o}\n"
    elif old is not None and new is not None and old.mode != new.mode:
        if (old.mode ^ new.mode) & 0o170000:
            # Git has no change from a file to a link: one goes, the other comes.
            return patch_of(path, old, None) + patch_of(path, None, new)
        head += f"old mode {old.mode:06o}\nnew mode {new.mode:06o}\n"
    before = old.data if old else b""
    after = new.data if new else b""
    if before == after:
        return head
    texts = as_text(before), as_text(after)
    if texts[0] is None or texts[1] is None:
        return f"{head}{_index_line(old, new)}GIT binary patch\n{_literal(after)}\n{_literal(before)}\n"
    body = unified(texts[0], texts[1], before=a if old else "/dev/null", after=b if new else "/dev/null")
    return head + body


def _index_line(old: Version | None, new: Version | None) -> str:
    from hashlib import sha1  # noqa: PLC0415 - only patches of binary files name objects

    def name(version: Version | None) -> str:
        if version is None:
            return "0" * 40
        header = f"blob {len(version.data)}\0".encode()
        return sha1(header + version.data, usedforsecurity=False).hexdigest()

    mode = f" {new.mode:06o}" if old and new and old.mode == new.mode else ""
    return f"index {name(old)}..{name(new)}{mode}\n"


def _literal(data: bytes) -> str:
    packed = zlib.compress(data)
    lines = [f"literal {len(data)}\n"]
    for start in range(0, len(packed), _B85_LINE):
        part = packed[start : start + _B85_LINE]
        length = chr(ord("A") + len(part) - 1) if len(part) <= _LETTERS else chr(ord("a") + len(part) - 27)
        padded = part + b"\0" * (-len(part) % 4)
        lines.append(f"{length}{base64.b85encode(padded).decode()}\n")
    return "".join(lines)


def quoted(path: str) -> str:
    """A path as git writes it in patches: quoted when it holds what would end or break the line."""
    raw = path.encode("utf-8", "surrogateescape")
    if all(32 <= byte != 127 and byte not in b'"\\' and byte < 128 for byte in raw):
        return path
    shown = "".join(
        {9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\"}.get(byte)
        or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
        for byte in raw
    )
    return f'"{shown}"'
