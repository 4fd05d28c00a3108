"""YAML into strict settings: environment expansion; mistakes named with file, line and nearest key."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import ErrorDetails

from hal9.errors.config import ConfigInvalid, ConfigMissing, ConfigProblem
from hal9.settings import Settings

__all__ = [
    "find_database",
    "load_model",
    "load_settings",
    "load_yaml",
    "problem_of",
    "settings_as_yaml",
    "unreadable",
]

_COMMENT = re.compile(r"(?:^|\s)#.*")

M = TypeVar("M", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(slots=True)
class _Document:
    """A YAML file with the line of every key path."""

    path: str
    data: Any = None
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)

    def line(self, location: tuple[str | int, ...]) -> int:
        """Line of the location, or of the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def load_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a home's `config/hal9.yaml`.

    Raises:
        ConfigMissing: there is no such file.
        ConfigInvalid: lists every problem at once.
    """
    return load_model(path, Settings, environ=environ)


def load_model(path: Path, model: type[M], *, environ: Mapping[str, str] | None = None) -> M:
    """Read any strict model from a YAML file, with the same care as the settings.

    Raises:
        ConfigMissing: there is no such file.
        ConfigInvalid: lists every problem at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigMissing(path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    document = load_yaml(text, path=str(path), environ=os.environ if environ is None else environ)
    try:
        value = model.model_validate(document.data if document.data is not None else {})
    except ValidationError as error:
        details = _without_consequences(error.errors(include_url=False))
        document.problems.extend(
            problem_of(document.path, document.line(detail["loc"]), model, detail) for detail in details
        )
    if document.problems:
        raise ConfigInvalid(problems=tuple(sorted(document.problems, key=lambda p: p.line)))
    return value


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> ConfigInvalid:
    """What is wrong with a file that cannot be read as text, without the words of the system's calls."""
    told = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else "is no UTF-8 text"
    return ConfigInvalid(problems=(ConfigProblem(path=str(path), line=1, text=told),))


def _without_consequences(details: Sequence[Any]) -> list[Any]:
    """A list is not too short when its parts are what is wrong: those are told already."""
    return [
        one
        for one in details
        if one["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(one["loc"]) and other["loc"][: len(one["loc"])] == one["loc"]
            for other in details
        )
    ]


def load_yaml(text: str, *, path: str, environ: Mapping[str, str]) -> _Document:
    """Parse YAML, keep line numbers, expand ${NAME} and ${NAME:-default} in scalars."""
    document = _Document(path=path)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is not None:
            document.data = _build(loader, root, (), document, environ)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = ConfigProblem(path=path, line=line, text=f"not valid YAML: {error.problem}")
        raise ConfigInvalid(problems=(problem,)) from error
    except yaml.YAMLError as error:
        problem = ConfigProblem(path=path, line=1, text=f"not valid YAML: {error}")
        raise ConfigInvalid(problems=(problem,)) from error
    finally:
        loader.dispose()
    return document


def _build(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    location: tuple[str | int, ...],
    document: _Document,
    environ: Mapping[str, str],
) -> Any:
    document.lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                key = str(key)
            line = key_node.start_mark.line + 1
            document.lines[(*location, key)] = line
            if key in result:
                document.problems.append(
                    ConfigProblem(path=document.path, line=line, text=f"key {key!r} stands twice")
                )
            result[key] = _build(loader, value_node, (*location, key), document, environ)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(loader, item, (*location, index), document, environ)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node.value, str) and "${" in node.value:
        return _expand(node, location, document, environ)
    return loader.construct_object(node, deep=True)


def _expand(
    node: yaml.Node, location: tuple[str | int, ...], document: _Document, environ: Mapping[str, str]
) -> Any:
    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name in environ:
            return environ[name]
        if default is None:
            document.problems.append(
                ConfigProblem(
                    path=document.path,
                    line=document.line(location),
                    text=f"environment variable {name} is not set; set it or write ${{{name}:-default}}",
                )
            )
        return default or ""

    text = _VARIABLE.sub(value, node.value)
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return yaml.safe_load(text) if plain else text


def problem_of(path: str, line: int, model: type[BaseModel], detail: ErrorDetails) -> ConfigProblem:
    """What a model refused, in words, with the nearest key.

    Args:
        path: the file it stands in.
        line: of the file.
        model: what was to be read.
        detail: as pydantic tells it.
    """
    location = detail["loc"]
    where = ".".join(str(part) for part in location) or "(top level)"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known) or 'none'}"
        return ConfigProblem(path=path, line=line, text=f"unknown key {where!r}; {hint}")
    if detail["type"] == "model_type":
        known = _known_keys(model, location)
        text = f"{where}: keys with values are wanted here (known keys: {', '.join(known) or 'none'})"
        return ConfigProblem(path=path, line=line, text=text)
    given = detail.get("input")
    shown = f" (given {given!r})" if isinstance(given, str | int | float | bool | None) else ""
    message = detail["msg"]
    return ConfigProblem(path=path, line=line, text=f"{where}: {message[:1].lower()}{message[1:]}{shown}")


def _known_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Keys that would be right at a location."""
    current: Any = model
    for part in location:
        if isinstance(part, int):  # of a list, also where the list is the whole file
            current = _inner_model(_root_of(current))
            continue
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            current = _inner_model(current)
            continue
        info = current.model_fields.get(str(part))
        if info is None:
            return []
        current = info.annotation
    current = _inner_model(current)
    return sorted(current.model_fields) if current is not None else []


def _root_of(annotation: Any) -> Any:
    """What a model of a whole list is a list of; anything else as it is."""
    whole = isinstance(annotation, type) and issubclass(annotation, RootModel)
    return annotation.model_fields["root"].annotation if whole else annotation


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `dict[K, Model]`, `list[Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None


def find_database(path: Path) -> tuple[str, str] | None:
    """The address of the database that a `hal9.yaml` names, with the cluster's name; None for SQLite.

    Read anew only when the file has changed: every look at a home asks for it.

    Raises:
        ConfigMissing, ConfigInvalid.
    """
    try:
        seen = path.stat()
    except OSError:
        return None  # a folder that is no home has no database elsewhere
    return _find_database(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=64)
def _find_database(path: Path, _modified: int, _size: int) -> tuple[str, str] | None:
    text = _COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace"))
    if not re.search(r"^\s+url:\s*[\"']?postgres", text, re.MULTILINE) and "${" not in text:
        return None  # by far the most; parsing YAML takes a hundred times as long
    settings = load_settings(path)
    return None if settings.state.url is None else (settings.state.url, settings.cluster.name)


def settings_as_yaml(settings: BaseModel) -> str:
    """The settings in force, as YAML."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
