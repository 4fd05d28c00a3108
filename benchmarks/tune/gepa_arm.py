"""GEPA; prints one JSON line a run.

python gepa_arm.py world NAME COUNT NOISE SHARE BUDGETS SEEDS
python gepa_arm.py real SET BUDGET SEED FILE_OF_ANSWERS
"""

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch
from real.asking import Model
from real.sets import SETS
from worlds import BASE, World, fluff, split, world_named

REFLECTION_TOKENS = 1500


class Adapter:
    """Any task model and any judge as GEPA wants them.

    Args:
        answer: from a prompt and an item to the task model's text.
        judge: from an item, a text and the number of the call to the score and what was said.
    """

    propose_new_texts = None

    def __init__(
        self, answer: Callable[[str, Any], str], judge: Callable[[Any, str, int], tuple[float, str]]
    ) -> None:
        self.answer = answer
        self.judge = judge
        self.calls = 0

    def evaluate(self, batch: list[Any], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        outputs, scores, traces = [], [], []
        for item in batch:
            text = self.answer(candidate["prompt"], item)
            value, said = self.judge(item, text, self.calls)
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


def tuned(
    base: str, pool: list[Any], adapter: Adapter, reflect: Callable[[str], str], budget: int, seed: int
) -> str:
    """The best prompt: 60% of the pool to learn from, the rest to choose by."""
    train = pool[: round(len(pool) * 0.6)]
    result = gepa.optimize(
        {"prompt": base}, train, pool[len(train) :], adapter=adapter,
        reflection_lm=lambda prompt: reflect(prompt if isinstance(prompt, str) else str(prompt)),
        max_metric_calls=budget, seed=seed, use_merge=True, display_progress_bar=False,
    )  # fmt: skip
    return str(result.best_candidate["prompt"])


def on_world(world: World, count: int, noise: float, share: float, budget: int, seed: int) -> dict[str, Any]:
    pool, held = split(world.items(count, seed), seed)
    rng = random.Random(f"reflect/{seed}")

    def reflect(text: str) -> str:
        now = re.search(r"```\n(.*?)\n```", text, re.DOTALL)
        current = now.group(1) if now else BASE
        added = [rule for _, rule in world.written(text, current, rng, share)]
        return "```\n" + "\n".join([current, *added]) + "\n```"

    adapter = Adapter(world.answer, lambda item, text, call: world.score(item, text, noise=noise, draw=call))
    best = tuned(BASE, pool, adapter, reflect, budget, seed)
    return {"held_out": world.true_score(held, best), "fluff": fluff(best), "calls": adapter.calls}


def on_real(name: str, budget: int, seed: int, kept: Path) -> dict[str, Any]:
    real, task, reflecting = SETS[name], Model("TASK", kept), Model("REFLECT", kept)
    pool, held = real.split(seed)
    asked = 0

    def reflect(text: str) -> str:
        nonlocal asked
        asked += 1
        number = seed * 7919 + asked
        return reflecting.ask("", text, max_tokens=REFLECTION_TOKENS, temperature=0.7, seed=number)

    adapter = Adapter(
        lambda prompt, item: task.ask(prompt, item.text, max_tokens=real.max_tokens),
        lambda item, text, _: real.judge(item, text),
    )
    best = tuned(real.base, pool, adapter, reflect, budget, seed)
    calls = adapter.calls
    score = sum(adapter.evaluate(held, {"prompt": best}).scores) / len(held)
    words = len(re.findall(r"\S+", best))
    return {"held_out": score, "words": words, "calls": calls, "reflections": asked, "prompt": best}


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
