"""What can be said about an action before it is done, each with the words by which an error blames it.

A feature is a kind and a value, such as ``module: python3 pytest``. Its *subjects* are what an error line
names when the feature is to blame (``No module named pytest``): an action that failed for another reason
says nothing against it. That is what keeps coincidences out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hal9.learning.runs.python_features import script_features
from hal9.learning.runs.run_state import RunState, Walk, is_path
from hal9.tools.shell import SimpleCommand, parse_command

__all__ = ["Feature", "command_features", "masked"]

_WORD = re.compile(r"[a-z_][\w.:-]*")
_INTERPRETER = re.compile(r"python(?:\d(?:\.\d+)?)?")
_TAKES_VALUE = frozenset({"-W", "-X"})
_MOST_FLAGS = 8
_MOST_PATHS = 12
_MOST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Feature:
    """One property of an action.

    Attributes:
        kind: what sort of property, such as `run`, `module`, `missing-path`.
        value: the property.
        subjects: words of which an error line holds one when this is to blame; empty for mere context.
    """

    kind: str
    value: str
    subjects: tuple[str, ...] = ()

    def blamed_by(self, line: str) -> bool:
        """Whether an error line names this feature."""
        return any(subject in line for subject in self.subjects)


def command_features(command: str, state: RunState) -> tuple[Feature, ...]:
    """Features of a shell command about to be run.

    Args:
        command: the command.
        state: what the run has done before.
    """
    found: list[Feature] = []
    missing: dict[str, list[str]] = {}
    walk = Walk(state)
    commands = parse_command(command)
    for index, one in enumerate(commands):
        if one.program:
            hidden = masked(commands, index)
            found += _of_program(one)
            found += _of_paths(one, walk, missing, hidden=hidden)
            found += _of_script(one, walk)
        walk.do(one)
    for program, paths in missing.items():
        found.append(Feature("missing-path", program, tuple(path.rsplit("/", 1)[-1] for path in paths)))
    if state.unchanged_since_failure(command):
        found.append(Feature("repeated", "the same command, nothing changed since it failed", ("",)))
    return tuple(dict.fromkeys(found))


def masked(commands: Sequence[SimpleCommand], index: int) -> bool:
    """Whether the step can succeed although this command fails: another one decides the exit code."""
    rest = commands[index:]
    return any(
        one.followed_by in (";", "\n", "|", "|&", "||", "&") and rest[number + 1 :]
        for number, one in enumerate(rest)
    )


def _of_program(one: SimpleCommand) -> Iterator[Feature]:
    name, invoked = one.program, one.invoked or one.program
    not_found = (f"{name}: command not found", f"{invoked}: No such file", f"{name}: not found")
    yield Feature("run", invoked, not_found)
    for flag in one.flags[:_MOST_FLAGS]:
        yield Feature("flag", f"{name} {flag}", (f" {flag}", f"'{flag}'"))
    module = _module(one)
    if module:
        yield Feature(
            "module", f"{invoked} {module}", (f"No module named {module}", f"No module named '{module}'")
        )
        return
    for word in one.arguments[:_MOST_WORDS]:
        if _WORD.fullmatch(word):
            yield Feature("word", f"{name} {word}", (f"'{word}'", f"'{word.split('.')[0]}'", f" {word}"))


def _module(one: SimpleCommand) -> str:
    """The module that an interpreter is asked to run with `-m`."""
    if _INTERPRETER.fullmatch(one.program) and "-m" in one.arguments:
        after = one.arguments[one.arguments.index("-m") + 1 :]
        return after[0] if after else ""
    return ""


def _of_paths(
    one: SimpleCommand, walk: Walk, missing: dict[str, list[str]], *, hidden: bool
) -> Iterator[Feature]:
    forced = one.program == "rm" and any(flag.startswith("-") and "f" in flag for flag in one.flags)
    for word in [word for word in one.arguments if is_path(word)][:_MOST_PATHS]:
        path = walk.path(word)
        presence = walk.view.presence(path)
        if presence == "missing":
            if not forced and not hidden and one.program not in ("mkdir", "touch", "git"):
                missing.setdefault(one.program, []).append(path)
        elif presence == "unknown" and "test" in f"{one.program} {path}":
            yield Feature("test-target", f"{one.program} {path}", (path.rsplit("/", 1)[-1],))


def _of_script(one: SimpleCommand, walk: Walk) -> Iterator[Feature]:
    text = _script(one, walk)
    if text is not None:
        for kind, value, subjects in script_features(text, walk.view):
            yield Feature(kind, value, subjects)


def _script(one: SimpleCommand, walk: Walk) -> str | None:
    """The Python text that a command runs, where it is known."""
    if not _INTERPRETER.fullmatch(one.program):
        return None
    words = iter(one.arguments)
    for word in words:
        if word == "-c":
            return next(words, "")
        if word == "-m":
            return None
        if word == "-":
            break
        if word.startswith("-"):
            if word in _TAKES_VALUE:
                next(words, None)
            continue
        return walk.view.text(walk.path(word))
    return one.here_documents[0].text if one.here_documents else None
