"""From a task to the messages a mind reads; with nothing recalled, byte for byte the bare ones."""

import re
from collections.abc import Sequence

from hal9.memory import Recall, place
from hal9.minds.protocol import Message
from hal9.neurons.messages.excerpts import Shown
from hal9.promptgram import Promptgram
from hal9.signals import TaskPayload

__all__ = [
    "AGENT_SCHEMA",
    "ANSWER_SCHEMA",
    "FENCED_SCHEMA",
    "JSON_SCHEMA",
    "PARTS_SCHEMA",
    "PLAN_SCHEMA",
    "SPLIT_SCHEMA",
    "TOOLS_SCHEMA",
    "check_files",
    "compose_agent_task",
    "compose_implementation",
    "compose_mending",
    "compose_plan",
    "compose_split",
    "compose_synthesis",
    "compose_tools_task",
    "infer_targets",
    "named_files",
    "paths_in",
]

FENCED_SCHEMA = (
    "Write every file completely, each in one fenced code block, with its path on the line above the block.\n"
    "Commands that must be run stand in a block marked `run`. Anything else you write is read as the answer."
)
ANSWER_SCHEMA = (
    "Answer the task itself: what you write is what the user reads. Where it asks for code, give the code in "
    "one fenced block. Where it asks a question, answer the question, and write no program unless it asks "
    "for one."
)
PARTS_SCHEMA = (
    "A new file, or one shown to you whole, you may write completely, in one fenced code block with its path "
    "on the line above.\n"
    "Change a part of a file with a block of this form, after a line with the file's path:\n"
    "<<<<<<< SEARCH\nlines exactly as they stand in the file\n=======\nthe lines to put there\n"
    ">>>>>>> REPLACE\n"
    "Commands that must be run stand in a block marked `run`. Anything else you write is read as the answer."
)
JSON_SCHEMA = (
    "Answer with one JSON object: `answer` (what the user should read), `files` (list of {path, content}, "
    "each file complete), and where they help `replacements` (list of {path, old, new}: exact lines that "
    "stand once in a file, and what is to stand there) and `commands` (list of shell commands to run)."
)
TOOLS_SCHEMA = (
    "You work with tools in a copy of the user's repository. Every reply calls at least one tool. Look "
    "before you change: search and read what matters. Change parts of files with edit. Run what you changed. "
    "When the task is done and verified, call finish with what the user should read; the task's check is "
    "run then. Calls of one reply are done in their order: where there is a check, the last edit and finish "
    "may stand in one reply."
)
AGENT_SCHEMA = (
    "You work in the current folder, which is a copy of the user's: look around, change its files and run "
    "its programs there yourself; nobody answers questions. When you are done, answer with what you did, in "
    "a few sentences."
)
SPLIT_SCHEMA = (
    "Answer with one JSON object: `approach` (your reasoning, a few sentences) and `parts` "
    "(list of {title, objective})."
)
PLAN_SCHEMA = (
    "You may look before you divide: read, search and map show the repository, which you cannot change. "
    "Every reply calls at least one tool. Look at what the task is about, then call plan. One part is best "
    "for what one person would do in one go. Use several only when they write different files: parts that do "
    "not build on each other are done at the same time, each in a copy of its own, and merged at the end."
)
_BRING_TOGETHER = (
    "One further part is to bring everything together, in a copy that holds what goes together. Say what it "
    "has to do, in exactly one part: name files, and what each side meant."
)
_TASK_CONTRACT = (
    "You are given a task; there may be a design, files that exist, and how an earlier try failed."
)
_SPLIT_CONTRACT = "You are given an objective; there may be a map of the repository it is about."
_MAX_ANSWER_CHARS = 6000
_MAX_EVIDENCE_CHARS = 1500
_MAX_CHECK_CHARS = 3000
_MOST_NAMED = 6
_PATH_TOKEN = re.compile(
    r"(?<![\w/.-])((?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.[A-Za-z][A-Za-z0-9]{0,5})(?![\w/])"
)
_SUFFIXES = frozenset(
    {"py", "js", "ts", "tsx", "rs", "go", "java", "c", "h", "cpp", "rb", "php", "cs", "kt", "sh", "sql",
     "md", "txt", "json", "yaml", "yml", "toml", "html", "css", "cfg", "ini", "csv"}
)  # fmt: skip
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NOT_PATHS = re.compile(r"^(?:e\.g|i\.e|\d.*|[A-Z]\.[A-Z])$")


def infer_targets(task: TaskPayload) -> tuple[str, ...]:
    """Files the task is to write: those named by the user, else the one its text names (checks excluded)."""
    if task.targets:
        return tuple(task.targets)
    named = dict.fromkeys(paths_in(task.objective))
    for mentioned in _PATH_TOKEN.findall(task.check or ""):
        named.pop(mentioned, None)
    return tuple(named) if len(named) == 1 else ()


def named_files(task: TaskPayload) -> tuple[str, ...]:
    """Files that the task's text or its check names, whether they exist or not; the text's first."""
    return tuple(dict.fromkeys([*paths_in(task.objective), *check_files(task)]))[:_MOST_NAMED]


def check_files(task: TaskPayload) -> tuple[str, ...]:
    """Files that the task's check names and its text does not, whether they exist or not."""
    told = paths_in(task.objective)
    return tuple(path for path in paths_in(task.check or "") if path not in told)[:_MOST_NAMED]


def paths_in(text: str) -> list[str]:
    """What looks like a path of a file in a text, in its order."""
    return [
        match
        for match in _PATH_TOKEN.findall(text)
        if match.rsplit(".", 1)[1].lower() in _SUFFIXES and not _NOT_PATHS.match(match)
    ]


def compose_implementation(
    promptgram: Promptgram,
    task: TaskPayload,
    *,
    output: str,
    shown: Shown | None = None,
    recalled: Recall | None = None,
    evidence: str = "",
    first: bool = True,
) -> tuple[Message, ...]:
    """Messages for one whole answer.

    Args:
        promptgram: the neuron's.
        task: what is asked.
        output: `fenced` or `json`.
        shown: what is shown of the repository.
        recalled: the memory that applies.
        evidence: how the last try failed.
        first: whether how the check ended before anything was done is told.
    """
    shown = shown or Shown()
    parts = _task_parts(task, shown, first=first)
    if evidence:
        parts.append(f"An earlier try failed with:\n```\n{_tail(evidence)}\n```\nAvoid this failure.")
    schema = JSON_SCHEMA if output == "json" else _schema_for(task, shown)
    system = promptgram.render(protocol={"API_contract": _TASK_CONTRACT, "Output_schema": schema})
    return _messages(system, "\n\n".join(parts), recalled)


def _schema_for(task: TaskPayload, shown: Shown) -> str:
    """How one answer is to look: with files only where there is something to write or to judge them."""
    if shown.partly:
        return PARTS_SCHEMA
    about_files = task.workspace or task.check or task.files or shown.excerpts or infer_targets(task)
    return FENCED_SCHEMA if about_files else ANSWER_SCHEMA


def compose_tools_task(
    promptgram: Promptgram,
    task: TaskPayload,
    *,
    shown: Shown | None = None,
    recalled: Recall | None = None,
) -> tuple[Message, ...]:
    """Messages that open a turn with tools."""
    parts = _task_parts(task, shown or Shown(), first=True)
    if task.check:
        parts.append(f"The task is done when this command ends with 0: `{task.check}`")
    system = promptgram.render(protocol={"API_contract": _TASK_CONTRACT, "Output_schema": TOOLS_SCHEMA})
    return _messages(system, "\n\n".join(parts), recalled)


def compose_agent_task(
    promptgram: Promptgram, task: TaskPayload, *, recalled: Recall | None = None, evidence: str = ""
) -> tuple[Message, ...]:
    """Messages for a mind that works in the folder by itself."""
    parts = [task.objective]
    if task.design:
        parts.append(f"Design:\n{task.design}")
    parts += [f"The file {file.path}:\n```\n{file.content}\n```" for file in task.files]
    if task.check:
        parts.append(f"The task is done when this command ends with 0: `{task.check}`")
    if evidence:
        parts.append(f"An earlier try, which was taken back, ended like this:\n```\n{_tail(evidence)}\n```")
    system = promptgram.render(protocol={"API_contract": _TASK_CONTRACT, "Output_schema": AGENT_SCHEMA})
    return _messages(system, "\n\n".join(parts), recalled)


def _task_parts(task: TaskPayload, shown: Shown, *, first: bool) -> list[str]:
    parts = [task.objective]
    if task.design:
        parts.append(f"Design:\n{task.design}")
    if shown.map:
        parts.append(f"Map of the repository:\n{shown.map}")
    parts += shown.files()
    if shown.check and first:
        output = _tail(shown.check, _MAX_CHECK_CHARS)
        parts.append(f"The check `{task.check}` fails now, before any change:\n```\n{output}\n```")
    if shown.passed_already:
        parts.append(
            f"The check `{task.check}` passes already, before any change. It may not cover the task: "
            "do what the task asks, or say that nothing needs to be changed and why."
        )
    return parts


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


def compose_plan(
    promptgram: Promptgram,
    task: TaskPayload,
    *,
    width: int,
    steps: int,
    repository_map: str = "",
    recalled: Recall | None = None,
) -> tuple[Message, ...]:
    """Messages that open the turn of a neuron that looks before it divides its task."""
    parts = [task.objective]
    if task.design:
        parts.append(f"What was decided above you:\n{task.design}")
    if repository_map:
        parts.append(f"Map of the repository:\n{repository_map}")
    if task.check:
        parts.append(f"At the end everything together is judged by this command: `{task.check}`")
    parts.append(f"Give between 1 and {width} parts, within {steps} replies.")
    system = promptgram.render(protocol={"API_contract": _SPLIT_CONTRACT, "Output_schema": PLAN_SCHEMA})
    return _messages(system, "\n\n".join(parts), recalled)


def compose_mending(
    promptgram: Promptgram, task: TaskPayload, answers: Sequence[tuple[str, str]], trouble: str
) -> tuple[Message, ...]:
    """Messages that ask what is to be done when the parts' work does not go together."""
    shown = "\n\n".join(f"### {title}\n{answer[:_MAX_ANSWER_CHARS]}" for title, answer in answers)
    parts = [
        task.objective,
        f"This was divided into parts, which ended like this:\n\n{shown}",
        trouble,
        _BRING_TOGETHER,
    ]
    system = promptgram.render(protocol={"API_contract": _SPLIT_CONTRACT, "Output_schema": SPLIT_SCHEMA})
    return _messages(system, "\n\n".join(parts), None)


def compose_synthesis(
    promptgram: Promptgram, task: TaskPayload, answers: Sequence[tuple[str, str]]
) -> tuple[Message, ...]:
    """Messages that ask for one answer out of the parts' answers."""
    shown = "\n\n".join(f"### {title}\n{answer[:_MAX_ANSWER_CHARS]}" for title, answer in answers)
    user = (
        f"The objective was:\n{task.objective}\n\nIts parts were answered like this:\n\n{shown}\n\n"
        "Write the one answer to the objective, with nothing lost and nothing repeated."
    )
    return (Message("system", promptgram.render()), Message("user", user))


def _messages(system: str, user: str, recalled: Recall | None) -> tuple[Message, ...]:
    bare = (Message("system", system), Message("user", user))
    return place(bare, [recalled] if recalled else [], Message)


def _tail(text: str, limit: int = _MAX_EVIDENCE_CHARS) -> str:
    """The end of an output: that is where the assertion stands."""
    text = _COLOURS.sub("", text).strip()
    return text if len(text) <= limit else "…" + text[-limit:]
