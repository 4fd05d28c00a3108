"""A neuron as its file describes it: front matter into typed settings, sections into a promptgram."""

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hal9.errors.neurons import NeuronInvalid, NeuronMissing
from hal9.promptgram import Promptgram

__all__ = ["NeuronDefinition", "NeuronMeta", "load_neuron", "load_neurons"]

LAYERS = (4, 3, 2)


class NeuronMeta(BaseModel):
    """Front matter of a neuron's file (beside the promptgram's own id, version and parent)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: Literal[4, 3, 2]
    model: str = "default"
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.3
    max_tokens: Annotated[int, Field(ge=16, le=65536)] = 1024
    timeout: Annotated[float, Field(gt=0)] = 180.0
    tools: tuple[Literal["read", "write", "run"], ...] = ()
    next: tuple[str, ...] = ()
    width: Annotated[int, Field(ge=1, le=16)] = 3
    output: Literal["fenced", "json"] = "fenced"
    mode: Literal["answer", "tools", "auto"] = "auto"


class NeuronDefinition(BaseModel):
    """One loaded neuron."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    path: str
    promptgram: Promptgram
    meta: NeuronMeta

    @property
    def layer_name(self) -> Literal["L4", "L3", "L2"]:
        """Layer as it is written in settings."""
        return ("L4", "L3", "L2")[LAYERS.index(self.meta.layer)]


def neuron_meta(promptgram: Promptgram, *, path: str) -> NeuronMeta:
    """Typed front matter of a neuron's promptgram.

    Raises:
        NeuronInvalid: keys missing, unknown or out of range.
    """
    try:
        return NeuronMeta.model_validate(promptgram.meta.thawed())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise NeuronInvalid(path=path, problem=f"front matter key {key!r}: {first['msg']}") from error


def load_neuron(path: Path) -> NeuronDefinition:
    """Read one neuron's file.

    Raises:
        PromptgramError: the file is no promptgram.
        NeuronInvalid: its front matter is not a neuron's, or its id is not its file name.
    """
    promptgram = Promptgram.load(path)
    if promptgram.id != path.stem:
        raise NeuronInvalid(path=str(path), problem=f"id {promptgram.id!r} differs from the file's name")
    meta = neuron_meta(promptgram, path=str(path))
    return NeuronDefinition(name=promptgram.id, path=str(path), promptgram=promptgram, meta=meta)


def load_neurons(folder: Path, *, enabled: Sequence[str] = ("*",)) -> dict[str, NeuronDefinition]:
    """All enabled neurons of a home, by name.

    Raises:
        NeuronMissing: an enabled name has no file, or a layer has no neuron at all.
        NeuronInvalid, PromptgramError: see `load_neuron`.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem != "README"}
    chosen: dict[str, NeuronDefinition] = {}
    for pattern in enabled:
        matching = fnmatch.filter(files, pattern)
        if not matching:
            raise NeuronMissing(what=f"neuron {pattern!r}", folder=str(folder), known=tuple(files))
        for name in matching:
            chosen.setdefault(name, load_neuron(files[name]))
    return chosen
