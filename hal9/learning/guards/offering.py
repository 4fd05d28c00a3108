"""Guards that a rule's own words allow: offered with what they would have stopped, never in force unasked.

Three kinds of sentences can be checked at the moment of acting: a program that is not to be used ("never use
pip, use uv"), a place that is not to be touched ("don't edit generated/"), and where tests belong ("tests go
under tests/"). Everything else stays a sentence in a prompt.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hal9.learning.guards.guard_store import GuardStore
from hal9.learning.guards.predicate import Conditions, Guard
from hal9.learning.guards.remembered import remembered_actions
from hal9.memory import MemoryStore
from hal9.tools.action import Action
from hal9.tools.shell import parse_command

__all__ = ["Offer", "offer_for", "offered_guard"]

_MOST_SAID = 600
_NOT_WORDS = """never|do not|don't|dont|must not|mustn't|should not|shouldn't|stop|avoid|no more
not|nie(?:mals)?
nicht|bitte nicht|ne (?:jamais |pas )?|jamais|pas|nunca|no|mai|non|não|nooit|niet|nigdy|nie|никогда не|не"""
_USE_WORDS = r"""use|using|run|running|call|calling|execute|invoke|benutze\w*|verwende\w*|nimm
nutze\w*|utilise\w*
exécute\w*|lance\w*|uses?|usar|ejecut\w*|usare|esegu\w*|execut\w*|gebruik\w*|używaj\w*|используй\w*|запускай\w*"""
_TOUCH_WORDS = r"""touch|edit|change|modify|write(?: to| into| in)?|alter|overwrite|anfassen
ändere?\w*|bearbeite\w*
touche\w*|modifie\w*|toc\w+|edit\w*|modific\w*|cambi\w*|wijzig\w*|zmieniaj\w*|меняй\w*|трогай\w*"""
_INSTEAD_WORDS = """instead of|not|rather than|statt|anstatt|au lieu de|en lugar de|en vez de
invece di|em vez de
in plaats van|zamiast|вместо"""
_TESTS_WORDS = "(?:all |the |new |unit )*tests?|testdateien|les tests|las pruebas|i test|os testes"
_INTO_WORDS = "in|into|under|inside|to|unter|nach|dans|sous|en|bajo|sotto|em|onder|w"


def _one_of(words: str) -> str:
    return "(?:" + words.replace("\n", "|") + ")"


_NOT, _USE, _TOUCH = _one_of(_NOT_WORDS), _one_of(_USE_WORDS), _one_of(_TOUCH_WORDS)
_NEVER = rf"(?<!\w){_NOT}\s+(?:ever |again |to )?"
_COMMAND = (
    r"(?:`([^`\n]{2,80})`|\"([^\"\n]{2,80})\"|([A-Za-z](?:[\w.+-]*\w)?(?: [a-z][\w-]*)?(?: --?[a-z][\w-]*)*))"
)
_FORBIDDEN = re.compile(rf"{_NEVER}{_USE}\s+(?:the |a )?{_COMMAND}", re.IGNORECASE)
_FORBIDDEN_AFTER = re.compile(
    rf"(?<!\w){_COMMAND}\s+{_NOT}\s+{_USE}|(?<!\w){_NOT}\s+{_COMMAND}\s+{_USE}", re.IGNORECASE
)
_INSTEAD = re.compile(rf"(?<!\w){_one_of(_INSTEAD_WORDS)}\s+(?:the )?{_COMMAND}", re.IGNORECASE)
_PATH = r"[`\"']?((?:[\w.@+-]+/)+[\w.@+*-]*|[\w@+-]+\.[A-Za-z]{1,5})[`\"']?"
_UNTOUCHED = re.compile(
    rf"{_NEVER}{_TOUCH}\s+(?:anything |files? |code )?(?:in |under |inside |within )?(?:the )?{_PATH}"
    rf"|{_PATH}\s+{_NOT}\s+{_TOUCH}",
    re.IGNORECASE,
)
_TESTS_IN = re.compile(
    rf"\b{_one_of(_TESTS_WORDS)}\b[^.;`\"'/]{{0,40}}?\b{_one_of(_INTO_WORDS)}\b\s+(?:the )?{_PATH}",
    re.IGNORECASE,
)
_PROGRAM_WORDS = """
pip pip3 pipx uv poetry pipenv conda mamba hatch pdm python python2 python3 pytest unittest nose tox nox make
cmake ninja npm npx yarn pnpm bun node deno tsc jest vitest eslint prettier black ruff flake8
pylint isort mypy
pyright git svn hg docker podman kubectl helm terraform ansible sudo su rm mv cp chmod chown
curl wget ssh scp
rsync apt apt-get brew dnf yum pacman snap cargo rustc go gofmt gradle mvn ant javac java
dotnet composer php gem
bundle rake rails ruby psql mysql sqlite3 mongo redis-cli sed awk perl find grep rg cat vi vim
nano bash sh zsh
"""
_PROGRAMS = frozenset(_PROGRAM_WORDS.split())
_NO_SUBCOMMANDS = frozenset("and or for here directly in to on instead but use any again".split())  # noqa: SIM905
_WITH_SUBCOMMANDS = frozenset({"git", "npm", "docker", "uv", "cargo"})
_WRAPPERS = frozenset({"sudo", "su"})
_TEST_FILES = ("test_*", "*/test_*", "*_test.*", "*.test.*", "*.spec.*")


@dataclass(frozen=True, slots=True)
class Offer:
    """A guard that a rule allows, and the remembered actions on which it would have fired."""

    guard: Guard
    fired: Sequence[tuple[Action, bool]]
    remembered: int

    def sentence(self, rule_id: int) -> str:
        """For the person who gave the rule."""
        well = sum(went_well for _, went_well in self.fired)
        return (
            "this can be enforced, not only said: it would have stopped "
            f"{len(self.fired)} of {self.remembered} remembered actions ({well} of them went well); "
            f"`hal9 rules enforce {rule_id}` lets it hold"
        )


def offer_for(store: MemoryStore, rule: str) -> Offer | None:
    """The guard that a rule's words allow, tried on remembered actions; None when they allow none."""
    guard = offered_guard(rule)
    if guard is None:
        return None
    remembered = remembered_actions(store)
    return Offer(guard, GuardStore(store).would_fire(guard, remembered), len(remembered))


def offered_guard(rule: str) -> Guard | None:
    """The guard that a rule's words allow; None when nothing in them can be checked before acting."""
    say = rule[:_MOST_SAID]
    conditions = _placement(rule)
    if conditions is not None:
        when, unless = conditions
        return Guard(when=when, unless=unless, effect="require", say=say)
    untouched = _UNTOUCHED.search(rule)
    if untouched is not None:
        place = next(group for group in untouched.groups() if group)
        return Guard(when=Conditions(kind=("write", "edit"), path=_below(place)), effect="require", say=say)
    for pattern in (_FORBIDDEN, _FORBIDDEN_AFTER, _INSTEAD):
        for found in pattern.finditer(rule):
            when_command = _command([group for group in found.groups() if group], quoted="`" in found.group())
            if when_command is not None:
                return Guard(when=when_command, effect="require", say=say)
    return None


def _placement(rule: str) -> tuple[Conditions, Conditions] | None:
    found = _TESTS_IN.search(rule)
    if found is None or "." in found.group(1).rstrip("/").rsplit("/", 1)[-1]:
        return None
    folder = found.group(1).rstrip("/") + "/"
    return Conditions(kind=("write",), path=_TEST_FILES), Conditions(kind=("write",), path=_below(folder))


def _below(place: str) -> tuple[str, ...]:
    """Globs for a file or a folder's files, however the action writes the path; `*` crosses folders here."""
    plain = place.removeprefix("./")
    last = plain.rstrip("/").rsplit("/", 1)[-1]
    inside = plain if "*" in plain or ("." in last and not plain.endswith("/")) else plain.rstrip("/") + "/*"
    return inside, f"*/{inside}"


def _command(words: Sequence[str], *, quoted: bool) -> Conditions | None:
    """Conditions on a program, its subcommand and flags; None when the words name no program."""
    for text in words:
        commands = parse_command(text)
        if len(commands) != 1 or not commands[0].program:
            continue
        one = commands[0]
        if one.program.lower() not in _PROGRAMS and not quoted:
            continue
        if one.program in _WRAPPERS:
            return Conditions(kind=("command",), text=rf"(?:^|[\s;&|(]){one.program}\s")
        known = one.subcommand if quoted or one.program in _WITH_SUBCOMMANDS else ""
        known = "" if known in _NO_SUBCOMMANDS else known
        return Conditions(
            kind=("command",),
            program=(one.program,),
            subcommand=(known,) if known else (),
            flag=tuple(one.flags),
        )
    return None
