"""From a task to the messages a mind reads; with nothing recalled, byte for byte the bare ones."""

import re
from collections.abc import Sequence

from hal9.memory import Recall, place
from hal9.minds.protocol import Message
from hal9.promptgram import Promptgram
from hal9.signals import InlineFile, TaskPayload

__all__ = [
    "FENCED_SCHEMA",
    "JSON_SCHEMA",
    "SPLIT_SCHEMA",
    "compose_implementation",
    "compose_split",
    "compose_synthesis",
    "infer_targets",
]

FENCED_SCHEMA = (
    "Write every file completely, each in one fenced code block, with its path on the line above the block.\n"
    "Commands that must be run stand in a block marked `run`. Anything else you write is read as the answer."
)
JSON_SCHEMA = (
    "Answer with one JSON object: `files` (list of {path, content}, each file complete), `commands` (list of "
    "shell commands to run, usually empty) and `answer` (what the user should read)."
)
SPLIT_SCHEMA = (
    "Answer with one JSON object: `approach` (your reasoning, a few sentences) and `parts` "
    "(list of {title, objective})."
)
_TASK_CONTRACT = (
    "You are given a task; there may be a design, files that exist, and how an earlier try failed."
)
_SPLIT_CONTRACT = "You are given an objective; there may be a map of the repository it is about."
_MAX_FILE_CHARS = 6000
_MAX_EVIDENCE_CHARS = 1500
_PATH_TOKEN = re.compile(
    r"(?<![\w/.-])((?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.[A-Za-z][A-Za-z0-9]{0,5})(?![\w/])"
)
_SUFFIXES = frozenset(
    {"py", "js", "ts", "tsx", "rs", "go", "java", "c", "h", "cpp", "rb", "php", "cs", "kt", "sh", "sql",
     "md", "txt", "json", "yaml", "yml", "toml", "html", "css", "cfg", "ini", "csv"}
)  # fmt: skip
_NOT_PATHS = re.compile(r"^(?:e\.g|i\.e|\d.*|[A-Z]\.[A-Z])$")


def infer_targets(task: TaskPayload) -> tuple[str, ...]:
    """Files the task is to write: those named by the user, else the one its text names (checks excluded)."""
    if task.targets:
        return tuple(task.targets)
    named = dict.fromkeys(
        match
        for match in _PATH_TOKEN.findall(task.objective)
        if match.rsplit(".", 1)[1].lower() in _SUFFIXES and not _NOT_PATHS.match(match)
    )
    for mentioned in _PATH_TOKEN.findall(task.check or ""):
        named.pop(mentioned, None)
    return tuple(named) if len(named) == 1 else ()


def compose_implementation(
    promptgram: Promptgram,
    task: TaskPayload,
    *,
    output: str,
    files: Sequence[InlineFile] = (),
    repository_map: str = "",
    recalled: Recall | None = None,
    evidence: str = "",
) -> tuple[Message, ...]:
    """Messages for an implementing neuron; `evidence` is how the last try failed."""
    schema = JSON_SCHEMA if output == "json" else FENCED_SCHEMA
    parts = [task.objective]
    if task.design:
        parts.append(f"Design:\n{task.design}")
    if repository_map:
        parts.append(f"Map of the repository:\n{repository_map}")
    parts += [f"The file {file.path} now:\n```\n{file.content[:_MAX_FILE_CHARS]}\n```" for file in files]
    if evidence:
        parts.append(f"An earlier try failed with:\n```\n{_tail(evidence)}\n```\nAvoid this failure.")
    system = promptgram.render(protocol={"API_contract": _TASK_CONTRACT, "Output_schema": schema})
    return _messages(system, "\n\n".join(parts), recalled)


def compose_split(
    promptgram: Promptgram,
    task: TaskPayload,
    *,
    width: int,
    repository_map: str = "",
    recalled: Recall | None = None,
) -> tuple[Message, ...]:
    """Messages for a neuron that divides its task."""
    parts = [task.objective]
    if task.design:
        parts.append(f"What was decided above you:\n{task.design}")
    if repository_map:
        parts.append(f"Map of the repository:\n{repository_map}")
    parts.append(f"Give between 1 and {width} parts.")
    system = promptgram.render(protocol={"API_contract": _SPLIT_CONTRACT, "Output_schema": SPLIT_SCHEMA})
    return _messages(system, "\n\n".join(parts), recalled)


def compose_synthesis(
    promptgram: Promptgram, task: TaskPayload, answers: Sequence[tuple[str, str]]
) -> tuple[Message, ...]:
    """Messages that ask for one answer out of the parts' answers."""
    shown = "\n\n".join(f"### {title}\n{answer[:_MAX_FILE_CHARS]}" for title, answer in answers)
    user = (
        f"The objective was:\n{task.objective}\n\nIts parts were answered like this:\n\n{shown}\n\n"
        "Write the one answer to the objective, with nothing lost and nothing repeated."
    )
    return (Message("system", promptgram.render()), Message("user", user))


def _messages(system: str, user: str, recalled: Recall | None) -> tuple[Message, ...]:
    bare = (Message("system", system), Message("user", user))
    return place(bare, [recalled] if recalled else [], Message)


def _tail(text: str) -> str:
    """The end of an output: that is where the assertion stands."""
    text = text.strip()
    return text if len(text) <= _MAX_EVIDENCE_CHARS else "…" + text[-_MAX_EVIDENCE_CHARS:]
