"""What the stream in ordinary words is made of."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["WORDINGS", "Family", "Item", "OrdinaryTask", "judge"]

Wording = Literal["short", "vague", "long", "foreign"]
WORDINGS: tuple[Wording, ...] = ("short", "vague", "long", "foreign")
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Item:
    """One function that is asked for.

    Attributes:
        words: the task as a person says it.
        target: the file to write; the words need not name it.
        call: name and parameters.
        value: the value in Python, before any house rule.
        trials: argument tuples that the check tries.
    """

    words: str
    target: str
    call: str
    value: str
    trials: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A house rule and eight tasks under it.

    Attributes:
        name: of the rule.
        repository: in which checkout its tasks stand.
        holds: `project`, `folder` or `file`: where the rule is meant to hold.
        corrections: the rule in four wordings.
        form: the value as the house wants it, a Python expression with VALUE in it.
        items: its tasks in order.
        imports: lines that the right answer begins with.
        guard: lines at the beginning of each function's body.
        later: from which task on another form holds; None when the rule stays.
        later_form: that form.
        later_corrections: how the user says so; for a withdrawal these take the rule back.
        with_also: another family whose rule applies too.
    """

    name: str
    repository: str
    holds: Literal["project", "folder", "file"]
    corrections: tuple[str, str, str, str]
    form: str
    items: tuple[Item, ...]
    imports: str = ""
    guard: str = ""
    later: int | None = None
    later_form: str = "VALUE"
    later_corrections: tuple[str, str, str, str] = ("", "", "", "")
    with_also: str = ""


@dataclass(frozen=True, slots=True)
class OrdinaryTask:
    """One task of the stream. `check`, `solution` and `correction` are the simulated user's."""

    id: str
    kind: Literal["recurring", "near_miss", "unrelated"]
    family: str
    repository: str
    words: str
    target: str
    check: str
    solution: str
    correction: str = ""
    position: int = 0
    phase: int = 0
    rules: frozenset[str] = frozenset()
    files: dict[str, str] = field(default_factory=dict)

    @property
    def scored(self) -> bool:
        """The first task of a family, and the first after a change, teach; the others are scored."""
        return self.kind != "recurring" or self.position > 0


def judge(task: OrdinaryTask, content: str | None) -> tuple[bool, str]:
    """Run the hidden check on a file's text; whether it passed and its last line."""
    if not content:
        return False, "no file was written"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**task.files, task.target: content, "check.py": task.check}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        limited = ["/bin/sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh", sys.executable, "check.py"]
        try:
            done = subprocess.run(
                limited, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return False, f"the check did not end within {_SECONDS} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else ""
