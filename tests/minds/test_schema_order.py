"""Schemas that make a model think before it answers."""

from typing import Any

from hal9.minds.schema_order import order_problems, written_in_order


def schema(required: list[str], *names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": required,
    }


def test_what_is_thought_is_required_and_first() -> None:
    assert order_problems(schema(["approach", "parts"], "approach", "parts")) == ()
    assert "optional" in order_problems(schema(["parts"], "approach", "parts"))[0]
    assert "stands after" in order_problems(schema(["parts", "approach"], "parts", "approach"))[0]
    inner = {"type": "array", "items": schema(["b"], "a", "b")}
    assert (
        "$.list.items.a is optional"
        in order_problems({"type": "object", "properties": {"list": inner}, "required": ["list"]})[0]
    )


def test_what_is_sent_keeps_its_order() -> None:
    sent = written_in_order(schema(["c"], "a", "b", "c", "d"))
    assert sent["required"] == ["a", "b", "c"]
    assert order_problems(sent) == ()
    assert written_in_order(schema([], "a", "b"))["required"] == []
    nested = {"anyOf": [schema(["b"], "a", "b")], "$defs": {"x": schema(["b"], "a", "b")}}
    assert written_in_order(nested)["anyOf"][0]["required"] == ["a", "b"]
    assert written_in_order(nested)["$defs"]["x"]["required"] == ["a", "b"]
