"""The order in which the properties of an answer are written, which decides what a model has thought before.

llama.cpp writes required properties first and optional ones, if at all, afterwards. Hosted models mostly
follow the schema's order. A schema whose required properties come first means the same to all of them.
"""

from collections.abc import Iterator
from typing import Any

__all__ = ["THOUGHTS", "order_problems", "written_in_order"]


def order_problems(schema: dict[str, Any], where: str = "$") -> tuple[str, ...]:
    """Properties that constrained decoding would write in another order than the schema has them.

    llama.cpp writes required properties first, then the optional ones, most of which small models leave out:
    what is to be thought before the answer must be required, and stand first.
    """
    found: list[str] = []
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required", [])
        last = max((index for index, name in enumerate(properties) if name in required), default=-1)
        early = [name for index, name in enumerate(properties) if index < last and name not in required]
        found += [f"{where}.{name} is optional and stands before a required property" for name in early]
        names = list(properties)
        thoughts = [name for name in properties if name in THOUGHTS and name not in required]
        found += [f"{where}.{name} is optional, so small models leave it out" for name in thoughts]
        late = [name for name in names if name in THOUGHTS and not _led_by_thought(names, name)]
        found += [f"{where}.{name} stands after what it is to prepare" for name in late]
    for key, inner in _inner_schemas(schema):
        found += order_problems(inner, f"{where}.{key}")
    return tuple(found)


THOUGHTS = frozenset(
    {
        *("approach", "thought", "thoughts", "reasoning", "rationale", "reason", "analysis", "explanation"),
        *("why", "diagnosis", "hypothesis", "strategy_capsule", "param_interactions", "citation", "failure"),
    }
)
"""Names of properties that hold what a model looks at or thinks before it answers."""


def _led_by_thought(names: list[str], name: str) -> bool:
    return all(before in THOUGHTS for before in names[: names.index(name)])


def _inner_schemas(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        for name, inner in (schema.get(key) or {}).items():
            if isinstance(inner, dict):
                yield name, inner
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield key, schema[key]
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, inner in enumerate(schema.get(key) or []):
            if isinstance(inner, dict):
                yield f"{key}[{index}]", inner


_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def written_in_order(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as it is sent: what stands before a required property is required too.

    Decoding then writes the properties in the order in which the schema has them.
    """
    node = {key: _inner_in_order(key, value) for key, value in schema.items()}
    properties, required = node.get("properties"), node.get("required")
    if isinstance(properties, dict) and isinstance(required, list) and required:
        names = list(properties)
        last = max((names.index(name) for name in required if name in properties), default=-1)
        node["required"] = names[: last + 1] + [name for name in required if name not in properties]
    return node


def _inner_in_order(key: str, value: Any) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: _inner_in_order("items", inner) for name, inner in value.items()}
    if key in _LISTED and isinstance(value, list):
        return [_inner_in_order("items", inner) for inner in value]
    return written_in_order(value) if key in _SINGLE and isinstance(value, dict) else value
