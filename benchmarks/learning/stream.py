"""The stream: 160 interleaved tasks, recurring families among near-misses and unrelated work, each with a hidden check."""

import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.humaneval.problems import load
from benchmarks.learning import conventions

Kind = Literal["convention", "strategy", "shop", "near_miss", "unrelated"]
RECURRING: tuple[Kind, ...] = ("convention", "strategy", "shop")
WARM_UP = 2
UTIL = "def clamp(value):\n    return max(-100, min(100, value))\n"
SECONDS = 20


@dataclass(frozen=True, slots=True)
class StreamTask:
    """One task. `check`, `solution` and `rule` belong to the simulated user; no neuron sees them beforehand."""

    id: str
    kind: Kind
    family: str
    objective: str
    target: str
    check: str
    solution: str
    rule: str
    files: dict[str, str] = field(default_factory=dict)
    position: int = 0

    @property
    def recurring(self) -> bool:
        """Whether its family comes again and again."""
        return self.kind in RECURRING

    @property
    def scored(self) -> bool:
        """The first of a recurring family only warm it up."""
        return not self.recurring or self.position >= WARM_UP

    def judge(self, content: str | None) -> tuple[bool, str]:
        """Run the hidden check; returns whether it passed and what it said."""
        if not content:
            return False, "no file was written"
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**self.files, self.target: content, "check.py": self.check}.items():
                Path(folder, name).write_text(text)
            limited = ["/bin/sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh", sys.executable, "check.py"]
            try:
                done = subprocess.run(
                    limited, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return False, f"the check did not end within {SECONDS} s"
        lines = (done.stderr or done.stdout).strip().splitlines()
        return done.returncode == 0, lines[-1] if lines else ""


def build(seed: int, *, size: int | None = None) -> list[StreamTask]:
    """The stream for a seed; `size` keeps only a part of every kind (for trials of the benchmark itself)."""
    chance = random.Random(seed)
    share = 1.0 if size is None else size / 160
    makers = (conventions.ledger, conventions.sensors, conventions.billing, conventions.motor)
    families = [_convention("convention", make(), chance, share) for make in makers]
    families.append(_convention("shop", conventions.shop(), chance, share))
    count = max(int(12 * share), WARM_UP + 1)
    families += [
        _strategy(name, seed, count) for name in ("letter_counting", "word_sorting", "base_conversion")
    ]
    singles = [_near_miss(piece) for piece in conventions.near_misses()]
    singles += _unrelated()
    chance.shuffle(singles)
    singles = singles[: max(int(len(singles) * share), 2)]
    return _interleave(families, singles, chance)


def _convention(
    kind: Kind, pieces: list[conventions.Piece], chance: random.Random, share: float
) -> list[StreamTask]:
    chance.shuffle(pieces)
    kept = pieces[: max(int(len(pieces) * share), WARM_UP + 1)]
    return [
        StreamTask(
            id=f"{piece.module}/{piece.name}",
            kind=kind,
            family=piece.module,
            objective=piece.objective,
            target=f"{piece.module}.py",
            check=piece.check,
            solution=piece.solution,
            rule=piece.rule,
            files={"util.py": UTIL},
            position=position,
        )
        for position, piece in enumerate(kept)
    ]


def _near_miss(piece: conventions.Piece) -> StreamTask:
    return StreamTask(
        id=f"{piece.module}/{piece.name}",
        kind="near_miss",
        family=piece.module,
        objective=piece.objective,
        target=f"{piece.module}.py",
        check=piece.check,
        solution=piece.solution,
        rule="",
        files={"util.py": UTIL},
    )


_SOLVERS = {
    "letter_counting": (
        "Do not count by hand: write answer.py, a program that counts with str.count and prints the number.",
        lambda entry: (
            f"print({' '.join(entry['metadata']['span']).lower()!r}.count({entry['metadata']['target_letter']!r}))\n"
        ),
    ),
    "word_sorting": (
        "Do not sort by hand: write answer.py, a program that sorts with sorted() and prints the words joined by ', '.",
        lambda entry: (
            f"words = {entry['metadata']['original_words']!r}\n"
            f"print(', '.join(sorted(words, reverse={entry['metadata']['direction'] == 'descending'})))\n"
        ),
    ),
    "base_conversion": (
        "Do not convert by hand: write answer.py, a program that uses int(text, base) and divmod and prints the digits.",
        lambda entry: (
            f"number = int({entry['metadata']['source_repr']!r}, {entry['metadata']['source_base']})\n"
            "digits = ''\nwhile number:\n"
            f"    number, rest = divmod(number, {entry['metadata']['target_base']})\n"
            "    digits = '0123456789abcdefghijklmnopqrstuvwxyz'[rest] + digits\nprint(digits or '0')\n"
        ),
    ),
}


def _strategy(name: str, seed: int, count: int) -> list[StreamTask]:
    import reasoning_gym

    rule, solve = _SOLVERS[name]
    entries: list[dict[str, Any]] = list(reasoning_gym.create_dataset(name, size=count, seed=seed))
    found = []
    for position, entry in enumerate(entries):
        wanted = str(entry["answer"]).strip()
        check = (
            "import subprocess, sys\n"
            "done = subprocess.run([sys.executable, 'answer.py'], capture_output=True, text=True, timeout=10)\n"
            f"got, wanted = done.stdout.strip(), {wanted!r}\n"
            "assert got == wanted, f'answer.py printed {got!r}, expected {wanted!r} {done.stderr[-200:]}'\n"
        )
        objective = (
            f"{entry['question'].strip()}\n\nWrite answer.py, a Python program that prints only the answer."
        )
        found.append(
            StreamTask(
                id=f"{name}/{position}",
                kind="strategy",
                family=name,
                objective=objective,
                target="answer.py",
                check=check,
                solution=solve(entry),
                rule=rule,
                position=position,
            )
        )
    return found


def _unrelated() -> list[StreamTask]:
    found = []
    for problem in load(24):
        check = f"from solution import *\nfrom solution import {problem.entry_point}\n{problem.test}\ncheck({problem.entry_point})\n"
        found.append(
            StreamTask(
                id=problem.id,
                kind="unrelated",
                family="humaneval",
                objective=problem.objective,
                target="solution.py",
                check=check,
                solution="",
                rule="",
            )
        )
    return found


def _interleave(
    families: list[list[StreamTask]], singles: list[StreamTask], chance: random.Random
) -> list[StreamTask]:
    """A random order that keeps each family's own order."""
    slots = [index for index, family in enumerate(families) for _ in family] + [-1] * len(singles)
    chance.shuffle(slots)
    queues = [iter(family) for family in families]
    rest = iter(singles)
    return [next(rest) if slot < 0 else next(queues[slot]) for slot in slots]
