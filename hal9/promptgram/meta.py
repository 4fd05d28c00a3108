"""Front matter: an immutable mapping of TOML values, and the canonical way to write it."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hal9.errors.promptgram import PromptgramMetadataInvalid
from hal9.promptgram.edits import forbidden_characters

__all__ = ["LINEAGE_KEYS", "Meta", "dump_toml"]

LINEAGE_KEYS: Final = ("id", "version", "parent")

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Meta(Mapping[str, Any]):
    """An immutable, hashable mapping; lists are held as tuples, tables as `Meta`. Keys are sorted."""

    __slots__ = ("_items",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        """Freeze `values`.

        Raises:
            PromptgramMetadataInvalid: a value is not text, a finite number, a boolean, a list or a table.
        """
        given = dict(values or {})
        self._items: dict[str, Any] = {key: _frozen(key, given[key]) for key in sorted(given)}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"Meta({self._items!r})"

    def thawed(self) -> dict[str, Any]:
        """A plain, deep copy: dicts and lists."""
        return {key: _thawed(value) for key, value in self._items.items()}


def dump_toml(values: Mapping[str, Any]) -> str:
    """One `key = value` line per entry, in the given order; tables are written inline."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _frozen(key: str, value: Any) -> Any:
    if forbidden_characters(key):
        raise PromptgramMetadataInvalid(key=repr(key), problem="is no plain text as a key")
    if isinstance(value, Mapping):
        return Meta(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(key, entry) for entry in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise PromptgramMetadataInvalid(key=key, problem=f"must be finite, not {value}")
    if isinstance(value, str) and (bad := forbidden_characters(value)):
        raise PromptgramMetadataInvalid(key=key, problem=f"holds {bad}")
    if not isinstance(value, str | bool | int | float):
        raise PromptgramMetadataInvalid(
            key=key,
            problem=f"is a {type(value).__name__}; text, numbers, booleans, lists and tables are possible",
        )
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, Meta):
        return value.thawed()
    if isinstance(value, tuple):
        return [_thawed(entry) for entry in value]
    return value


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    return repr(value)
