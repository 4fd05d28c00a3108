"""Every install line in docs, errors and programs names our package, and extras that it has."""

import re
import subprocess
import tomllib
from pathlib import Path

from hal9.errors.base import DISTRIBUTION, install_hint

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
NAMED = re.compile(r"\b(hal9[a-z0-9-]*)\[([a-z0-9_,{}.\"' -]+?)\]['\"`\s).,;]")
PLAIN = re.compile(r"pip install +(?:-U +)?['\"]?(hal9[a-z0-9-]*)\b")
MADE = re.compile(r"install_hint\(([^)]*)\)")


def sources() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    names = [one for one in listed.split("\0") if one.endswith((".py", ".md", ".toml", ".yaml", ".yml"))]
    names += [one for one in listed.split("\0") if one.startswith(("scripts/", "deploy/"))]
    return {
        name: (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for name in dict.fromkeys(names)
        if (ROOT / name).is_file() and not name.startswith("tests/packaging/")
    }


def test_every_hint_names_our_package_and_its_extras() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    wrong, seen = [], 0
    for name, text in sources().items():
        for match in NAMED.finditer(text):
            seen += 1
            extras = {one.strip() for one in match[2].split(",")}
            if match[1] != DISTRIBUTION or not extras <= EXTRAS:
                wrong.append((name, match[0]))
        wrong += [(name, match[0]) for match in PLAIN.finditer(text) if match[1] != DISTRIBUTION]
        for match in MADE.finditer(text):
            argument = match[1].strip()
            if argument and argument[0] in "'\"" and argument.strip("'\"") not in EXTRAS:
                wrong.append((name, match[0]))
    assert wrong == []
    assert seen >= 5, "the pattern finds the lines that are there"


def test_every_error_that_names_an_extra_gets_one_that_exists() -> None:
    given = re.compile(r"\bextra=['\"]([a-z0-9-]+)['\"]")
    named = {
        match[1]: name
        for name, text in sources().items()
        if name.startswith("hal9/")
        for match in given.finditer(text)
    }
    assert named
    # "forbid" and "allow" are pydantic's, for keys of a model.
    assert set(named) <= EXTRAS | {"forbid", "allow"}, named


def test_a_hint_can_be_pasted_into_a_shell() -> None:
    assert install_hint() == "pip install hal9-cluster"
    assert install_hint("mcp") == "pip install 'hal9-cluster[mcp]'"
