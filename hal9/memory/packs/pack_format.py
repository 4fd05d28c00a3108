"""The YAML of a pattern pack: strict reading of untrusted text, and content hashes."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hal9.errors.memory import PackInvalid
from hal9.memory.records import MemoryScope, SolvedExample
from hal9.memory.rules.rules import RulePolicy
from hal9.memory.store.rows import content_hash
from hal9.text import clean_text, first_line

__all__ = ["FORMAT", "Pack", "PackEntry", "entry_hash", "parse_pack"]

FORMAT = 1
_MAX_BYTES = 2_000_000
_MAX_ENTRIES = 1_000
_MAX_ERRORS = 20
_LIMITS = {"error": 4_000, "error_type": 60, "module": 200, "task_family": 200, "id": 120}
_MOST_NUMBER = 1e15
# Control characters can steer a terminal, and marks of direction can show a text other than it is.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_ENTRY_KEYS = {
    "id",
    "error_type",
    "errors",
    "rule",
    "example",
    "scope",
    "source",
    "trusted_by",
    "record",
    "content_hash",
}
_PACK_KEYS = {"hal9_pack", "name", "version", "description", "origin", "licence", "entries"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """One rule of a pack; `errors` are texts that it answers, `check` is Python that verifies its example."""

    id: str
    error_type: str
    errors: tuple[str, ...]
    rule: str
    example: SolvedExample | None
    check: str
    scope: MemoryScope
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack that has been read and found well-formed."""

    name: str
    version: str
    description: str
    origin: str
    entries: tuple[PackEntry, ...]
    content_hash: str


class _StrictLoader(yaml.SafeLoader):
    """Safe loading without aliases (they can grow exponentially) and without repeated keys."""

    def compose_node(self, parent: yaml.nodes.Node | None, index: int) -> yaml.nodes.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.nodes.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len({str(key) for key in keys}) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is repeated", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_pack(text: str, *, file: str = "pack") -> Pack:
    """Read a pack without storing anything.

    Args:
        text: its YAML.
        file: its name, for error messages.

    Raises:
        PackInvalid: it is too large, not plain YAML, has unknown keys, wrong types or a wrong content hash.
    """
    data = _load(text, file)
    _only(data, _PACK_KEYS, file, "top level")
    if data.get("hal9_pack") != FORMAT:
        raise PackInvalid(file=file, where="hal9_pack", why=f"must be {FORMAT}, is {data.get('hal9_pack')!r}")
    name = _text(data, "name", file, "top level", limit=120)
    entries = data.get("entries")
    if not isinstance(entries, list) or not 0 < len(entries) <= _MAX_ENTRIES:
        raise PackInvalid(file=file, where="entries", why=f"must be a list of 1 to {_MAX_ENTRIES} entries")
    parsed = tuple(_entry(entry, file, f"entries[{index}]") for index, entry in enumerate(entries))
    seen: set[str] = set()
    for index, entry in enumerate(parsed):
        if entry.id in seen:
            raise PackInvalid(file=file, where=f"entries[{index}].id", why=f"{entry.id!r} is there twice")
        seen.add(entry.id)
    return Pack(
        name=name,
        version=_text(data, "version", file, "top level", limit=40),
        description=_text(data, "description", file, "top level", limit=2_000, needed=False),
        origin=_text(data, "origin", file, "top level", limit=500, needed=False),
        entries=parsed,
        content_hash=content_hash(name, *(entry.content_hash for entry in parsed)),
    )


def entry_hash(
    error_type: str,
    errors: Sequence[str],
    rule: str,
    example: SolvedExample | None,
    check: str,
    scope: MemoryScope,
) -> str:
    """Identity of an entry's content; ids, records and provenance are not part of it."""
    return content_hash(
        error_type,
        str(len(errors)),
        *errors,
        rule,
        example.task if example else "",
        example.answer if example else "",
        check,
        scope.module,
        scope.task_family,
    )


def _load(text: str, file: str) -> dict[str, Any]:
    if len(text.encode("utf-8", "replace")) > _MAX_BYTES:
        raise PackInvalid(file=file, where="file", why=f"it is larger than {_MAX_BYTES // 1_000_000} MB")
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a stricter SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        detail = first_line(str(error)) or type(error).__name__
        raise PackInvalid(file=file, where="file", why=f"it is not plain YAML ({detail})") from error
    if not isinstance(data, dict):
        raise PackInvalid(file=file, where="top level", why="must be a mapping")
    return data


def _only(data: Mapping[Any, Any], allowed: set[str], file: str, where: str) -> None:
    unknown = sorted(str(key) for key in data if key not in allowed)
    if unknown:
        raise PackInvalid(
            file=file, where=where, why=f"unknown key {unknown[0]!r}; known: {', '.join(sorted(allowed))}"
        )


def _text(
    data: Mapping[str, Any], key: str, file: str, where: str, *, limit: int, needed: bool = True
) -> str:
    value = data.get(key)
    if value is None and not needed:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_NUMBER:
        # `version: 1.0` is what people write.
        value = str(value)
    if not isinstance(value, str) or (needed and not value.strip()):
        raise PackInvalid(file=file, where=f"{where}.{key}", why="must be a text that is not empty")
    if len(value) > limit:
        raise PackInvalid(file=file, where=f"{where}.{key}", why=f"is longer than {limit} characters")
    hidden = _HIDDEN.search(value)
    if hidden is not None:
        code = f"U+{ord(hidden.group()):04X}"
        raise PackInvalid(file=file, where=f"{where}.{key}", why=f"holds the control character {code}")
    return clean_text(value)


def _mapping(data: Mapping[str, Any], key: str, allowed: set[str], file: str, where: str) -> dict[str, Any]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise PackInvalid(file=file, where=f"{where}.{key}", why="must be a mapping")
    _only(value, allowed, file, f"{where}.{key}")
    return value


def _entry(data: Any, file: str, where: str) -> PackEntry:
    if not isinstance(data, dict):
        raise PackInvalid(file=file, where=where, why="must be a mapping")
    _only(data, _ENTRY_KEYS, file, where)
    limits = RulePolicy()
    example, check = None, ""
    if data.get("example") is not None:
        found = _mapping(data, "example", {"task", "answer", "check"}, file, where)
        inner, most = f"{where}.example", limits.max_example_chars
        example = SolvedExample(
            _text(found, "task", file, inner, limit=most), _text(found, "answer", file, inner, limit=most)
        )
        check = _text(found, "check", file, inner, limit=most, needed=False)
    place = _mapping(data, "scope", {"module", "task_family"}, file, where)
    scope = MemoryScope(
        "",
        _text(place, "module", file, f"{where}.scope", limit=_LIMITS["module"], needed=False).strip(),
        _text(
            place, "task_family", file, f"{where}.scope", limit=_LIMITS["task_family"], needed=False
        ).strip(),
    )
    if not scope.module and not scope.task_family:
        raise PackInvalid(file=file, where=f"{where}.scope", why="names neither a module nor a task family")
    error_type = _text(data, "error_type", file, where, limit=_LIMITS["error_type"])
    errors = data.get("errors", [])
    if not isinstance(errors, list) or len(errors) > _MAX_ERRORS:
        raise PackInvalid(
            file=file, where=f"{where}.errors", why=f"must be a list of at most {_MAX_ERRORS} texts"
        )
    texts = tuple(_text({"errors": one}, "errors", file, where, limit=_LIMITS["error"]) for one in errors)
    rule = _text(data, "rule", file, where, limit=limits.max_rule_chars).strip()
    identity = entry_hash(error_type, texts, rule, example, check, scope)
    claimed = data.get("content_hash")
    if claimed is not None and claimed != identity:
        raise PackInvalid(
            file=file, where=f"{where}.content_hash", why="does not fit the content; the entry was changed"
        )
    return PackEntry(
        id=_text(data, "id", file, where, limit=_LIMITS["id"]),
        error_type=error_type,
        errors=texts,
        rule=rule,
        example=example,
        check=check,
        scope=scope,
        content_hash=identity,
    )
