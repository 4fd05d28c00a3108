"""A guard as a person writes it: YAML, checked strictly; apart from `predicate`, which hooks load quickly."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hal9.errors.learning import GuardInvalid
from hal9.learning.guards.predicate import SAFE_FLAGS, Guard, guard_of

__all__ = ["parse_guard", "read_guard"]

_Pattern = Annotated[str, Field(min_length=1, max_length=400)]
_Patterns = Annotated[list[_Pattern], Field(max_length=20)]


class ConditionsForm(BaseModel):
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
    def _readable(self) -> "ConditionsForm":
        try:
            re.compile(self.text)
        except re.error as error:
            raise ValueError(f"text is no regular expression ({error})") from error
        return self

    @property
    def empty(self) -> bool:
        """Whether nothing is asked, so that every action would fit."""
        return not any(getattr(self, name) for name in type(self).model_fields)


class GuardForm(BaseModel):
    """When it fires, when it does not after all, what happens, and what is said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: ConditionsForm
    unless: ConditionsForm = Field(default_factory=ConditionsForm)
    effect: Literal["remind", "require", "require-once", "rewrite"] = "remind"
    add_flag: str = ""
    say: str = Field(min_length=1, max_length=600)

    @model_validator(mode="after")
    def _sound(self) -> "GuardForm":
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
    return read_guard(value)


def read_guard(value: Any) -> Guard:
    """A guard out of a mapping.

    Raises:
        GuardInvalid: it has an unknown key, or would fire on everything.
    """
    try:
        form = GuardForm.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GuardInvalid(problem=f"{where}: {first['msg']}" if where else first["msg"]) from error
    return guard_of(form.model_dump(exclude_defaults=True))
