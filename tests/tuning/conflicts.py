"""Tasks of two kinds that want opposite things of one prompt, beside rules of their own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hal9.minds import ScriptedMind
from hal9.minds.protocol import Request
from hal9.promptgram import Promptgram
from hal9.tuning.attempts import Answer
from hal9.tuning.scoring import Scored
from hal9.tuning.tasks import TuningTask

KINDS = {
    "metres": ("amber", "basil", "cedar"),
    "feet": ("delta", "ember", "fjord"),
}
ASKED = {
    "metres": "How high is the {} tower of that European town, for the local council?",
    "feet": "A visitor from Ohio asks about the {} bridge; tell him its length.",
}
THINGS = (
    "old",
    "new",
    "white",
    "long",
    "stone",
    "iron",
    "upper",
    "lower",
    "market",
    "river",
    "north",
    "royal",
)
BASE = Promptgram(id="l2-toy", role="You answer.", policy=("- Be brief.",))


def mixed_tasks(count: int, *, seed: int = 0, first: int = 0) -> list[TuningTask]:
    """Tasks of both kinds in any order; each needs its kind's unit, and one of its kind's words."""
    rng = np.random.default_rng(seed)
    tasks = []
    for number in range(first, first + count):
        kind = list(KINDS)[int(rng.integers(2))]
        word = KINDS[kind][int(rng.integers(len(KINDS[kind])))]
        text = ASKED[kind].format(THINGS[int(rng.integers(len(THINGS)))])
        tasks.append(TuningTask(id=f"t{number}", input=f"{text} ({number})", expected=[kind, word]))
    return tasks


@dataclass
class UnitAnswerer:
    """Names the words it is told to name, in the unit it was told last."""

    calls: int = 0

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        self.calls += 1
        text = promptgram.render()
        units = re.findall(r"Always answer in (\w+)", text)
        return Answer(" ".join([*units[-1:], *re.findall(r"Always name (\w+) in", text)]))


class UnitScorer:
    """Names the first thing that is missing."""

    async def score(self, task: TuningTask, answer: str, *, draw: int) -> Scored:
        missing = [word for word in task.answers if word not in answer.split()]
        return Scored(0.0 if missing else 1.0, f"missing: {missing[0]}" if missing else "right")


def unit_mind() -> ScriptedMind:
    """Writes the rule that each complaint asks for."""

    def reply(request: Request) -> dict[str, object]:
        text = request.messages[-1].content
        found = re.findall(r"## Failure (\d+).*?said:\nmissing: (\w+)", text, re.DOTALL)
        prompt = text.split("# What went wrong")[0]
        edits = []
        for word, number in {word: number for number, word in reversed(found)}.items():
            rule = f"Always answer in {word}." if word in KINDS else f"Always name {word} in the answer."
            other = next(
                (f"Always answer in {unit}." for unit in KINDS if word in KINDS and unit != word), ""
            )
            edit = {"section": "Policy", "edit_type": "append", "target": "", "content": rule}
            if other and other in prompt:
                edit |= {"edit_type": "replace", "target": other}
            edits.append({"failure": int(number), "rationale": "r", **edit})
        return {"diagnosis": "d", "edits": edits[:6]}

    return ScriptedMind(reply, name="scripted:units")


def unit_score(promptgram: Promptgram, tasks: Sequence[TuningTask]) -> list[float]:
    """What each task scores under a prompt."""
    text = promptgram.render()
    units = re.findall(r"Always answer in (\w+)", text)
    said = {*units[-1:], *re.findall(r"Always name (\w+) in", text)}
    return [float(set(task.answers) <= said) for task in tasks]
