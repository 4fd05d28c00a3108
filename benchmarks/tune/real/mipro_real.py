"""MIPROv2 over instructions on a real set; prints one JSON line. Arguments: set, budget, seed, file of answers."""

import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
from asking import Model
from sets import SETS, RealSet

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

    def __init__(self, real: RealSet, model: Model) -> None:
        super().__init__()
        self.real = real
        self.model = model
        self.calls = 0
        self.predict = dspy.Predict(dspy.Signature("text -> answer", real.base))

    def forward(self, text: str) -> Any:
        told = self.predict.signature.instructions
        return dspy.Prediction(answer=self.model.ask(told, text, max_tokens=self.real.max_tokens))


def main() -> None:
    real, budget, seed, kept = SETS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    pool, held = real.split(seed)
    items = {item.text: item for item in pool}
    prompts = Reflecting(Model("REFLECT", kept), seed)
    dspy.configure(lm=prompts)
    calls = 0

    def metric(example: Any, made: Any, trace: Any = None) -> float:
        nonlocal calls
        calls += 1
        return real.judge(items[example.text], made.answer)[0]

    def example(item: Any) -> Any:
        wanted = item.facts.get("answer") or ", ".join(item.facts.values())
        return dspy.Example(text=item.text, answer=wanted).with_inputs("text")

    examples = [example(item) for item in pool]
    train = examples[: round(len(examples) * 0.6)]
    judged = examples[len(train) :]
    # One full evaluation first, one at the end, and one after every so many minibatches.
    trials = max(1, math.floor((budget - 2 * len(judged)) / (MINIBATCH + len(judged) / FULL_EVERY)))
    tuner = dspy.MIPROv2(
        metric, prompt_model=prompts, task_model=prompts, auto=None, num_candidates=max(3, trials // 2),
        max_bootstrapped_demos=0, max_labeled_demos=0, num_threads=1, seed=seed + 1,
    )  # fmt: skip
    found = tuner.compile(
        Student(real, Model("TASK", kept)), trainset=train, valset=judged, num_trials=trials,
        minibatch_size=MINIBATCH, minibatch_full_eval_steps=FULL_EVERY, program_aware_proposer=False,
        fewshot_aware_proposer=False, seed=seed + 1,
    )  # fmt: skip
    best = found.predict.signature.instructions
    spent = calls
    answering = Student(real, Model("TASK", kept))
    answering.predict.signature = answering.predict.signature.with_instructions(best)
    score = sum(real.judge(item, answering(text=item.text).answer)[0] for item in held) / len(held)
    words = len(re.findall(r"\S+", best))
    print(
        json.dumps(
            {"held_out": score, "words": words, "calls": spent, "reflections": prompts.asked, "prompt": best}
        )
    )


main()
