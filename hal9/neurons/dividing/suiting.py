"""Which neurons a task may go to, by what they say they are for; the learned weights choose among them."""

import fnmatch
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from hal9.neurons.definitions.definition import NeuronMeta
from hal9.neurons.messages.prompting import named_files
from hal9.signals import TaskPayload

__all__ = ["suited"]

_WORD = re.compile(r"[^\W\d_]{3,}")
_NO_TOPIC = frozenset(
    _WORD.findall(
        "and are can code does each edit file files for from has have into its make neuron new not one only "
        "other project read step task tasks that the their them they this use used uses what when which who "
        "with work write writes writing you your"
    )
)


def suited(
    candidates: Iterable[str], task: TaskPayload, purposes: Mapping[str, NeuronMeta]
) -> tuple[str, ...]:
    """The candidates that suit a task, sorted.

    A neuron that says which `files` it is for is a specialist: it gets work on such files, or, when no file
    is named, work that its description or file types speak of. Everybody else suits everything. When nobody
    suits, all do: a task is never left lying.

    Args:
        candidates: who can be reached (at least one).
        task: what is to be done.
        purposes: what is known of neurons, by name.
    """
    everybody = tuple(sorted(candidates))
    files = tuple(task.targets) or named_files(task)
    fit = tuple(
        name
        for name in everybody
        if name not in purposes or not purposes[name].files or _fits(purposes[name], files, task.objective)
    )
    experts = tuple(name for name in fit if name in purposes and purposes[name].files and files)
    return experts or fit or everybody


def _fits(meta: NeuronMeta, files: tuple[str, ...], objective: str) -> bool:
    if files:
        return any(_matches(path, pattern) for path in files for pattern in meta.files)
    topics = _topics(meta.description) | {PurePosixPath(one).suffix.lstrip(".").lower() for one in meta.files}
    return bool(topics & _topics(objective))


def _matches(path: str, pattern: str) -> bool:
    name = path if "/" in pattern else PurePosixPath(path).name
    return fnmatch.fnmatch(name.lower(), pattern.lower())


def _topics(text: str) -> set[str]:
    """Words that say what a text is about."""
    return {word for word in _WORD.findall(text.lower()) if word not in _NO_TOPIC}
