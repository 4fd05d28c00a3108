"""GEPA on a real set; prints one JSON line. Arguments: set, budget, seed, file of answers."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import gepa
from asking import Model
from gepa.core.adapter import EvaluationBatch
from sets import SETS, Item, RealSet

REFLECTION_TOKENS = 1500


class Adapter:
    propose_new_texts = None

    def __init__(self, real: RealSet, model: Model) -> None:
        self.real = real
        self.model = model
        self.calls = 0

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        outputs, scores, traces = [], [], []
        for item in batch:
            text = self.model.ask(candidate["prompt"], item.text, max_tokens=self.real.max_tokens)
            value, said = self.real.judge(item, text)
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
    real, budget, seed, kept = SETS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    pool, held = real.split(seed)
    adapter, reflecting = Adapter(real, Model("TASK", kept)), Model("REFLECT", kept)
    asked = 0

    def reflect(prompt: Any) -> str:
        nonlocal asked
        asked += 1
        text = prompt if isinstance(prompt, str) else str(prompt)
        return reflecting.ask(
            "", text, max_tokens=REFLECTION_TOKENS, temperature=0.7, seed=seed * 7919 + asked
        )

    train = pool[: round(len(pool) * 0.6)]
    result = gepa.optimize(
        {"prompt": real.base}, train, pool[len(train) :], adapter=adapter, reflection_lm=reflect,
        max_metric_calls=budget, seed=seed, use_merge=True, display_progress_bar=False,
    )  # fmt: skip
    best = result.best_candidate["prompt"]
    calls = adapter.calls
    score = sum(adapter.evaluate(held, {"prompt": best}).scores) / len(held)
    words = len(re.findall(r"\S+", best))
    print(
        json.dumps({"held_out": score, "words": words, "calls": calls, "reflections": asked, "prompt": best})
    )


main()
