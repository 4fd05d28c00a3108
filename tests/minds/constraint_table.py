"""What constrained decoding of the local model enforces: `python -m tests.minds.constraint_table` writes it.

Each case has a value that breaks the constraint. A model that is asked to repeat it does so where decoding
leaves it free, and cannot where the constraint is enforced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "END", "START", "Case", "enclosed", "table"]

START = "<!-- constraints: python -m tests.minds.constraint_table -->"
END = "<!-- end of constraints -->"
_TEXT = {"type": "string", "maxLength": 40}
_PAIR = {"a": _TEXT, "b": _TEXT}


@dataclass(frozen=True, slots=True)
class Case:
    """One constraint.

    Attributes:
        name: as the table shows it.
        schema: of the value.
        broken: a value that breaks it.
        enforced: whether decoding keeps to it.
    """

    name: str
    schema: dict[str, Any]
    broken: Any
    enforced: bool


CASES = (
    Case("`enum`", {"enum": ["red", "green"]}, "blue", True),
    Case("`const`", {"const": "red"}, "blue", True),
    Case("`type`, also as a list", {"type": ["integer", "null"]}, "cat", True),
    Case("`$ref`", {"$ref": "#/$defs/whole"}, "cat", True),
    Case("`anyOf`", {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "cat", True),
    Case("`minimum` of an integer", {"type": "integer", "minimum": 50}, 7, True),
    Case("`maximum` of an integer", {"type": "integer", "maximum": 9}, 5000, True),
    Case("`exclusiveMaximum` of an integer", {"type": "integer", "exclusiveMaximum": 7}, 7, True),
    Case("`minimum` of a number", {"type": "number", "minimum": 0.5}, 0.25, False),
    Case("`maximum` of a number", {"type": "number", "maximum": 1}, 37.5, False),
    Case("`exclusiveMinimum` of a number", {"type": "number", "exclusiveMinimum": 1}, 1, False),
    Case("`multipleOf`", {"type": "integer", "multipleOf": 5}, 7, False),
    Case("`minLength`", {"type": "string", "minLength": 12, "maxLength": 20}, "cat", True),
    Case("`maxLength`", {"type": "string", "maxLength": 5}, "elephant", True),
    Case("`pattern` from `^` to `$`", {"type": "string", "pattern": "^[a-z]{3}$"}, "12345", True),
    Case(
        "`pattern` without `^` and `$`",
        {"type": "string", "pattern": "[a-z]{3}", "maxLength": 20},
        "12345",
        False,
    ),
    Case("`pattern` with `\\d`", {"type": "string", "pattern": r"^\d{3}$"}, "abcde", False),
    Case("`pattern` with `\\w`", {"type": "string", "pattern": r"^\w{3}$"}, "a-b-c", False),
    Case("`pattern` with a lookahead", {"type": "string", "pattern": "^(?!cat)[a-z]{3}$"}, "cat", False),
    Case("`minItems`", {"type": "array", "items": _TEXT, "minItems": 3, "maxItems": 4}, ["a"], True),
    Case("`maxItems`", {"type": "array", "items": _TEXT, "maxItems": 2}, ["a", "b", "c", "d"], True),
    Case(
        "`prefixItems`",
        {"type": "array", "prefixItems": [{"type": "integer"}, _TEXT], "items": False},
        ["a", "b"],
        True,
    ),
    Case(
        "`uniqueItems`",
        {"type": "array", "items": _TEXT, "uniqueItems": True, "maxItems": 4},
        ["a", "a"],
        False,
    ),
    Case(
        "`contains`",
        {"type": "array", "items": _TEXT, "contains": {"const": "z"}, "maxItems": 4},
        ["a", "b"],
        False,
    ),
    Case(
        "`required`",
        {"type": "object", "properties": _PAIR, "required": ["a", "b"], "additionalProperties": False},
        {"a": "1"},
        True,
    ),
    Case(
        "`additionalProperties: false`",
        {"type": "object", "properties": {"a": _TEXT}, "additionalProperties": False},
        {"b": "1"},
        True,
    ),
    Case(
        "`minProperties`",
        {"type": "object", "additionalProperties": _TEXT, "minProperties": 2},
        {"a": "1"},
        False,
    ),
    Case(
        "`maxProperties`",
        {"type": "object", "additionalProperties": _TEXT, "maxProperties": 1},
        {"a": "1", "b": "2"},
        False,
    ),
    Case(
        "`propertyNames`",
        {"type": "object", "additionalProperties": _TEXT, "propertyNames": {"pattern": "^[a-z]$"}},
        {"NAME": "1"},
        False,
    ),
    Case(
        "`dependentRequired`",
        {
            "type": "object",
            "properties": _PAIR,
            "dependentRequired": {"a": ["b"]},
            "additionalProperties": False,
        },
        {"a": "1"},
        False,
    ),
    Case(
        "`if`/`then`",
        {
            "type": "object",
            "properties": _PAIR,
            "if": {"required": ["a"]},
            "then": {"required": ["b"]},
            "additionalProperties": False,
        },
        {"a": "1"},
        False,
    ),
    Case("`allOf` of simple values", {"allOf": [{"type": "integer"}, {"maximum": 9}]}, 5000, True),
    Case(
        "`oneOf` whose members overlap",
        {"oneOf": [{"type": "integer", "maximum": 10}, {"type": "integer", "minimum": 5, "maximum": 20}]},
        7,
        False,
    ),
    Case("`not`", {"type": "string", "not": {"const": "cat"}, "maxLength": 10}, "cat", False),
)


def enclosed(case: Case) -> dict[str, Any]:
    """The case's schema as the one property ``v`` of an object."""
    return {
        "type": "object",
        "properties": {"v": case.schema},
        "required": ["v"],
        "additionalProperties": False,
        "$defs": {"whole": {"type": "integer"}},
    }


def table(cases: Sequence[Case]) -> str:
    """The table of the documentation."""
    rows = [f"| {case.name} | {'decoding' if case.enforced else 'the check alone'} |" for case in cases]
    return "\n".join(["| constraint | held by |", "|---|---|", *rows])


def main() -> None:
    """Write the table between its marks."""
    page = Path(__file__).parents[2] / "docs" / "models.md"
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(START, 1)
    _old, tail = rest.split(END, 1)
    page.write_text(f"{head}{START}\n{table(CASES)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
