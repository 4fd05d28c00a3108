"""Whether a guard fires on an action, and what it rewrites: plain data, no heavy import, for quick hooks.

`guard_form` reads what a person writes; what is stored was checked there.
"""

import fnmatch
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal

from hal9.tools.action import Action
from hal9.tools.shell import SimpleCommand, parse_command

__all__ = [
    "SAFE_FLAGS",
    "Conditions",
    "Guard",
    "commands_of",
    "fires",
    "guard_as_json",
    "guard_of",
    "rewritten",
]

SAFE_FLAGS = frozenset(
    {"-q", "--quiet", "--no-pager", "--no-color", "--dry-run", "--check", "--maxfail=1", "-x", "--no-input"}
)
"""What a guard may add to a command: flags that show less or do less. Nothing else is ever rewritten."""

_MOST_TEXT = 20_000
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions on an action; all that are given must hold, each when one of its entries fits.

    `kind` and `language` are exact; `program`, `subcommand`, `flag`, `argument` and `path` are globs that
    must fit one and the same command; `text` is a regular expression over the command, the file's text or
    the answer.
    """

    kind: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    subcommand: tuple[str, ...] = ()
    flag: tuple[str, ...] = ()
    argument: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    text: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing is asked, so that every action would fit."""
        return self == Conditions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """When it fires, when it does not after all, what happens, and what is said."""

    when: Conditions
    unless: Conditions = Conditions()
    effect: Literal["remind", "require", "require-once", "rewrite"] = "remind"
    add_flag: str = ""
    say: str


def guard_of(value: Mapping[str, Any]) -> Guard:
    """A guard out of a checked mapping, as it is stored."""
    return Guard(
        when=_conditions(value["when"]),
        unless=_conditions(value.get("unless", {})),
        effect=value.get("effect", "remind"),
        add_flag=value.get("add_flag", ""),
        say=value["say"],
    )


def _conditions(value: Mapping[str, Any]) -> Conditions:
    checked: dict[str, Any] = {key: one if isinstance(one, str) else tuple(one) for key, one in value.items()}
    return Conditions(**checked)


def guard_as_json(guard: Guard) -> dict[str, Any]:
    """What `guard_of` reads; nothing stands in it that is as by default."""
    found: dict[str, Any] = {"when": _given(guard.when)}
    if not guard.unless.empty:
        found["unless"] = _given(guard.unless)
    if guard.effect != "remind":
        found["effect"] = guard.effect
    if guard.add_flag:
        found["add_flag"] = guard.add_flag
    return {**found, "say": guard.say}


def _given(asked: Conditions) -> dict[str, Any]:
    pairs = ((one.name, getattr(asked, one.name)) for one in fields(asked))
    return {name: value if isinstance(value, str) else list(value) for name, value in pairs if value}


def commands_of(action: Action) -> Sequence[SimpleCommand]:
    """The commands that an action is made of; none when it is no command."""
    return parse_command(action.text) if action.kind == "command" else ()


def fires(guard: Guard, action: Action, commands: Sequence[SimpleCommand] | None = None) -> bool:
    """Whether a guard fires on an action.

    Args:
        guard: the guard.
        action: what is about to be done.
        commands: what `commands_of` gives, for whoever asks many guards.
    """
    if commands is None:
        commands = commands_of(action)
    if not _hold(guard.when, action, commands):
        return False
    return guard.unless.empty or not _hold(guard.unless, action, commands)


def _hold(asked: Conditions, action: Action, commands: Sequence[SimpleCommand]) -> bool:
    if asked.kind and action.kind not in asked.kind:
        return False
    if asked.tool and not _any(asked.tool, [action.tool]):
        return False
    if asked.language and not _any(asked.language, [action.language]):
        return False
    if asked.text and re.search(asked.text, action.text[:_MOST_TEXT], re.MULTILINE) is None:
        return False
    if asked.program or asked.subcommand or asked.flag or asked.argument:
        return any(_command_fits(asked, one) for one in commands)
    return not asked.path or _any(
        asked.path, [*action.paths, *(path for one in commands for path in one.written)]
    )


def _command_fits(asked: Conditions, one: SimpleCommand) -> bool:
    return (
        (not asked.program or _any(asked.program, [one.program, one.invoked]))
        and (not asked.subcommand or _any(asked.subcommand, [one.subcommand]))
        and (not asked.flag or _any(asked.flag, one.flags))
        and (not asked.argument or _any(asked.argument, one.arguments))
        and (not asked.path or _any(asked.path, [*one.arguments, *one.written]))
    )


def _any(patterns: Sequence[str], words: Sequence[str]) -> bool:
    return any(_fits(pattern, word) for pattern in patterns for word in words if word)


def _fits(pattern: str, word: str) -> bool:
    # fnmatch keeps 256 patterns compiled on some Pythons, which a few hundred guards throw out at every turn.
    return _compiled(pattern)(word) is not None if _GLOB.search(pattern) else pattern == word


@lru_cache(maxsize=16_384)
def _compiled(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(pattern)).match


def rewritten(guard: Guard, action: Action) -> Action | None:
    """The action with the guard's flag; None when it is not one plain command, or has the flag already."""
    commands = commands_of(action)
    if len(commands) != 1 or not guard.add_flag or guard.add_flag in commands[0].arguments:
        return None
    one = commands[0]
    if one.written or one.read or one.here_documents or one.wrapped_by:
        return None
    text = shlex.join([one.invoked or one.program, guard.add_flag, *one.arguments])
    arguments = {**action.arguments, "command": text} if "command" in action.arguments else action.arguments
    return replace(action, text=text, arguments=arguments)
