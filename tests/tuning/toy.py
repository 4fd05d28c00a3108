"""A toy world: hidden rules that tasks need, a task model that follows the rules it is told, a mind that reflects.

Task `k` needs some of the hidden rules. The task model's answer names the rules that its prompt holds. The
check says which one it misses. The reflecting mind reads that, and now and then writes a rule that is fluff.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from hal9.minds import ScriptedMind
from hal9.minds.protocol import Request
from hal9.promptgram import Promptgram
from hal9.tuning.attempts import Answer
from hal9.tuning.scoring import Scored
from hal9.tuning.tasks import TuningTask

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
BASE = Promptgram.parse(
    '+++\nid = "l2-toy"\nversion = 1\nlayer = 2\n+++\n\n## Role\n\nYou answer.\n\n## Policy\n\n- Be brief.\n'
)


def rule(word: str) -> str:
    return f"Always name {word} in the answer."


def toy_tasks(count: int, *, rules: int = 8, seed: int = 0) -> list[TuningTask]:
    """Tasks that need one or two rules each."""
    rng = np.random.default_rng(seed)
    tasks = []
    for number in range(count):
        needed = sorted(rng.choice(rules, size=int(rng.integers(1, 3)), replace=False))
        tasks.append(
            TuningTask(id=f"t{number}", input=f"Question {number}", expected=[WORDS[i] for i in needed])
        )
    return tasks


@dataclass
class ToyAnswerer:
    """Names the words that its prompt tells it to name."""

    calls: int = 0
    asked: list[tuple[str, str, int]] = field(default_factory=list)

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        self.calls += 1
        self.asked.append((promptgram.content_hash, task.name, draw))
        return Answer(" ".join(re.findall(r"Always name (\w+) in", promptgram.render())))


@dataclass
class ToyScorer:
    """Every needed word must be named; with `noise`, a score is turned over now and then."""

    noise: float = 0.0
    seed: int = 0

    async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
        missing = [word for word in task.answers if word not in answer.split()]
        score = 0.0 if missing else 1.0
        digest = sha256(f"{self.seed}/{task.name}/{draw}/{answer}".encode()).digest()
        if int.from_bytes(digest[:4]) / 2**32 < self.noise:
            score = 1.0 - score
        return Scored(score, f"missing: {missing[0]}" if missing else "something was not right")


def reflecting_mind(*, fluff: float = 0.0, seed: int = 0) -> ScriptedMind:
    """Writes the rule that the feedback asks for; with chance `fluff`, or without a hint, one that helps nobody."""
    rng = np.random.default_rng(seed)

    def reply(request: Request) -> dict[str, object]:
        text = request.messages[-1].content
        found = re.findall(r"## Failure (\d+).*?said:\n(?:missing: (\w+))?", text, re.DOTALL)
        missing = {word: int(number) for number, word in reversed(found) if word}
        edits = []
        for word, number in (missing or {"": 1}).items():
            content = rule(word)
            if not word or rng.random() < fluff:
                content = f"Consider point {int(rng.integers(10_000))} with care."
            if content not in text.split("# What went wrong")[0]:
                edits.append(
                    {
                        "failure": number,
                        "rationale": "r",
                        "section": "Policy",
                        "edit_type": "append",
                        "target": "",
                        "content": content,
                    }
                )
        edits = edits or [
            {
                "failure": 1,
                "rationale": "r",
                "section": "Policy",
                "edit_type": "append",
                "target": "",
                "content": f"Consider point {int(rng.integers(10_000))} with care.",
            }
        ]
        return {"diagnosis": "d", "edits": edits[:6]}

    return ScriptedMind(reply, name="scripted:toy")


def solved(promptgram: Promptgram, tasks: Sequence[TuningTask]) -> float:
    """Share of tasks that a prompt solves, without noise."""
    told = set(re.findall(r"Always name (\w+) in", promptgram.render()))
    return sum(set(task.answers) <= told for task in tasks) / len(tasks)


def fluff_in(promptgram: Promptgram) -> int:
    return len(re.findall(r"Consider point", promptgram.render()))
