"""GEPA on a world; prints one JSON line a run. Arguments: world, count, noise, share, budgets, seeds."""

import json
import random
import re
import sys
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch
from worlds import BASE, WORLDS, Item, World, fluff, split


class Adapter:
    propose_new_texts = None

    def __init__(self, world: World, noise: float) -> None:
        self.world = world
        self.noise = noise
        self.calls = 0

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        outputs, scores, traces = [], [], []
        for item in batch:
            text = self.world.answer(candidate["prompt"], item)
            value, said = self.world.score(item, text, noise=self.noise, draw=self.calls)
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


def run(world: World, count: int, noise: float, share: float, budget: int, seed: int) -> dict[str, Any]:
    pool, held = split(world.items(count, seed), seed)
    rng = random.Random(f"reflect/{seed}")

    def reflect(prompt: Any) -> str:
        text = prompt if isinstance(prompt, str) else str(prompt)
        now = re.search(r"```\n(.*?)\n```", text, re.DOTALL)
        current = now.group(1) if now else BASE
        added = [rule for _, rule in world.written(text, current, rng, share)]
        return "```\n" + "\n".join([current, *added]) + "\n```"

    train = pool[: round(len(pool) * 0.6)]
    adapter = Adapter(world, noise)
    result = gepa.optimize(
        {"prompt": BASE}, train, pool[len(train) :], adapter=adapter, reflection_lm=reflect,
        max_metric_calls=budget, seed=seed, use_merge=True,
    )  # fmt: skip
    best = result.best_candidate["prompt"]
    return {"held_out": world.true_score(held, best), "fluff": fluff(best), "calls": adapter.calls}


def main() -> None:
    name, count, noise, share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    for budget in sys.argv[5].split(","):
        for seed in range(int(sys.argv[6])):
            found = run(WORLDS[name], count, noise, share, int(budget), seed)
            print(json.dumps({"budget": int(budget), "seed": seed, **found}), flush=True)


main()
