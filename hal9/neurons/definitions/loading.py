"""The neurons of a home's folder: which files describe them, which are enabled, whom they know."""

import contextlib
import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path

from hal9.errors.base import ConfigError, PromptgramError
from hal9.errors.neurons import NeuronInvalid, NeuronMissing, NeuronUnknownTarget
from hal9.neurons.definitions.definition import NeuronDefinition, NeuronMeta, load_neuron
from hal9.neurons.definitions.in_code import load_module

__all__ = ["check_targets", "known_purposes", "load_file", "load_neurons", "neuron_files"]


def neuron_files(folder: Path) -> Iterator[Path]:
    """All files of a folder that describe neurons: Markdown, and Python that defines `Neuron`s."""
    for path in sorted([*folder.glob("*.md"), *folder.glob("*.py")]):
        if path.stem != "README" and not path.name.startswith(("_", ".")):
            yield path


def load_file(path: Path) -> dict[str, NeuronDefinition]:
    """The neurons of one file, by name: one of a Markdown file, any number of a Python file.

    Raises:
        NeuronInvalid, PromptgramError: see `load_neuron`.
    """
    if path.suffix == ".py":
        return load_module(path)
    found = load_neuron(path)
    return {found.name: found}


def load_neurons(folder: Path, *, enabled: Sequence[str] = ("*",)) -> dict[str, NeuronDefinition]:
    """All enabled neurons of a home, by name.

    Raises:
        NeuronMissing: an enabled name has no file, or a layer has no neuron at all.
        NeuronUnknownTarget: one would pass its work on to somebody who does not exist.
        NeuronInvalid, PromptgramError: see `load_neuron`.
    """
    coded: dict[str, NeuronDefinition] = {}
    files: dict[str, Path] = {}
    for path in neuron_files(folder):
        in_code = load_file(path) if path.suffix == ".py" else {}
        coded.update(in_code)
        for name in in_code if path.suffix == ".py" else (path.stem,):
            if name in files:
                raise NeuronInvalid(path=str(path), problem=f"{name!r} is described in {files[name]} too")
            files[name] = path
    chosen: dict[str, NeuronDefinition] = {}
    for pattern in enabled:
        matching = fnmatch.filter(files, pattern)
        if not matching:
            raise NeuronMissing(what=f"neuron {pattern!r}", folder=str(folder), known=tuple(files))
        for name in matching:
            if name not in chosen:
                chosen[name] = coded[name] if name in coded else load_neuron(files[name])
    check_targets(chosen, known=tuple(files))
    return chosen


def check_targets(neurons: dict[str, NeuronDefinition], *, known: Sequence[str]) -> None:
    """Whether everybody that neurons pass work on to exists (here or on another node of the cluster).

    Raises:
        NeuronUnknownTarget: a name or pattern that no file answers to. Layers may be served elsewhere.
    """
    for name, one in neurons.items():
        for target in one.meta.next:
            if target not in ("L4", "L3", "L2") and not fnmatch.filter(known, target):
                raise NeuronUnknownTarget(name=name, target=target, path=one.path)


def known_purposes(folder: Path) -> dict[str, NeuronMeta]:
    """What every neuron of a folder says of itself; files that cannot be read are left to `hal9 doctor`."""
    found: dict[str, NeuronMeta] = {}
    for path in neuron_files(folder):
        with contextlib.suppress(ConfigError, PromptgramError):
            found.update({name: one.meta for name, one in load_file(path).items()})
    return found
