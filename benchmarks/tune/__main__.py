"""`scripts/bench tune`: held-out score and useless rules at 100, 200 and 400 task calls, five seeds, three worlds."""

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
from benchmarks.tune.worlds import BASE, WORLDS, World, fluff, fluff_rule, random_prompt, split, world_named
from hal9.minds import ScriptedMind
from hal9.minds.protocol import Request
from hal9.tuning import TuningTask, tune

COUNT, SEEDS = 60, 5
PEERS = ("gepa==0.1.4", "dspy==3.4.1", "optuna==5.0.0")
SETTINGS = ((0.0, 0.0), (0.0, 0.3), (0.3, 0.3))
Run = dict[str, float]


def reflecting(world: World, share: float, seed: int) -> ScriptedMind:
    """Writes what the world's reflecting model writes, as edits; each answers the failure it was complained of."""
    rng = random.Random(f"reflect/{seed}")

    def reply(request: Request) -> dict[str, Any]:
        text = request.messages[-1].content
        parts = re.split(r"## Failure (\d+)", text)
        failures = dict(zip(parts[1::2], parts[2::2], strict=True))
        prompt = text.split("# What went wrong")[0]
        made = world.written(text, prompt, rng, share) or [("", fluff_rule(rng))]
        edits = [
            {
                "failure": next((int(n) for n, part in failures.items() if said and said in part), 1),
                "rationale": "-",
                "section": "Policy",
                "edit_type": "append",
                "target": "",
                "content": content,
            }
            for said, content in made[:6]
        ]
        return {"diagnosis": "-", "edits": edits}

    return ScriptedMind(reply, name="scripted:world")


def hal9(world: World, noise: float, share: float, budget: int, seed: int) -> Run:
    pool, held = split(world.items(COUNT, seed), seed)
    known = {item.name: item for item in pool}
    draws: dict[str, int] = {}

    def judge(task: TuningTask, text: str) -> tuple[float, str]:
        draws[task.name] = draws.get(task.name, 0) + 1
        return world.score(known[task.name], text, noise=noise, draw=draws[task.name])

    async def run() -> Run:
        tasks = [TuningTask(id=item.name, input=item.text, judge="named") for item in pool]
        with tempfile.TemporaryDirectory() as folder:
            found = await tune(
                BASE, tasks, mind=lambda prompt, task: world.answer(prompt, known[task.name]),
                reflect=reflecting(world, share, seed), score=judge, budget=budget, seed=seed, folder=folder,
            )  # fmt: skip
            prompt = found.after.render()
            return {
                "held_out": world.true_score(held, prompt),
                "fluff": fluff(prompt),
                "calls": found.search.steps[-1].calls,
            }

    return asyncio.run(run())


def random_search(world: World, noise: float, share: float, budget: int, seed: int) -> Run:
    """Prompts of random rules, each measured on all tasks of the pool; the best is kept."""
    pool, held = split(world.items(COUNT, seed), seed)
    rng = random.Random(f"random/{seed}")
    best, best_score, calls = BASE, -1.0, 0
    while calls + len(pool) <= budget:
        prompt = random_prompt(world, rng, share)
        found = mean(
            world.score(item, world.answer(prompt, item), noise=noise, draw=(calls, n))[0]
            for n, item in enumerate(pool)
        )
        calls += len(pool)
        if found > best_score:
            best, best_score = prompt, found
    return {"held_out": world.true_score(held, best), "fluff": fluff(best), "calls": calls}


def peer(
    python: Path, script: str, world: World, setting: tuple[float, float], budgets: str, seeds: int
) -> dict[int, list[Run]]:
    """All runs of a peer in one world, by budget."""
    arguments = ["world", world.name, *(str(one) for one in (COUNT, *setting)), budgets, str(seeds)]
    done = subprocess.run(
        [str(python), script, *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[int, list[Run]] = {}
    for line in done.stdout.split("\n"):
        if line.startswith('{"budget"'):
            run = json.loads(line)
            found.setdefault(run.pop("budget"), []).append(run)
    return found


@click.command()
@click.option("--seeds", default=SEEDS)
@click.option("--budgets", default="100,200,400")
@click.option("--worlds", default=",".join(WORLDS))
def main(seeds: int, budgets: str, worlds: str) -> None:
    python = peer_python("tune", *PEERS)
    rows, figures = [], []
    for world in (world_named(name) for name in worlds.split(",")):
        for noise, share in SETTINGS:
            gepa = peer(python, "gepa_arm.py", world, (noise, share), budgets, seeds)
            mipro = peer(python, "mipro_arm.py", world, (noise, share), budgets, seeds)
            for budget in (int(one) for one in budgets.split(",")):
                ours = [hal9(world, noise, share, budget, seed) for seed in range(seeds)]
                drawn = [random_search(world, noise, share, budget, seed) for seed in range(seeds)]
                runs = {"HAL9": ours, "GEPA": gepa[budget], "MIPROv2": mipro[budget], "random": drawn}
                where = {"world": world.name, "noise": noise, "fluff": share, "budget": budget}
                figures.append({**where, "runs": runs})
                cells = [
                    f"{mean(r['held_out'] for r in found):.2f} / {mean(r['fluff'] for r in found):.1f}"
                    for found in runs.values()
                ]
                rows.append([f"{world.name}, noise {noise:.0%}, useless {share:.0%}, {budget}", *cells])
                print(rows[-1], flush=True)
    columns = ["", "HAL9", "GEPA", "MIPROv2", "random search"]
    table("held-out score / useless rules in the winner", columns, rows)
    write("tune", {"items": COUNT, "seeds": seeds, "peers": PEERS}, figures)


if __name__ == "__main__":
    main()
