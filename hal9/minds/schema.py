"""Replies with a shape: JSON out of prose, corrections that are safe, and validation.

Constrained decoding is not enough: llama.cpp enforces neither bounds of numbers nor `minProperties`, and
hosted models differ. So every reply is validated here, whatever made it.
"""

import copy
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from hal9.minds.thoughts import without_thoughts

__all__ = [
    "constrainable",
    "correct",
    "json_values",
    "problems",
    "read_numbers",
    "schema_instruction",
]

_FENCE = re.compile(r"^[ \t]*```[a-zA-Z0-9_-]*[ \t]*\r?\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
# What can begin an object or a filled array; a brace in prose does not.
_JSON_START = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\[\]{\"\dtfn-])")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
# llama.cpp refuses grammars whose repetition counts go beyond this.
_MAX_GRAMMAR_REPEATS = 2000
_MAX_STARTS = 200
_LONGEST_PROBLEM = 200
_ANNOTATIONS = frozenset({"title", "description", "default", "examples"})
_DESCRIBES_OBJECT = frozenset({"properties", "additionalProperties", "$ref", "anyOf", "oneOf"})


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_not_json)


def json_values(text: str) -> Iterator[Any]:
    """Yield the JSON values found in a text, the most plausible first.

    The whole text, then fenced blocks, then the objects and arrays standing in prose; of several the last one
    first, because a model thinks before it answers. What stands between thinking tags is left out, and so is
    everything inside an object that was cut off. Raw line breaks inside strings and trailing commas are
    tolerated; nothing else is guessed.
    """
    shown = without_thoughts(text)
    seen: set[str] = set()
    for piece in (text, shown, *reversed(_FENCE.findall(shown))):
        for variant in (piece.strip(), _TRAILING_COMMA.sub(r"\1", piece.strip())):
            if variant in seen:
                continue
            seen.add(variant)
            try:
                yield _DECODER.decode(variant)
            except (ValueError, RecursionError):
                continue
    yield from reversed(list(_values_in_prose(shown)))


def _values_in_prose(text: str) -> Iterator[Any]:
    position = 0
    for _ in range(_MAX_STARTS):
        found = _JSON_START.search(text, position)
        if found is None:
            return
        try:
            value, position = _DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            end = _closing_bracket(text, found.start())
            if end is None:
                return  # cut off: what stands inside was never meant as the answer
            position = end
            try:
                yield _DECODER.decode(_TRAILING_COMMA.sub(r"\1", text[found.start() : end]))
            except (ValueError, RecursionError):
                continue
        else:
            yield value


def _closing_bracket(text: str, start: int) -> int | None:
    """The place after the bracket that closes the one at `start`; None when there is none."""
    depth, quoted, escaped = 0, False, False
    for index in range(start, len(text)):
        character = text[index]
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = character == "\\", character != '"'
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return index + 1
    return None


def correct(value: Any, schema: dict[str, Any], where: str = "$") -> tuple[Any, tuple[str, ...]]:
    """Apply the corrections that cannot change a reply's meaning beyond its declared bounds.

    Numbers are clamped to `minimum`/`maximum`, strings cut to `maxLength`, numbers written as strings read,
    whole floats made integers, properties that are not allowed dropped.

    Returns:
        The corrected copy and one note for each correction.
    """
    if isinstance(value, dict):
        return _correct_object(value, schema, where)
    if isinstance(value, list):
        return _correct_list(value, schema, where)
    notes: list[str] = []
    numeric = schema.get("type") in {"number", "integer"}
    if isinstance(value, str) and numeric:
        number = _number(value)
        if number is not None:
            notes.append(f"{where}: read {value!r} as a number")
            value = number
    longest = schema.get("maxLength")
    if isinstance(value, str) and isinstance(longest, int) and len(value) > longest:
        notes.append(f"{where}: cut from {len(value)} to {longest} characters")
        value = value[:longest]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value, more = _correct_number(value, schema, where)
        notes += more
    return value, tuple(notes)


def _correct_number(value: float, schema: dict[str, Any], where: str) -> tuple[float, list[str]]:
    whole = schema.get("type") == "integer"
    if whole and float(value).is_integer():
        value = int(value)
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, (int, float)) and value < low:
        return (math.ceil(low) if whole else low), [f"{where}: clamped {value} to {low}"]
    if isinstance(high, (int, float)) and value > high:
        return (math.floor(high) if whole else high), [f"{where}: clamped {value} to {high}"]
    return value, []


def _number(text: str) -> float | int | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _correct_object(
    value: dict[str, Any], schema: dict[str, Any], where: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    corrected: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for key, item in value.items():
        if key in known and isinstance(known[key], dict):
            corrected[key], more = correct(item, known[key], f"{where}.{key}")
            notes += more
        elif (
            key not in known
            and schema.get("additionalProperties") is False
            and "patternProperties" not in schema
        ):
            notes += (f"{where}: dropped the property {key!r}",)
        else:
            corrected[key] = item
    return corrected, notes


def _correct_list(value: list[Any], schema: dict[str, Any], where: str) -> tuple[list[Any], tuple[str, ...]]:
    prefix = schema.get("prefixItems")
    heads = prefix if isinstance(prefix, list) else []
    rest = schema.get("items")
    corrected: list[Any] = []
    notes: tuple[str, ...] = ()
    for index, item in enumerate(value):
        inner = heads[index] if index < len(heads) else rest
        if isinstance(inner, dict):
            fixed, more = correct(item, inner, f"{where}[{index}]")
            corrected.append(fixed)
            notes += more
        else:
            corrected.append(item)
    return corrected, notes


def read_numbers(value: Any, schema: dict[str, Any]) -> Any:
    """A copy in which numbers and truth values written as strings are read; nothing else is changed.

    For arguments of tools: what `correct` does beyond this (clamping, cutting, dropping) would let a tool do
    something else than it was asked for.
    """
    if isinstance(value, dict):
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        return {
            key: read_numbers(item, known[key]) if isinstance(known.get(key), dict) else item
            for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [read_numbers(item, schema["items"]) for item in value]
    kind = schema.get("type")
    if isinstance(value, str) and kind in {"number", "integer"}:
        number = _number(value)
        return value if number is None else number
    if isinstance(value, str) and kind == "boolean":
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def problems(value: Any, schema: dict[str, Any], limit: int = 3) -> tuple[str, ...]:
    """What is wrong with a value, as short sentences with their place; empty when it is valid."""
    # A tenth of a second that a start-up can spare.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    # An empty registry: a schema must never make this process fetch something.
    validator = Draft202012Validator(schema, registry=Registry())
    found: list[str] = []
    for error in validator.iter_errors(value):
        message = error.message
        if len(message) > _LONGEST_PROBLEM:
            # The value stands first and may be long; what is wrong with it stands last.
            message = f"{message[: _LONGEST_PROBLEM // 2]}…{message[-_LONGEST_PROBLEM // 2 :]}"
        found.append(f"{error.json_path}: {message}")
        if len(found) == limit:
            break
    return tuple(found)


def constrainable(schema: dict[str, Any]) -> dict[str, Any]:
    """The part of a schema that llama.cpp's grammar can enforce; the rest is validated afterwards.

    Objects with named properties are closed (an open one invites keys until the tokens run out), `items:
    false` is left to `maxItems`, huge repetition counts are left out, and an `allOf` that describes no object
    is written as one schema: llama.cpp reads every `allOf` as an object and would force ``{}``.
    """
    return {key: _constrain_member(key, value) for key, value in _closed(copy.deepcopy(schema)).items()}


def _constrain_member(key: str, value: Any) -> Any:
    if key in {"enum", "const"}:
        return value
    if isinstance(value, list):
        return [_constrain_member("", item) for item in value]
    if isinstance(value, dict):
        return constrainable(value)
    return value


def _closed(node: dict[str, Any]) -> dict[str, Any]:
    node = _as_one(node)
    if isinstance(node.get("properties"), dict):
        node.setdefault("additionalProperties", False)
    if node.get("items") is False:
        del node["items"]
        heads = node.get("prefixItems")
        if isinstance(heads, list):
            node.setdefault("minItems", len(heads))
            node.setdefault("maxItems", len(heads))
    for key in ("maxLength", "minLength", "maxItems"):
        if isinstance(node.get(key), int) and node[key] > _MAX_GRAMMAR_REPEATS:
            del node[key]
    return node


def _as_one(node: dict[str, Any]) -> dict[str, Any]:
    """The node without its `allOf`, where this can be said in one schema."""
    members = node.get("allOf")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        return node
    rest = {key: value for key, value in node.items() if key != "allOf"}
    if len(members) > 1 and any(_DESCRIBES_OBJECT & member.keys() for member in (rest, *members)):
        return node
    merged: dict[str, Any] = {}
    for member in (rest, *members):
        told_twice = merged.keys() & member.keys() - _ANNOTATIONS
        if any(merged[key] != member[key] for key in told_twice):
            # Two bounds of one kind: the shape alone is enforced, the rest is validated afterwards.
            return {key: value for key, value in {**merged, **member}.items() if key in {"type", "enum"}}
        merged |= member
    return merged


def schema_instruction(schema: dict[str, Any]) -> str:
    """The sentence that asks a model for a shape when its provider cannot enforce one."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON value and nothing else. It must be valid against this JSON schema:\n{text}"
