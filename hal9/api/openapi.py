"""The OpenAPI description, made from the endpoints themselves."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from hal9 import __version__
from hal9.api.endpoint import Endpoint
from hal9.api.problems import MEDIA_TYPE

__all__ = ["describe"]

_REFERENCE = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error", "facts", "exit_code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, where, and what to do."},
        "error": {"type": "string", "description": "The error's room and class, as in hal9.errors."},
        "facts": {"type": "object", "description": "The error's fields."},
        "exit_code": {"type": "integer", "description": "What the command line exits with for it."},
    },
}


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole description (OpenAPI 3.1)."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "HAL9",
            "version": __version__,
            "description": "A cluster of language-model neurons that learns from its errors.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"[^a-z0-9]+", "_", f"{one.method} {one.path}".lower()).strip("_")
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses: dict[str, Any] = {str(one.status): _success(one, schemas)}
    if one.method == "POST" and one.status == 201 and one.body is not None:
        responses["200"] = _success(one, schemas)  # a repeated request with the same key
    responses["default"] = {
        "description": "A problem, with the same error as the command line.",
        "content": problem,
    }
    if one.scope is not None:
        responses["401"] = {"description": "No valid token.", "content": problem}
        responses["403"] = {"description": f"The token has not the scope {one.scope}.", "content": problem}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": [*_parameters(one)],
        "responses": responses,
    }
    if one.scope is not None:
        operation["security"] = [{"token": []}]
        operation["description"] = f"Scope: {one.scope}."
    if one.body is not None:
        operation["requestBody"] = {
            "required": any(field.is_required() for field in one.body.model_fields.values()),
            "content": {"application/json": {"schema": _schema_of(one.body, schemas, "validation")}},
        }
    if one.upload:
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in one.upload},
        }
    return operation


def _success(one: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    if one.returns is None:
        return {"description": "Done."}
    if one.media != "application/json":
        return {"description": one.summary, "content": {one.media: {"schema": {"type": "string"}}}}
    schema = _schema_of(one.returns, schemas, "serialization")
    return {"description": one.summary, "content": {"application/json": {"schema": schema}}}


def _parameters(one: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]
    if one.query is not None:
        for name, field in one.query.model_json_schema(mode="validation").get("properties", {}).items():
            text = field.pop("description", "")
            found.append({"name": name, "in": "query", "description": text, "schema": field})
    found += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string", "maxLength": 200}}
        for name, text in one.headers.items()
    ]
    return found


def _schema_of(kind: Any, schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    """A type's schema; models go into the components."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        _, top = models_json_schema([(kind, mode)], ref_template=_REFERENCE)
        schemas.update(top.get("$defs", {}))
        return {"$ref": _REFERENCE.format(model=_name_of(kind, mode))}
    schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCE, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    return schema


def _name_of(kind: type[BaseModel], mode: Any) -> str:
    mapping, _ = models_json_schema([(kind, mode)], ref_template=_REFERENCE)
    return str(mapping[(kind, mode)]["$ref"]).rpartition("/")[2]
