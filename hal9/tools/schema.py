"""Typed tools: a method's signature becomes the JSON schema a model sees, and checks what it sends."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from hal9.errors.tools import ArgumentsInvalid
from hal9.minds.protocol import ToolSpec
from hal9.tools.action import Action
from hal9.tools.observation import Observation

__all__ = ["Permission", "Tool", "tool_of"]

Permission = Literal["none", "read", "write", "run"]
Run = Callable[..., Awaitable[Observation]]
_LEFT_OUT = frozenset({"title", "$defs", "properties"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool of one turn.

    Attributes:
        spec: what the model sees.
        run: carries it out, with the arguments of `accept` as keywords.
        describe: the action that policies and guards decide on, from the same arguments.
        permission: which permission of the layer it needs.
        changes: whether it may change the workspace, so that a mark is set after it.
        repeatable: it reads or writes files of the copy and nothing else, so that a call which was cut off by
            a crash runs again: the copy is as it was before.
    """

    spec: ToolSpec
    run: Run
    describe: Callable[[Mapping[str, Any]], Action]
    permission: Permission
    changes: bool
    repeatable: bool = False
    model: type[BaseModel] | None = None

    @property
    def name(self) -> str:
        """How the model calls it."""
        return self.spec.name

    def accept(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, checked and with defaults.

        Raises:
            ArgumentsInvalid: says what is wrong and what the tool takes.
        """
        if self.model is None:
            return dict(arguments)
        try:
            accepted = self.model.model_validate(dict(arguments))
        except ValidationError as error:
            problems = "; ".join(_told(one) for one in error.errors(include_url=False)[:3])
            raise ArgumentsInvalid(
                name=self.name, problem=problems, expected=_signature(self.spec)
            ) from error
        return {name: getattr(accepted, name) for name in self.model.model_fields}


def tool_of(
    run: Run,
    *,
    describe: Callable[[Mapping[str, Any]], Action],
    permission: Permission,
    changes: bool = False,
    repeatable: bool = False,
    name: str | None = None,
) -> Tool:
    """The tool of a method: name, description (its docstring) and schema (its annotated parameters)."""
    title = name or run.__name__
    hints = get_type_hints(run, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(run).parameters.values():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    model = create_model(title, __config__=ConfigDict(extra="forbid"), **fields)
    spec = ToolSpec(name=title, description=inspect.cleandoc(run.__doc__ or ""), schema=_plain(model))
    return Tool(
        spec=spec,
        run=run,
        describe=describe,
        permission=permission,
        changes=changes,
        repeatable=repeatable,
        model=model,
    )


def _plain(model: type[BaseModel]) -> dict[str, Any]:
    """The schema without titles and references; required properties first, as constrained decoders write."""
    schema = model.model_json_schema()
    plain = _inlined(schema, schema.get("$defs", {}))
    return {
        "type": "object",
        **{key: plain[key] for key in ("properties", "required", "additionalProperties")},
    }


def _inlined(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """With every reference replaced by what it refers to; not every provider follows references."""
    if "$ref" in schema:
        named = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        schema = {**named, **{key: value for key, value in schema.items() if key != "$ref"}}
    kinds = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(kinds) == 1:  # what may be null may be left out: the other kind alone says it shorter
        schema = {**kinds[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    plain = {key: _inlined_value(value, definitions) for key, value in schema.items() if key not in _LEFT_OUT}
    if "default" in plain and (plain["default"] is None or plain["default"] in ("", False)):
        del plain["default"]
    if "properties" in schema:
        required = schema.get("required", [])
        names = [*required, *(name for name in schema["properties"] if name not in required)]
        plain["properties"] = {name: _inlined(schema["properties"][name], definitions) for name in names}
        plain["required"] = required
    return plain


def _inlined_value(value: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return _inlined(value, definitions)
    return [_inlined_value(one, definitions) for one in value] if isinstance(value, list) else value


def _told(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"there is no argument {where!r}"
    if error["type"] == "missing":
        return f"{where!r} is missing"
    return f"{where!r}: {error['msg'].lower()}, not {error['input']!r:.80}"


def _signature(spec: ToolSpec) -> str:
    required = set(spec.schema.get("required", []))
    return ", ".join(
        f"{name}{'' if name in required else ' (optional)'}" for name in spec.schema.get("properties", {})
    )
