"""What an agent is asked to repair: a folder, the words, the check, and who says whether it is repaired."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.repair.faults import Fault
from benchmarks.repair.seed import checkout, passes

__all__ = ["Case", "of_fault", "of_quixbugs", "quixbugs_programs"]

_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One thing to repair.

    Attributes:
        name: of the case.
        task: what a user writes.
        check: the command that shows the fault, in the case's folder.
        prepare: makes the folder, a git repository.
        repaired: whether the fault is gone from the folder, judged by tests as they were.
        file: the file that the task names, for agents that want files chosen.
    """

    name: str
    task: str
    check: str
    prepare: Callable[[Path], None]
    repaired: Callable[[Path], bool]
    file: str | None = None


def of_fault(fault: Fault, sources: Path, python: Path) -> Case:
    """A seeded fault in a package; the task names no file."""
    return Case(
        name=fault.name,
        task=fault.symptom,
        check=fault.check,
        prepare=lambda folder: checkout(fault, sources, folder),
        repaired=lambda folder: passes(fault, folder, python),
    )


def quixbugs_programs(mirror: Path) -> list[str]:
    """The programs that have a Python test, by name."""
    listed = _git(mirror, "ls-tree", "-r", "--name-only", "HEAD").decode().split("\n")
    return sorted(
        found.group(1)
        for path in listed
        if (found := re.fullmatch(r"python_testcases/test_(\w+)\.py", path))
        and f"python_programs/{found.group(1)}.py" in listed
    )


def of_quixbugs(name: str, mirror: Path, python: Path) -> Case:
    """One program of QuixBugs with its tests, without the others and without the right ones."""
    check = f"timeout {_SECONDS // 3} python -m pytest -q -x --tb=short python_testcases/test_{name}.py"
    path = f"python_programs/{name}.py"

    def prepare(folder: Path) -> None:
        _lay(folder, name, mirror, program=True)
        for command in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "-qm", "program"],
        ):
            _git(folder, *command)

    def repaired(folder: Path) -> bool:
        _lay(folder, name, mirror, program=False)
        command = check.replace("python ", f"{python} ", 1)
        env = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
        try:
            done = subprocess.run(
                command, check=False, shell=True, cwd=folder, env=env, capture_output=True, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    task = (
        f"The function `{name}` in {path} has a bug on a single line: its tests fail or never end. "
        f"Repair it in {path}; leave the tests as they are."
    )
    return Case(name, task, check, prepare, repaired, path)


def _lay(folder: Path, name: str, mirror: Path, *, program: bool) -> None:
    """The case's files; without the program only what judges it."""
    listed = set(_git(mirror, "ls-tree", "-r", "--name-only", "HEAD").decode().split("\n"))
    tests = {
        "conftest.py", "python_testcases/load_testdata.py", "python_testcases/node.py", f"python_testcases/test_{name}.py",
        f"json_testcases/{name}.json",
    }  # fmt: skip
    helpers = {"python_programs/node.py", f"python_programs/{name}.py"} if program else set[str]()
    for path in sorted((tests | helpers) & listed):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_git(mirror, "show", f"HEAD:{path}"))


def _git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)
    return done.stdout
