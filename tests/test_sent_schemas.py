"""Every schema that HAL9 sends to a model: what is to be thought is required and first, and nothing is optional
where a small model would leave it out."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from hal9.holograph.questions import Kind, schema_for
from hal9.learning.detection.quality import _Verdict
from hal9.learning.gradients.critic import _Rule, _Written
from hal9.minds.schema import constrainable, problems
from hal9.minds.schema_order import THOUGHTS, order_problems, written_in_order
from hal9.minds.tool_translation import call_schema
from hal9.neurons.messages.replies import Implementation, split_schema
from hal9.tools.toolbox import control_tools
from hal9.tools.workspace_tools import WorkspaceTools
from hal9.trainer.protocol import inner_schema, outer_schema
from hal9.tuning.proposing import edit_schema
from hal9.tuning.scoring import _JUDGE_SCHEMA

PACKAGE = Path(__file__).parents[1] / "hal9"
LEVERS = ("weight_words", "weight_path")
ITEMS = {"Heuristics": ("one", "two"), "Role": ()}

SENT: dict[str, dict[str, dict[str, Any]]] = {
    "holograph/runs/mind_answerer.py": {str(kind): schema_for(kind) for kind in get_args(Kind)},
    "learning/detection/quality.py": {"verdict": _Verdict.model_json_schema()},
    "learning/gradients/critic.py": {
        "critique": _Written.model_json_schema(),
        "rule": _Rule.model_json_schema(),
    },
    "neurons/implementing/answering.py": {"implementation": Implementation.model_json_schema()},
    "neurons/dividing/gathering.py": {"split again": split_schema(1)},
    "neurons/dividing/splitting.py": {"split": split_schema(4)},
    "trainer/inner/loop.py": {
        "whole": inner_schema(LEVERS),
        "brief": inner_schema(LEVERS, brief=True, steps={LEVERS[0]: {"increase": ("small",)}}),
    },
    "trainer/outer/context.py": {
        "whole": outer_schema(),
        "brief": outer_schema(ITEMS, brief=True),
        "quoting": outer_schema(ITEMS),
    },
    "tuning/proposing.py": {"edits": edit_schema()},
    "tuning/scoring.py": {"judge": _JUDGE_SCHEMA},
}
"""Where a schema is given to a mind, and which schemas these are."""

PASSED_ON = {
    "neurons/turn.py",  # what its callers in this room give
    "minds/tool_translation.py",  # built of tools, below
    "tools/schema.py",  # a tool's arguments, below
}
"""Where a schema that stands in `SENT`, or one of a tool, is passed on."""

EVERY = [
    pytest.param(schema, id=f"{place}:{name}")
    for place, schemas in SENT.items()
    for name, schema in schemas.items()
]


def _given_schemas(path: Path) -> Iterator[int]:
    """Lines in which something is called with a schema."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "schema" and ast.unparse(keyword.value) != "None":
                    yield node.lineno


def test_no_schema_is_sent_that_this_test_does_not_know() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "errors" not in path.parts and any(_given_schemas(path))
    }
    assert found == SENT.keys() | PASSED_ON


@pytest.mark.parametrize("schema", EVERY)
def test_what_is_thought_is_required_and_first(schema: dict[str, Any]) -> None:
    assert order_problems(schema) == ()
    assert _references(schema) <= {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    # As it is sent: nothing gets lost on the way, and the same replies fit.
    assert order_problems(constrainable(written_in_order(schema))) == ()


@pytest.mark.parametrize("schema", EVERY)
def test_only_what_may_be_missing_is_optional(schema: dict[str, Any]) -> None:
    """What stands after the last required property is left out by small models, so little may."""
    optional = set(_optional(schema))
    assert optional <= {"replacements", "diffs", "commands", *LEVERS}
    assert not optional & THOUGHTS


def test_more_parts_than_allowed_do_not_fit() -> None:
    parts = [{"title": "a", "objective": "do it"}] * 3
    assert problems({"approach": "", "parts": parts}, split_schema(3)) == ()
    (told,) = problems({"approach": "", "parts": parts}, split_schema(2))
    assert "too long" in told
    assert split_schema(99)["properties"]["parts"]["maxItems"] == 16


def test_tools_are_called_with_a_thought_first() -> None:
    workspace = WorkspaceTools(copy=cast(Any, None), mapper=cast(Any, None), outputs=cast(Any, None))
    tools = [*workspace.tools(), *control_tools(asking=True)]
    assert len(tools) >= 9
    for tool in tools:
        assert order_problems(tool.spec.schema) == (), tool.name
        assert not _references(tool.spec.schema), f"{tool.name} refers to what it does not carry"
    for choice in ("auto", "required"):
        schema = call_schema(tuple(tool.spec for tool in tools), choice)
        assert order_problems(schema) == ()
        assert all(next(iter(one["properties"])) == "thought" for one in schema["anyOf"])


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(inner) for inner in value.values()))
    return set().union(*(_references(inner) for inner in value)) if isinstance(value, list) else set()


def _optional(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        properties = value.get("properties")
        if isinstance(properties, dict):
            yield from (name for name in properties if name not in value.get("required", []))
        for inner in value.values():
            yield from _optional(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _optional(inner)
