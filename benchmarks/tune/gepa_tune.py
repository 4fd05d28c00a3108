"""GEPA on the same world; prints one JSON line. Arguments: count rules seed budget noise fluff."""

import json
import random
import re
import sys
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch
from world import BASE, Item, answer, fluff, items, score, split, true_score, written_rules


class Adapter:
    propose_new_texts = None

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.calls = 0

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        outputs, scores, traces = [], [], []
        for item in batch:
            text = answer(candidate["prompt"])
            value, said = score(item, text, noise=self.noise, draw=self.calls)
            self.calls += 1
            outputs.append(text)
            scores.append(value)
            traces.append((item, text, value, said))
        return EvaluationBatch(
            outputs=outputs, scores=scores, trajectories=traces if capture_traces else None
        )

    def make_reflective_dataset(self, candidate: Any, batch: Any, components: list[str]) -> Any:
        rows = [
            {"Inputs": item.text, "Generated Outputs": text, "Feedback": said if value < 1 else "right"}
            for item, text, value, said in batch.trajectories
        ]
        return dict.fromkeys(components, rows)


def main() -> None:
    count, rules, seed, budget = (int(one) for one in sys.argv[1:5])
    noise, share = float(sys.argv[5]), float(sys.argv[6])
    pool, held = split(items(count, rules=rules, seed=seed), seed)
    rng = random.Random(f"reflect/{seed}")

    def reflect(prompt: Any) -> str:
        text = prompt if isinstance(prompt, str) else str(prompt)
        now = re.search(r"```\n(.*?)\n```", text, re.DOTALL)
        current = now.group(1) if now else BASE
        added = [rule for _, rule in written_rules(text, current, rng, share)]
        return "```\n" + "\n".join([current, *added]) + "\n```"

    train = pool[: round(len(pool) * 0.6)]
    adapter = Adapter(noise)
    result = gepa.optimize(
        {"prompt": BASE}, train, pool[len(train) :], adapter=adapter, reflection_lm=reflect,
        max_metric_calls=budget, seed=seed, use_merge=True,
    )  # fmt: skip
    best = result.best_candidate["prompt"]
    print(json.dumps({"held_out": true_score(held, best), "fluff": fluff(best), "calls": adapter.calls}))


main()
