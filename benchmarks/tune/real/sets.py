"""Three sets, and how an answer is judged: a score, and a complaint in ordinary words.

`house` is a desk's log with four conventions nobody is told beforehand. `family` is reasoning-gym 0.1.25's
`family_relationships` (seed 20). `sections` asks which section of Debian's archive a package is in, from its
description. Only the standard library: peers run it in environments of their own.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).with_name("sets")


@dataclass(frozen=True)
class Item:
    """A task and the facts that judge its answer."""

    name: str
    text: str
    facts: dict[str, str]


@dataclass(frozen=True)
class RealSet:
    """Tasks with the prompt that one begins with and the judge of an answer.

    Attributes:
        judge: score 0 to 1, and what is complained of.
        max_tokens: of an answer.
    """

    name: str
    base: str
    judge: Callable[[Item, str], tuple[float, str]]
    max_tokens: int

    def items(self) -> list[Item]:
        """All tasks."""
        found = []
        lines = (_FOLDER / f"{self.name}.jsonl").read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(line for line in lines if line):
            facts = json.loads(line)
            found.append(Item(f"{self.name}-{number}", facts.pop("text"), facts))
        return found

    def split(self, seed: int) -> tuple[list[Item], list[Item]]:
        """Two thirds to tune on, one third held out."""
        shuffled = self.items()
        random.Random(f"split/{seed}").shuffle(shuffled)
        held = len(shuffled) // 3
        return shuffled[held:], shuffled[:held]


def _house(item: Item, text: str) -> tuple[float, str]:
    """A quarter for each convention; the first that is broken is complained of."""
    facts, problems = item.facts, []
    if facts["date"] not in text:
        problems.append(f"We write dates as year-month-day: {facts['date']} here.")
    if facts["number"] not in text:
        problems.append(
            f"Numbers of invoices, parcels and customers have a hash before them: {facts['number']}."
        )
    if f"[{facts['team']}]" not in text:
        about = {"BIL": "Invoices", "SHP": "Parcels", "ACC": "Accounts, passwords and sign-ups"}[
            facts["team"]
        ]
        problems.append(f"{about} go to the team [{facts['team']}], in square brackets.")
    if facts["surname"] not in text:
        problems.append(f"The surname stands in capital letters: {facts['surname']}.")
    return 1 - len(problems) / 4, " ".join(problems[:2])


def _label(item: Item, text: str) -> tuple[float, str]:
    """Right when the answer is the wanted word and nothing else but marks and case."""
    wanted = item.facts["answer"]
    if re.sub(r"[^a-z-]+", " ", text.casefold()).strip() == wanted:
        return 1.0, ""
    if re.search(rf"(?<![\w-]){re.escape(wanted)}(?![\w-])", text.casefold()):
        return 0.0, f"The right answer is {wanted}, which is in there, but nothing else must be."
    return 0.0, f"The right answer is {wanted}."


SETS = {
    one.name: one
    for one in (
        RealSet("house", "Write one line for the log of our service desk.", _house, 60),
        RealSet("family", "Answer the question about a family.", _label, 24),
        RealSet("sections", "Say in which section of the archive this package is.", _label, 24),
    )
}
