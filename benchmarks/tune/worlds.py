"""Scripted worlds: tasks need hidden rules, a task model follows what its prompt says, a check complains.

`words` is the world that the search's rules for noisy scores were chosen on. `parts` (scores in part, complaints
about one part among several) and `cases` (rules that hold for one kind of task; a rule for all does harm) were
written afterwards and chose nothing.

Only the standard library: peers run it in environments of their own.
"""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

WORDS = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jasper")
CASES = {
    "refunds": "R1",
    "parcels": "P7",
    "passwords": "K3",
    "invoices": "B2",
    "returns": "R9",
    "outages": "T4",
}
BASE = "You answer questions briefly."


@dataclass(frozen=True)
class Item:
    """A task and what it needs."""

    name: str
    text: str
    needs: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """How tasks are made, answered and judged, and what a reflecting model writes.

    Attributes:
        make: from a random source and a number to an item.
        answer: what the task model says to a prompt and an item.
        judge: score 0 to 1, and what is complained of.
        complaints: finds (words of the complaint, subject) in shown feedback.
        rule: what the reflecting model writes for a subject; now and then, by its draw, a careless rule.
        rules: every right rule, for methods that see no complaints.
    """

    name: str
    make: Callable[[random.Random, int], Item]
    answer: Callable[[str, Item], str]
    judge: Callable[[Item, str], tuple[float, str]]
    complaints: re.Pattern[str]
    rule: Callable[[tuple[str, ...], float], str]
    rules: tuple[str, ...]

    def items(self, count: int, seed: int) -> list[Item]:
        """Tasks."""
        rng = random.Random(f"items/{self.name.removesuffix('~')}/{seed}")
        return [self.make(rng, n) for n in range(count)]

    def score(self, item: Item, text: str, *, noise: float, draw: object) -> tuple[float, str]:
        """The score, turned over now and then with `noise` (the complaint is not), and the complaint."""
        value, said = self.judge(item, text)
        digest = hashlib.sha256(f"{item.name}/{text}/{draw}".encode()).digest()
        if int.from_bytes(digest[:4]) / 2**32 < noise:
            value = 1.0 - value
        return value, said or "something was not right"

    def true_score(self, items: list[Item], prompt: str) -> float:
        """The mean score without noise."""
        return sum(self.judge(item, self.answer(prompt, item))[0] for item in items) / len(items)

    def written(self, feedback: str, prompt: str, rng: random.Random, share: float) -> list[tuple[str, str]]:
        """What the reflecting model writes: (words of the complaint or "", rule), now and then fluff instead."""
        made: dict[str, str] = {}
        for found in self.complaints.finditer(feedback):
            if found.group(0) not in made:
                rule = self.rule(found.groups(), rng.random())
                made[found.group(0)] = rule if rng.random() >= share else fluff_rule(rng)
        if not made:
            made[""] = fluff_rule(rng)
        return [(said, rule) for said, rule in made.items() if rule not in prompt]


def fluff_rule(rng: random.Random) -> str:
    return f"Consider point {rng.randrange(10_000)} with care."


def fluff(prompt: str) -> int:
    return len(re.findall(r"Consider point", prompt))


def split(items: list[Item], seed: int) -> tuple[list[Item], list[Item]]:
    """Two thirds to tune on, one third held out."""
    shuffled = items[:]
    random.Random(f"split/{seed}").shuffle(shuffled)
    held = len(shuffled) // 3
    return shuffled[held:], shuffled[:held]


# --- words: one or two of eight words must be named; all or nothing


def _words_item(rng: random.Random, n: int) -> Item:
    needs = tuple(sorted(rng.sample(WORDS[:8], rng.randint(1, 2))))
    return Item(f"t{n}", f"Question number {n}: what is to be said?", needs)


def _words_answer(prompt: str, _: Item) -> str:
    return " ".join(dict.fromkeys(re.findall(r"Always name (\w+) in", prompt)))


def _words_judge(item: Item, text: str) -> tuple[float, str]:
    missing = [word for word in item.needs if word not in text.split()]
    return (0.0, f"missing: {missing[0]}") if missing else (1.0, "")


# --- parts: two to four of ten parts must be there; each counts, one missing part is named


def _parts_item(rng: random.Random, n: int) -> Item:
    needs = tuple(sorted(rng.sample(WORDS, rng.randint(2, 4))))
    return Item(f"t{n}", f"Report number {n}: write it up.", needs)


def _parts_answer(prompt: str, _: Item) -> str:
    return " ".join(dict.fromkeys(re.findall(r"Give the (\w+) section", prompt)))


def _parts_judge(item: Item, text: str) -> tuple[float, str]:
    missing = [word for word in item.needs if word not in text.split()]
    if not missing:
        return 1.0, ""
    chosen = missing[int(hashlib.sha256(item.name.encode()).hexdigest(), 16) % len(missing)]
    return 1 - len(missing) / len(item.needs), f"{len(missing)} sections lack, among them {chosen}"


# --- cases: each kind of task has a code of its own; a code for all tasks spoils the others


def _cases_item(rng: random.Random, n: int) -> Item:
    kind = rng.choice(list(CASES))
    return Item(f"t{n}", f"Message number {n} is about {kind}.", (kind,))


def _cases_answer(prompt: str, item: Item) -> str:
    found = re.findall(rf"If it is about {item.needs[0]}, answer (\w+)", prompt)
    if found:
        return str(found[-1])
    general = re.findall(r"Answer (\w+) to everything", prompt)
    # Without a rule it knows the commonest two codes.
    return str(general[-1]) if general else {"refunds": "R1", "parcels": "P7"}.get(item.needs[0], "none")


def _cases_judge(item: Item, text: str) -> tuple[float, str]:
    wanted = CASES[item.needs[0]]
    return (1.0, "") if text == wanted else (0.0, f"about {item.needs[0]} the code is {wanted}")


def _cases_rule(found: tuple[str, ...], draw: float) -> str:
    kind, code = found
    return f"Answer {code} to everything." if draw < 0.3 else f"If it is about {kind}, answer {code}."


WORLDS = {
    world.name: world
    for world in (
        World(
            "words", _words_item, _words_answer, _words_judge, re.compile(r"missing: (\w+)"),
            lambda found, _: f"Always name {found[0]} in the answer.",
            tuple(f"Always name {word} in the answer." for word in WORDS[:8]),
        ),
        World(
            "parts", _parts_item, _parts_answer, _parts_judge, re.compile(r"lack, among them (\w+)"),
            lambda found, _: f"Give the {found[0]} section.",
            tuple(f"Give the {word} section." for word in WORDS),
        ),
        World(
            "cases", _cases_item, _cases_answer, _cases_judge, re.compile(r"about (\w+) the code is (\w+)"),
            _cases_rule,
            tuple(f"If it is about {kind}, answer {code}." for kind, code in CASES.items()),
        ),
    )
}  # fmt: skip


_WORDING = re.compile(r" ~\d+$")


def world_named(name: str) -> World:
    """A world; with `~` behind its name its task model words every answer anew, so that no answer comes twice."""
    world = WORLDS[name.removesuffix("~")]
    if not name.endswith("~"):
        return world
    rng = random.Random(f"wording/{name}")
    return replace(
        world,
        name=name,
        answer=lambda prompt, item: f"{world.answer(prompt, item)} ~{rng.randrange(10**9)}",
        judge=lambda item, text: world.judge(item, _WORDING.sub("", text)),
    )


def random_prompt(world: World, rng: random.Random, share: float) -> str:
    """The base with some of the world's rules, or fluff in their place: what is written without complaints."""
    chosen = rng.sample(world.rules, rng.randint(1, len(world.rules)))
    kept = [rule if rng.random() >= share else fluff_rule(rng) for rule in chosen]
    return "\n".join([BASE, *kept])
