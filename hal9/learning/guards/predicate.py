"""A guard as a person writes it: conditions on an action in YAML, no code, and one of three effects."""

import fnmatch
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hal9.errors.learning import GuardInvalid
from hal9.tools.action import Action
from hal9.tools.shell import SimpleCommand, parse_command

__all__ = ["SAFE_FLAGS", "Conditions", "Guard", "fires", "parse_guard", "rewritten"]

SAFE_FLAGS = frozenset(
    {"-q", "--quiet", "--no-pager", "--no-color", "--dry-run", "--check", "--maxfail=1", "-x", "--no-input"}
)
"""What a guard may add to a command: flags that show less or do less. Nothing else is ever rewritten."""

_MOST_TEXT = 20_000
_Pattern = Annotated[str, Field(min_length=1, max_length=400)]
_Patterns = Annotated[list[_Pattern], Field(max_length=20)]


class Conditions(BaseModel):
    """Conditions on an action; all that are given must hold, each when one of its entries fits.

    `kind` and `language` are exact; `program`, `subcommand`, `flag`, `argument` and `path` are globs that
    must fit one and the same command; `text` is a regular expression over the command, the file's text or
    the answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: list[Literal["command", "write", "edit", "read", "answer", "tool"]] = Field(default_factory=list)
    tool: _Patterns = Field(default_factory=list)
    program: _Patterns = Field(default_factory=list)
    subcommand: _Patterns = Field(default_factory=list)
    flag: _Patterns = Field(default_factory=list)
    argument: _Patterns = Field(default_factory=list)
    path: _Patterns = Field(default_factory=list)
    language: _Patterns = Field(default_factory=list)
    text: str = Field(default="", max_length=400)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        """One word stands for a list of one."""
        if not isinstance(value, dict):
            return value
        return {key: [one] if isinstance(one, str) and key != "text" else one for key, one in value.items()}

    @model_validator(mode="after")
    def _readable(self) -> "Conditions":
        try:
            re.compile(self.text)
        except re.error as error:
            raise ValueError(f"text is no regular expression ({error})") from error
        return self

    @property
    def empty(self) -> bool:
        """Whether nothing is asked, so that every action would fit."""
        return not any(getattr(self, name) for name in type(self).model_fields)


class Guard(BaseModel):
    """When it fires, when it does not after all, what happens, and what is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Conditions
    unless: Conditions = Field(default_factory=Conditions)
    effect: Literal["remind", "require", "require-once", "rewrite"] = "remind"
    add_flag: str = ""
    say: str = Field(min_length=1, max_length=600)

    @model_validator(mode="after")
    def _sound(self) -> "Guard":
        if self.when.empty:
            raise ValueError("`when` asks nothing, so it would fire on everything")
        if (self.effect == "rewrite") != bool(self.add_flag):
            raise ValueError("`rewrite` needs `add_flag`, and nothing else has one")
        if self.add_flag and self.add_flag not in SAFE_FLAGS:
            raise ValueError(f"`add_flag` may be one of {', '.join(sorted(SAFE_FLAGS))}")
        if self.effect == "rewrite" and not self.when.program:
            raise ValueError("`rewrite` needs `when.program`")
        return self


def parse_guard(text: str) -> Guard:
    """A guard out of YAML.

    Raises:
        GuardInvalid: it is no YAML mapping, has an unknown key, or would fire on everything.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GuardInvalid(problem=f"it is no YAML ({error})") from error
    try:
        return Guard.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GuardInvalid(problem=f"{where}: {first['msg']}" if where else first["msg"]) from error


def fires(guard: Guard, action: Action) -> bool:
    """Whether a guard fires on an action."""
    commands = parse_command(action.text) if action.kind == "command" else ()
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
    return any(fnmatch.fnmatchcase(word, pattern) for pattern in patterns for word in words if word)


def rewritten(guard: Guard, action: Action) -> Action | None:
    """The action with the guard's flag; None when it is not one plain command, or has the flag already."""
    commands = parse_command(action.text) if action.kind == "command" else ()
    if len(commands) != 1 or not guard.add_flag or guard.add_flag in commands[0].arguments:
        return None
    one = commands[0]
    if one.written or one.read or one.here_documents or one.wrapped_by:
        return None
    text = shlex.join([one.invoked or one.program, guard.add_flag, *one.arguments])
    arguments = {**action.arguments, "command": text} if "command" in action.arguments else action.arguments
    return replace(action, text=text, arguments=arguments)
