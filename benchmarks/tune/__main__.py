"""`scripts/bench tune`: held-out score and useless rules at 100, 200 and 400 task calls, five seeds."""

import asyncio
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import click

from benchmarks.report import peer_python, table, write
from benchmarks.tune.world import (
    BASE,
    answer,
    fluff,
    items,
    rule,
    score,
    split,
    true_score,
    written_rules,
)
from hal9.minds import ScriptedMind
from hal9.minds.protocol import Request
from hal9.tuning import TuningTask, tune

COUNT, RULES, SEEDS = 60, 8, 5
GEPA = "gepa==0.1.4"


def reflecting(share: float, seed: int) -> ScriptedMind:
    rng = random.Random(f"reflect/{seed}")

    def reply(request: Request) -> dict[str, Any]:
        text = request.messages[-1].content
        parts = re.split(r"## Failure (\d+)", text)
        complaints = dict(zip(parts[2::2], parts[1::2], strict=True))
        edits = []
        prompt = text.split("# What went wrong")[0]
        for word, content in written_rules(text, prompt, rng, share):
            number = next(
                (int(n) for part, n in complaints.items() if word and f"missing: {word}" in part), 1
            )
            edits.append(
                {
                    "failure": number,
                    "rationale": "-",
                    "section": "Policy",
                    "edit_type": "append",
                    "target": "",
                    "content": content,
                }
            )
        return {"diagnosis": "-", "edits": edits[:6] or [edit_nothing(rng)]}

    return ScriptedMind(reply, name="scripted:world")


def edit_nothing(rng: random.Random) -> dict[str, Any]:
    content = f"Consider point {rng.randrange(10_000)} with care."
    return {
        "failure": 1,
        "rationale": "-",
        "section": "Policy",
        "edit_type": "append",
        "target": "",
        "content": content,
    }


def hal9(seed: int, budget: int, noise: float, share: float) -> dict[str, float]:
    pool, held = split(items(COUNT, rules=RULES, seed=seed), seed)
    known = {item.name: item for item in items(COUNT, rules=RULES, seed=seed)}
    draws: dict[str, int] = {}

    def judge(task: TuningTask, text: str) -> tuple[float, str]:
        draws[task.name] = draws.get(task.name, 0) + 1
        return score(known[task.name], text, noise=noise, draw=draws[task.name])

    async def run() -> dict[str, float]:
        tasks = [TuningTask(id=item.name, input=item.text, judge="named") for item in pool]
        with tempfile.TemporaryDirectory() as folder:
            found = await tune(
                BASE, tasks, mind=lambda prompt, _task: answer(prompt), reflect=reflecting(share, seed),
                score=judge, budget=budget, seed=seed, folder=folder,
            )  # fmt: skip
            prompt = found.after.render()
            return {
                "held_out": true_score(held, prompt),
                "fluff": fluff(prompt),
                "calls": found.search.steps[-1].calls,
            }

    return asyncio.run(run())


def random_search(seed: int, budget: int, noise: float, share: float) -> dict[str, float]:
    """Prompts of random rules (right ones and fluff), each measured on all tasks of the pool; the best is kept."""
    pool, held = split(items(COUNT, rules=RULES, seed=seed), seed)
    rng = random.Random(f"random/{seed}")
    best, best_score, calls = BASE, -1.0, 0
    while calls + len(pool) <= budget:
        chosen = [rule(f"{item.needs[0]}") for item in rng.sample(pool, 4)]
        chosen = [
            one if rng.random() >= share else f"Consider point {rng.randrange(10_000)} with care."
            for one in chosen
        ]
        prompt = "\n".join([BASE, *dict.fromkeys(chosen)])
        found = mean(
            score(item, answer(prompt), noise=noise, draw=(calls, n))[0] for n, item in enumerate(pool)
        )
        calls += len(pool)
        if found > best_score:
            best, best_score = prompt, found
    return {"held_out": true_score(held, best), "fluff": fluff(best), "calls": calls}


def peer(python: Path, seed: int, budget: int, noise: float, share: float) -> dict[str, float]:
    arguments = [str(one) for one in (COUNT, RULES, seed, budget, noise, share)]
    done = subprocess.run(
        [str(python), "gepa_tune.py", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    return found


@click.command()
@click.option("--seeds", default=SEEDS)
@click.option("--budgets", default="100,200,400")
def main(seeds: int, budgets: str) -> None:
    python = peer_python("tune", GEPA)
    rows, figures = [], []
    for noise, share in ((0.0, 0.0), (0.0, 0.3), (0.3, 0.3)):
        for budget in (int(one) for one in budgets.split(",")):
            runs: dict[str, list[dict[str, float]]] = {"HAL9": [], "GEPA": [], "random": []}
            for seed in range(seeds):
                runs["HAL9"].append(hal9(seed, budget, noise, share))
                runs["GEPA"].append(peer(python, seed, budget, noise, share))
                runs["random"].append(random_search(seed, budget, noise, share))
            figures.append({"noise": noise, "fluff": share, "budget": budget, "runs": runs})
            cells = [
                f"{mean(r['held_out'] for r in found):.2f} / {mean(r['fluff'] for r in found):.1f}"
                for found in runs.values()
            ]
            rows.append(
                [f"scores turned over {noise:.0%}, useless ideas {share:.0%}, {budget} calls", *cells]
            )
            print(rows[-1], flush=True)
    table("held-out score / useless rules in the winner", ["", "HAL9", "GEPA", "random search"], rows)
    write("tune", {"items": COUNT, "rules": RULES, "seeds": seeds, "peer": GEPA}, figures)


if __name__ == "__main__":
    main()
