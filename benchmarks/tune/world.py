"""The rule-hunting world: tasks need hidden rules, a task model follows what its prompt says, a check complains.

Only the standard library: peers run it in environments of their own.
"""

import hashlib
import random
import re
from dataclasses import dataclass

WORDS = (
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "inlet",
    "jasper",
    "kelp",
    "lotus",
)
BASE = "You answer questions briefly."


@dataclass(frozen=True)
class Item:
    """A task and the rules it needs."""

    name: str
    text: str
    needs: tuple[str, ...]


def rule(word: str) -> str:
    return f"Always name {word} in the answer."


def items(count: int, *, rules: int, seed: int) -> list[Item]:
    rng = random.Random(f"items/{seed}")
    return [
        Item(
            f"t{n}",
            f"Question number {n}: what is to be said?",
            tuple(sorted(rng.sample(WORDS[:rules], rng.randint(1, 2)))),
        )
        for n in range(count)
    ]


def split(all_items: list[Item], seed: int) -> tuple[list[Item], list[Item]]:
    """Two thirds to tune on, one third held out."""
    shuffled = all_items[:]
    random.Random(f"split/{seed}").shuffle(shuffled)
    held = len(shuffled) // 3
    return shuffled[held:], shuffled[:held]


def answer(prompt: str) -> str:
    """The task model: it names every word that its prompt tells it to name."""
    return " ".join(dict.fromkeys(re.findall(r"Always name (\w+) in", prompt)))


def score(item: Item, text: str, *, noise: float, draw: object) -> tuple[float, str]:
    """1 when all needed words are named; with `noise` the score (not the complaint) is turned over now and then."""
    missing = [word for word in item.needs if word not in text.split()]
    value = 0.0 if missing else 1.0
    digest = hashlib.sha256(f"{item.name}/{text}/{draw}".encode()).digest()
    if int.from_bytes(digest[:4]) / 2**32 < noise:
        value = 1.0 - value
    return value, f"missing: {missing[0]}" if missing else "something was not right"


def true_score(all_items: list[Item], prompt: str) -> float:
    told = set(answer(prompt).split())
    return sum(set(item.needs) <= told for item in all_items) / len(all_items)


def fluff(prompt: str) -> int:
    return len(re.findall(r"Consider point", prompt))


def written_rules(feedback: str, prompt: str, rng: random.Random, share: float) -> list[tuple[str, str]]:
    """What the reflecting model writes: (word complained about or "", rule), now and then fluff instead."""
    made = []
    for word in dict.fromkeys(re.findall(r"missing: (\w+)", feedback)) or {"": None}:
        text = (
            rule(word)
            if word and rng.random() >= share
            else f"Consider point {rng.randrange(10_000)} with care."
        )
        if text not in prompt:
            made.append((word, text))
    return made
