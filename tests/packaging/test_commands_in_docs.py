"""Every `hal9 …` line in the documentation names a command that exists, with options and arguments it takes."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hal9.cli.app import cli

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(`{3,})[a-z]*\n(.*?)^\1\s*$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4,}(hal9 .*)$", re.MULTILINE)
INLINE = re.compile(r"`(hal9 [^`\n]+)`")


def documents() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / one for one in names.stdout.split() if one.startswith(("docs/", "README", "examples/"))]


def commands(text: str) -> Iterator[str]:
    for block in BLOCK.finditer(text):
        for line in block[2].splitlines():
            stripped = re.sub(r"^\s*(\$ |\.venv/bin/)?(\.venv/bin/)?", "", line)
            if stripped.startswith("hal9 "):
                yield re.split(r"\s{2,}(?![-\"'])|\s#|\s\||\s&&|\s>|\s←", stripped)[0]
    for match in (*INDENTED.finditer(text), *INLINE.finditer(text)):
        yield re.split(r"\s{2,}|\s#|\s\||\s&&|\s>|;", match[1])[0]


def fault(line: str) -> str:
    """What click says of a line, "" when it would run it; placeholders (DIR, …) count as given."""
    try:
        line = re.sub(r"(\\?\|[a-z-]+)+", "", line)  # one of several words stands for all
        words = shlex.split(line.replace("…", "x").replace("[", "").replace("]", ""))[1:]
    except ValueError:
        return ""  # a quotation that goes on in the next line
    command: click.Command = cli
    context = click.Context(cli, info_name="hal9")
    while isinstance(command, click.Group) and words:
        try:
            _, words = _options_of(command, context, words)
            if not words:
                return ""
            name, found, words = command.resolve_command(context, words)
        except click.ClickException as error:
            return error.format_message()
        if found is None:
            return f"no command {name}"
        context = click.Context(found, info_name=name, parent=context)
        command = found
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {
        "-h",
        "--help",
    }
    if isinstance(command, click.Group):
        return ""
    wrong = [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return f"no option {wrong[0]}" if wrong else ""


def _options_of(
    command: click.Group, context: click.Context, words: list[str]
) -> tuple[list[str], list[str]]:
    """Options before a group's command, apart from the rest."""
    by_name = {option: one for one in command.params for option in one.opts}
    taken = 0
    while taken < len(words) and words[taken].startswith("-"):
        one = by_name.get(words[taken].partition("=")[0])
        if one is None and words[taken] not in ("-h", "--help"):
            raise click.UsageError(f"no option {words[taken]}", ctx=context)
        flag = one is None or getattr(one, "is_flag", False) or "=" in words[taken]
        taken += 1 if flag else 2
    return words[:taken], words[taken:]


def test_commands_in_the_documentation_exist() -> None:
    wrong, seen = [], 0
    for path in documents():
        for line in commands(path.read_text(encoding="utf-8")):
            seen += 1
            if found := fault(line):
                wrong.append((path.relative_to(ROOT).as_posix(), line, found))
    assert wrong == []
    assert seen > 60


@pytest.mark.parametrize(
    "line", ["hal9 sbmit x", "hal9 submit --chek y", "hal9 --hme x up", "hal9 memory serch x"]
)
def test_a_wrong_line_would_be_noticed(line: str) -> None:
    assert fault(line)
