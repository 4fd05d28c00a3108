"""A neuron as its file describes it: front matter into typed settings, sections into a promptgram."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hal9.errors.neurons import NeuronInvalid
from hal9.promptgram import Promptgram
from hal9.tools.schema import Tool

__all__ = ["NeuronDefinition", "NeuronMeta", "NeuronOptions", "load_neuron", "meta_problems"]

LAYERS = (4, 3, 2)


class NeuronOptions(BaseModel):
    """What can be said of a neuron in front matter and in code alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: Annotated[Literal[4, 3, 2], Field(description="4 plans, 3 designs, 2 does the work.")]
    description: Annotated[
        str,
        Field(
            max_length=400, description="What it is for, in a sentence; shown, and read when work is routed."
        ),
    ] = ""
    files: Annotated[
        tuple[str, ...],
        Field(
            description='Globs of the files it is for, such as "*.sql". It gets work on those files (or work '
            "that its description fits, when no file is named) and no other, while somebody else can take it."
        ),
    ] = ()
    model: Annotated[
        str, Field(min_length=1, description="Model of its own; `default` is that of the settings.")
    ] = "default"
    temperature: Annotated[float, Field(ge=0, le=2, description="Sampling temperature.")] = 0.3
    max_tokens: Annotated[int, Field(ge=16, le=65536, description="Most tokens of one reply.")] = 1024
    timeout: Annotated[float, Field(gt=0, description="Seconds one model call may take.")] = 180.0
    next: Annotated[
        tuple[str, ...],
        Field(description='Whom it passes work on to: names, patterns ("l2-*") or layers ("L2").'),
    ] = ()
    width: Annotated[int, Field(ge=1, le=16, description="Most parts it splits a task into.")] = 3
    output: Annotated[
        Literal["fenced", "json"], Field(description="Form of a whole answer: fenced blocks, or JSON.")
    ] = "fenced"
    mode: Annotated[
        Literal["answer", "tools", "auto"],
        Field(description="One answer, step by step with tools, or whichever suits model and task."),
    ] = "auto"


class NeuronMeta(NeuronOptions):
    """Front matter of a neuron's file (beside the promptgram's own id, version and parent)."""

    tools: Annotated[
        tuple[Literal["read", "write", "run"], ...],
        Field(description="What it may do in a workspace, if its layer may (workbench.layers)."),
    ] = ()


class NeuronDefinition(BaseModel):
    """One loaded neuron; `functions` are tools of its own, given in code."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    path: str
    promptgram: Promptgram
    meta: NeuronMeta
    functions: tuple[Any, ...] = ()

    @property
    def layer_name(self) -> Literal["L4", "L3", "L2"]:
        """Layer as it is written in settings."""
        return ("L4", "L3", "L2")[LAYERS.index(self.meta.layer)]

    def own_tools(self, workspace: Path) -> tuple[Tool, ...]:
        """Its functions as tools of a turn that works in `workspace`."""
        return tuple(one.bound(workspace, seconds=self.meta.timeout) for one in self.functions)


def neuron_meta(promptgram: Promptgram, *, path: str) -> NeuronMeta:
    """Typed front matter of a neuron's promptgram.

    Raises:
        NeuronInvalid: keys missing, unknown or out of range; names all of them.
    """
    try:
        return NeuronMeta.model_validate(promptgram.meta.thawed())
    except ValidationError as error:
        raise NeuronInvalid(
            path=path, problem=meta_problems(error, tuple(NeuronMeta.model_fields))
        ) from error


def meta_problems(error: ValidationError, known: Sequence[str]) -> str:
    """Every mistake of a neuron's keys, in one sentence each."""
    return "; ".join(_problem(one, known) for one in error.errors(include_url=False))


def _problem(detail: ErrorDetails, known: Sequence[str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"front matter key {key!r} is unknown; {hint}"
    if detail["type"] == "missing":
        return f"front matter key {key!r} is missing"
    message = detail["msg"]
    return f"front matter key {key!r}: {message[:1].lower()}{message[1:]}, not {detail['input']!r:.60}"


def load_neuron(path: Path) -> NeuronDefinition:
    """Read one neuron's Markdown file.

    Raises:
        PromptgramError: the file is no promptgram.
        NeuronInvalid: its front matter is not a neuron's, or its id is not its file name.
    """
    promptgram = Promptgram.load(path)
    if promptgram.id != path.stem:
        raise NeuronInvalid(path=str(path), problem=f"id {promptgram.id!r} differs from the file's name")
    meta = neuron_meta(promptgram, path=str(path))
    return NeuronDefinition(name=promptgram.id, path=str(path), promptgram=promptgram, meta=meta)
