"""What YAML allows, asks about or forbids: rules over programs, paths and words, decided before an action."""

import fnmatch
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hal9.errors.tools import PolicyInvalid
from hal9.settings import PolicyRule
from hal9.tools.action import Action, ActionContext, ActionGate, ActionOutcome, Decision
from hal9.tools.shell import SimpleCommand, parse_command

__all__ = ["GateChain", "PolicyGate"]

_STRENGTH = {"refuse": 4, "ask": 3, "rewrite": 2, "remind": 1, "allow": 0}


@dataclass(frozen=True, slots=True)
class PolicyGate:
    """Decides by the rules of `tools.policy`; the first rule that fits decides.

    Raises:
        PolicyInvalid: a rule's regular expression cannot be read.
    """

    rules: Sequence[PolicyRule]

    def __post_init__(self) -> None:
        for rule in self.rules:
            try:
                re.compile(rule.text)
            except re.error as error:
                raise PolicyInvalid(
                    rule=rule.name, problem=f"text is no regular expression: {error}"
                ) from error

    async def before(self, action: Action, context: ActionContext) -> Decision:
        for rule in self.rules:
            if _fits(rule, action, context):
                reason = rule.reason or f"the policy {rule.name!r} of this home says so"
                return Decision(verdict=rule.verdict, reason=reason, source=f"policy:{rule.name}")
        return Decision()

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class GateChain:
    """Several gates as one: the strictest decision stands, the first among equals."""

    gates: Sequence[ActionGate]

    async def before(self, action: Action, context: ActionContext) -> Decision:
        strictest = Decision()
        for gate in self.gates:
            decision = await gate.before(action, context)
            if _STRENGTH[decision.verdict] > _STRENGTH[strictest.verdict]:
                strictest = decision
        return strictest

    async def after(
        self, action: Action, context: ActionContext, decision: Decision, outcome: ActionOutcome
    ) -> None:
        for gate in self.gates:
            await gate.after(action, context, decision, outcome)


def _fits(rule: PolicyRule, action: Action, context: ActionContext) -> bool:
    """Whether all conditions of a rule hold; conditions that are not given hold."""
    if not any(fnmatch.fnmatch(context.neuron, pattern) for pattern in rule.neurons):
        return False
    if rule.tools and not any(fnmatch.fnmatch(action.tool, pattern) for pattern in rule.tools):
        return False
    if rule.programs and not _programs_fit(rule.programs, action):
        return False
    if rule.paths and not any(_path_fits(path, rule.paths) for path in _changed_paths(action)):
        return False
    if rule.outside and not any(not _is_under(path, rule.outside) for path in _changed_paths(action)):
        return False
    return not rule.text or re.search(rule.text, action.text) is not None


def _programs_fit(patterns: Sequence[str], action: Action) -> bool:
    if action.kind != "command":
        return False
    commands = parse_command(action.text)
    return any(_program_fits(pattern.split(), command) for pattern in patterns for command in commands)


def _program_fits(words: Sequence[str], command: SimpleCommand) -> bool:
    """`git push`, `rm -r`, `pip*`: a program's name, then subcommands or flags it must have."""
    if not words or not fnmatch.fnmatch(command.program, words[0]):
        return False
    flags = command.flags
    plain = [word for word in command.arguments if not word.startswith("-")]
    for word in words[1:]:
        if word.startswith("-"):
            if word not in flags:
                return False
        elif not any(fnmatch.fnmatch(argument, word) for argument in plain):
            return False
    return True


def _changed_paths(action: Action) -> list[str]:
    """Paths that an action writes; of a command also the plain arguments of programs that change files."""
    # Undoing puts back what the workspace holds: the way out after a change that must not stay.
    writes = action.kind != "read" and action.tool != "undo"
    paths = list(action.paths) if writes else []
    if action.kind == "command":
        for command in parse_command(action.text):
            if command.program in _FILE_PROGRAMS:
                paths += [word for word in command.arguments if word and not word.startswith("-")]
    return [posixpath.normpath(path) for path in paths]


_FILE_PROGRAMS = frozenset(
    {
        "rm",
        "rmdir",
        "mv",
        "cp",
        "touch",
        "mkdir",
        "ln",
        "chmod",
        "chown",
        "truncate",
        "tee",
        "dd",
        "install",
        "shred",
    }
)


def _path_fits(path: str, patterns: Sequence[str]) -> bool:
    parts = [path, *(path[:index] for index, char in enumerate(path) if char == "/")]
    return any(fnmatch.fnmatch(part, pattern.rstrip("/")) for part in parts for pattern in patterns)


def _is_under(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder.rstrip("/") or path.startswith(folder.rstrip("/") + "/") for folder in folders)
