"""What helped after an error: the command that later succeeded for the same purpose, and how sure that is.

A remedy is a program with a main argument. Either may be "the same as what failed": mend the file and run it
again is a remedy too. Evidence is sought from the particular to the general (this error here, this cause
here, this kind of cause anywhere, anything), each level leaning on the next while it knows few cases.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hal9.learning.runs.counts import Counts
from hal9.learning.runs.features import Feature
from hal9.learning.runs.run_state import is_path
from hal9.tools.shell import SimpleCommand, parse_command

__all__ = ["SAME", "Case", "LevelCount", "Remedy", "RemedyMiner", "Typed", "actions_of"]

SAME = "<same>"
_QUIET = frozenset(
    {
        "cat",
        "ls",
        "grep",
        "sed",
        "head",
        "tail",
        "nl",
        "find",
        "echo",
        "cd",
        "rm",
        "git",
        "export",
        "mkdir",
        "touch",
    }
)
_MOST_DROPPED = 3
_LEAN = 2.0
"""How many cases the next general level counts for."""
_MOST_TEMPLATES = 200
_WITHIN = 60
"""Steps after the error in which a success is still taken for its remedy."""


@dataclass(frozen=True, slots=True, order=True)
class Typed:
    """A program and what it is about."""

    program: str
    argument: str

    def text(self) -> str:
        """As one would type it."""
        return f"{self.program} {self.argument}".strip()


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do after an error.

    Attributes:
        action: the program and main argument.
        probability: how often this has helped, leaning on more general evidence where little is known.
        cases: errors of this very kind behind it.
        text: for people and prompts.
    """

    action: Typed
    probability: float
    cases: int
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A failed step: what was tried, what it is called at each level of generality."""

    action: Typed
    levels: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class LevelCount:
    """Errors of one kind, and how often each action has helped afterwards."""

    cases: int = 0
    helped: dict[Typed, int] = field(default_factory=dict)


def actions_of(command: str, *, all_programs: bool = False) -> list[Typed]:
    """Programs with their main arguments; those that only look or tidy up are left out unless asked for."""
    return [
        _action(one)
        for one in parse_command(command)
        if one.program and (all_programs or one.program not in _QUIET)
    ]


def _action(one: SimpleCommand) -> Typed:
    program, words = one.invoked or one.program, list(one.arguments)
    if "-m" in words[:-1] and one.program.startswith("python"):
        index = words.index("-m")
        program, words = f"{program} -m {words[index + 1]}", words[index + 2 :]
    plain = [word for word in words if not word.startswith("-")]
    main = next((word for word in plain if is_path(word)), plain[0] if plain else "")
    return Typed(program.removeprefix("./"), main.removeprefix("./").removeprefix("/testbed/")[:120])


class RemedyMiner:
    """Learns from whole runs and names a remedy for an error. Not safe for threads."""

    def __init__(
        self, *, least_probability: float = 0.65, levels: Counts[tuple[str, ...], LevelCount] | None = None
    ) -> None:
        self.least_probability = least_probability
        self._levels: Counts[tuple[str, ...], LevelCount] = {} if levels is None else levels

    def case(self, repo: str, command: str, signature: str, blamed: Sequence[Feature]) -> Case | None:
        """A failed step as a case; None when it ran nothing that could be done in another way."""
        found = actions_of(command) or actions_of(command, all_programs=True)
        if not found:
            return None
        tried = found[-1]
        levels: list[tuple[str, ...]] = [(repo, "error", signature, tried.program)]
        levels += [(repo, "cause", one.kind, one.value) for one in blamed]
        levels += [("*", "kind", one.kind, tried.program.rsplit("/", 1)[-1]) for one in blamed[:1]]
        levels.append((repo, "program", tried.program))
        levels.append(("*", "program", tried.program.rsplit("/", 1)[-1]))
        levels.append(("*",))
        return Case(tried, tuple(levels))

    def suggest(self, case: Case) -> Remedy | None:
        """The remedy most likely to help, or None when none is likely enough."""
        templates = {template for level in case.levels for template in self._at(level).helped}
        best: Remedy | None = None
        for template in sorted(templates):
            probability = self._probability(case, template)
            if probability >= self.least_probability and (best is None or probability > best.probability):
                action = _filled(template, case.action)
                cases = self._at(case.levels[0]).cases
                best = Remedy(action, probability, cases, _told(template, case.action))
        return best

    def learn(self, case: Case, later: Iterable[Sequence[Typed]]) -> None:
        """What succeeded after a failed step of a run that is over.

        Args:
            case: the failed step.
            later: per later step that succeeded, its actions, in order.
        """
        helped = {
            template
            for step, _ in zip(later, range(_WITHIN), strict=False)
            for action in step
            for template in _templates(action, case.action)
        }
        for key in case.levels:
            level = self._levels.setdefault(key, LevelCount())
            level.cases += 1
            for template in helped:
                if template in level.helped or len(level.helped) < _MOST_TEMPLATES:
                    level.helped[template] = level.helped.get(template, 0) + 1

    def _at(self, key: tuple[str, ...]) -> LevelCount:
        return self._levels.get(key) or LevelCount()

    def _probability(self, case: Case, template: Typed) -> float:
        probability = 0.0
        for key in reversed(case.levels):
            level = self._at(key)
            right = level.helped.get(template, 0)
            probability = (right + _LEAN * probability) / (level.cases + _LEAN)
        return probability


def _templates(action: Typed, tried: Typed) -> Iterator[Typed]:
    """How a success may be said in terms of what failed."""
    program = SAME if action.program == tried.program else action.program
    if action.argument == tried.argument:
        yield Typed(program, SAME)
        return
    for form, argument in _forms(tried.argument):
        if argument == action.argument:
            yield Typed(program, form)


def _forms(path: str) -> Iterator[tuple[str, str]]:
    """Other ways to name a file: `tests/forms/test_x.py` as `forms.test_x`, `forms/test_x.py` or `forms`."""
    parts = path.split("/")
    stem = parts[-1].rsplit(".", 1)[0]
    for dropped in range(min(len(parts), _MOST_DROPPED + 1)):
        rest = [*parts[dropped:-1], stem]
        yield f"<dotted:{dropped}>", ".".join(rest)
        if len(rest) > 1:
            yield f"<folder:{dropped}>", ".".join(rest[:-1])
        if dropped:
            yield f"<path:{dropped}>", "/".join(parts[dropped:])


def _filled(template: Typed, tried: Typed) -> Typed:
    program = tried.program if template.program == SAME else template.program
    if template.argument == SAME:
        return Typed(program, tried.argument)
    return Typed(program, dict(_forms(tried.argument)).get(template.argument, tried.argument))


def _told(template: Typed, tried: Typed) -> str:
    if template.program == SAME and template.argument == SAME:
        return f"mend what the error names, then `{tried.text()}` again"
    return f"use `{_filled(template, tried).text()}` instead"
