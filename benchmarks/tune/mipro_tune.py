"""MIPROv2 on a world; prints one JSON line a run. Arguments: world, count, noise, share, budgets, seeds.

MIPROv2 proposes instructions without reading complaints, then searches among them. Its scripted prompt model
draws from the world's own rules (more than a real model could know) and fluff.
"""

import json
import math
import random
import sys
from collections.abc import Iterator
from typing import Any

import dspy
from dspy.utils.dummies import DummyLM
from worlds import BASE, WORLDS, World, fluff, random_prompt, split

MINIBATCH, FULL_EVERY = 8, 5


class Student(dspy.Module):
    """Holds a prompt as its instruction; the world's task model reads it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.predict = dspy.Predict(dspy.Signature("text -> answer", BASE))

    def forward(self, text: str, item: Any) -> Any:
        return dspy.Prediction(answer=self.world.answer(self.predict.signature.instructions, item))


def run(world: World, count: int, noise: float, share: float, budget: int, seed: int) -> dict[str, Any]:
    pool, held = split(world.items(count, seed), seed)
    calls = 0

    def metric(example: Any, made: Any, trace: Any = None) -> float:
        nonlocal calls
        calls += 1
        return world.score(example.item, made.answer, noise=noise, draw=calls)[0]

    def answers() -> Iterator[dict[str, str]]:
        rng = random.Random(f"reflect/{seed}")
        while True:
            yield {"proposed_instruction": random_prompt(world, rng, share)}

    prompts = DummyLM([])
    prompts.answers = answers()
    examples = [dspy.Example(text=item.text, item=item).with_inputs("text", "item") for item in pool]
    train = examples[: round(len(examples) * 0.6)]
    judged = examples[len(train) :]
    # One full evaluation first, one at the end, and one after every so many minibatches.
    trials = max(1, math.floor((budget - 2 * len(judged)) / (MINIBATCH + len(judged) / FULL_EVERY)))
    tuner = dspy.MIPROv2(
        metric, prompt_model=prompts, task_model=prompts, auto=None, num_candidates=max(3, trials // 2),
        max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=1, seed=seed + 1,
    )  # fmt: skip
    found = tuner.compile(
        Student(world), trainset=train, valset=judged, num_trials=trials, minibatch_size=MINIBATCH,
        minibatch_full_eval_steps=FULL_EVERY, program_aware_proposer=False, data_aware_proposer=False,
        tip_aware_proposer=False, fewshot_aware_proposer=False, seed=seed + 1,
    )  # fmt: skip
    best = found.predict.signature.instructions
    return {"held_out": world.true_score(held, best), "fluff": fluff(best), "calls": calls}


def main() -> None:
    name, count, noise, share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    dspy.configure(lm=DummyLM([{"answer": "-"}] * 9))
    for budget in sys.argv[5].split(","):
        for seed in range(int(sys.argv[6])):
            found = run(WORLDS[name], count, noise, share, int(budget), seed)
            print(json.dumps({"budget": int(budget), "seed": seed, **found}), flush=True)


main()
