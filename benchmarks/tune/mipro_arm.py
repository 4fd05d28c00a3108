"""MIPROv2 over instructions; prints one JSON line a run.

    python mipro_arm.py world NAME COUNT NOISE SHARE BUDGETS SEEDS
    python mipro_arm.py real SET BUDGET SEED FILE_OF_ANSWERS

MIPROv2 proposes instructions without reading complaints, then searches among them. On a world its scripted prompt
model draws from the world's own rules (more than a real model could know) and fluff.
"""

import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
from dspy.utils.dummies import DummyLM
from real.asking import Model
from real.sets import SETS
from worlds import BASE, World, fluff, random_prompt, split, world_named

MINIBATCH, FULL_EVERY = 8, 5


class Reflecting(dspy.BaseLM):
    """The reflecting model as MIPROv2's prompt model."""

    def __init__(self, model: Model, seed: int) -> None:
        super().__init__(model=model.name, temperature=0.7, max_tokens=1500, cache=False)
        self.asking = model
        self.seed = seed
        self.asked = 0

    def forward(self, prompt: str | None = None, messages: Any = None, **settings: Any) -> Any:
        self.asked += 1
        turns = messages or [{"role": "user", "content": prompt}]
        temperature = settings.get("temperature") or 0.7
        text = self.asking.chat(turns, 1500, float(temperature), self.seed * 7919 + self.asked)
        message = SimpleNamespace(content=text, tool_calls=None, reasoning_content=None)
        choice = SimpleNamespace(message=message, finish_reason="stop", logprobs=None)
        return SimpleNamespace(choices=[choice], usage={}, model=self.model)


class Student(dspy.Module):
    """Holds a prompt as its instruction; the task model reads it and nothing else."""

    def __init__(self, base: str, answer: Callable[[str, str], str]) -> None:
        super().__init__()
        self.answer = answer
        self.predict = dspy.Predict(dspy.Signature("text -> answer", base))

    def forward(self, text: str) -> Any:
        return dspy.Prediction(answer=self.answer(self.predict.signature.instructions, text))


def tuned(
    student: Student, examples: list[Any], judge: Callable[[str, str, int], float], lm: Any, budget: int,
    seed: int, **proposer: bool,
) -> tuple[str, int]:  # fmt: skip
    """The best instruction and the task calls it took; 60% of the examples to learn from, the rest to choose by."""
    calls = 0

    def metric(example: Any, made: Any, trace: Any = None) -> float:
        nonlocal calls
        calls += 1
        return judge(example.text, made.answer, calls)

    train = examples[: round(len(examples) * 0.6)]
    judged = examples[len(train) :]
    # One full evaluation first, one at the end, and one after every so many minibatches.
    trials = max(1, math.floor((budget - 2 * len(judged)) / (MINIBATCH + len(judged) / FULL_EVERY)))
    tuner = dspy.MIPROv2(
        metric, prompt_model=lm, task_model=lm, auto=None, num_candidates=max(3, trials // 2),
        max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=1, seed=seed + 1,
    )  # fmt: skip
    found = tuner.compile(
        student, trainset=train, valset=judged, num_trials=trials, minibatch_size=MINIBATCH,
        minibatch_full_eval_steps=FULL_EVERY, program_aware_proposer=False, fewshot_aware_proposer=False,
        seed=seed + 1, **proposer,
    )  # fmt: skip
    return str(found.predict.signature.instructions), calls


def on_world(world: World, count: int, noise: float, share: float, budget: int, seed: int) -> dict[str, Any]:
    pool, held = split(world.items(count, seed), seed)

    def answers() -> Iterator[dict[str, str]]:
        rng = random.Random(f"reflect/{seed}")
        while True:
            yield {"proposed_instruction": random_prompt(world, rng, share)}

    known = {item.text: item for item in pool}
    lm = DummyLM([])
    lm.answers = answers()
    dspy.configure(lm=DummyLM([{"answer": "-"}] * 9))
    best, calls = tuned(
        Student(BASE, lambda prompt, text: world.answer(prompt, known[text])),
        [dspy.Example(text=text).with_inputs("text") for text in known],
        lambda text, made, call: world.score(known[text], made, noise=noise, draw=call)[0],
        lm,
        budget,
        seed,
        data_aware_proposer=False,
        tip_aware_proposer=False,
    )
    return {"held_out": world.true_score(held, best), "fluff": fluff(best), "calls": calls}


def on_real(name: str, budget: int, seed: int, kept: Path) -> dict[str, Any]:
    real, task = SETS[name], Model("TASK", kept)
    pool, held = real.split(seed)
    lm = Reflecting(Model("REFLECT", kept), seed)
    dspy.configure(lm=lm)

    known = {item.text: item for item in pool}

    def answer(prompt: str, text: str) -> str:
        return task.ask(prompt, text, max_tokens=real.max_tokens)

    def example(item: Any) -> Any:
        wanted = item.facts.get("answer") or ", ".join(item.facts.values())
        return dspy.Example(text=item.text, answer=wanted).with_inputs("text")

    best, calls = tuned(
        Student(real.base, answer),
        [example(item) for item in pool],
        lambda text, made, _: real.judge(known[text], made)[0],
        lm,
        budget,
        seed,
    )
    score = sum(real.judge(item, answer(best, item.text))[0] for item in held) / len(held)
    words = len(re.findall(r"\S+", best))
    return {"held_out": score, "words": words, "calls": calls, "reflections": lm.asked, "prompt": best}


def main() -> None:
    kind, name, *rest = sys.argv[1:]
    if kind == "real":
        print(json.dumps(on_real(name, int(rest[0]), int(rest[1]), Path(rest[2]))), flush=True)
        return
    count, noise, share, budgets, seeds = rest
    for budget in (int(one) for one in budgets.split(",")):
        for seed in range(int(seeds)):
            found = on_world(world_named(name), int(count), float(noise), float(share), budget, seed)
            print(json.dumps({"budget": budget, "seed": seed, **found}), flush=True)


main()
