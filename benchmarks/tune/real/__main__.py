"""`python -m benchmarks.tune.real`: held-out score on real sets with local models; goes on where it was stopped.

Every answer is kept in a file and every finished run in another, so it may be ended and begun again at will.
"""

import asyncio
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import mean
from typing import Any

import click

from benchmarks.report import RESULTS, peer_python, table, write
from benchmarks.tune.real.asking import Model
from benchmarks.tune.real.sets import SETS, Item, RealSet
from hal9.minds import open_mind
from hal9.minds.local.models import installed
from hal9.minds.local.server_handle import LocalServer, LocalSettings, acquire, release
from hal9.tuning import TuningTask, tune

PEERS = ("gepa==0.1.4", "dspy==3.4.1", "optuna==5.0.0")
Run = dict[str, Any]
_SHOWN = 3


def _score(real: RealSet, model: Model, prompt: str, items: list[Item]) -> float:
    return mean(
        real.judge(item, model.ask(prompt, item.text, max_tokens=real.max_tokens))[0] for item in items
    )


def _run(prompt: str, score: float, calls: int, asked: int) -> Run:
    words = len(re.findall(r"\S+", prompt))
    return {"held_out": score, "words": words, "calls": calls, "reflections": asked, "prompt": prompt}


def as_it_is(real: RealSet, budget: int, seed: int, folder: Path) -> Run:
    """The prompt that everybody begins with."""
    _, held = real.split(seed)
    return _run(real.base, _score(real, Model("TASK", folder / "kept.sqlite"), real.base, held), 0, 0)


def hal9(real: RealSet, budget: int, seed: int, folder: Path) -> Run:
    """`tune`, its record in a folder of its own."""
    pool, held = real.split(seed)
    known = {item.name: item for item in pool}
    model = Model("TASK", folder / "kept.sqlite")
    tasks = [TuningTask(id=item.name, input=item.text, judge="named") for item in pool]
    place = folder / f"hal9-{real.name}-{budget}-{seed}"

    async def run() -> Run:
        async with open_mind(f"local:{os.environ['HAL9_TUNE_MODEL_REFLECT']}") as reflect:
            found = await tune(
                real.base, tasks,
                mind=lambda prompt, task: model.ask(prompt, task.input, max_tokens=real.max_tokens),
                reflect=reflect, score=lambda task, text: real.judge(known[task.name], text),
                budget=budget, seed=seed, folder=place,
            )  # fmt: skip
        prompt = found.after.render()
        return _run(prompt, _score(real, model, prompt, held), found.search.steps[-1].calls, found.proposals)

    return asyncio.run(run())


def random_search(real: RealSet, budget: int, seed: int, folder: Path) -> Run:
    """Prompts that the reflecting model writes from examples, each measured on all tasks; the best is kept."""
    pool, held = real.split(seed)
    model, reflecting = Model("TASK", folder / "kept.sqlite"), Model("REFLECT", folder / "kept.sqlite")
    rng = random.Random(f"random/{seed}")
    best, best_score, calls, asked = real.base, -1.0, 0, 0
    while calls + len(pool) <= budget:
        prompt = real.base
        if calls:
            shown = "\n\n".join(
                f"Task: {item.text}\nWhat a right answer needs: {'; '.join(item.facts.values())}"
                for item in rng.sample(pool, _SHOWN)
            )
            asked += 1
            prompt = reflecting.ask(
                "", f"Here is a prompt:\n{real.base}\n\nTasks it is used for:\n\n{shown}\n\nWrite a better prompt "
                "for tasks of this kind. Answer with the new prompt only.",
                max_tokens=400, temperature=1.0, seed=seed * 7919 + asked,
            ).strip()  # fmt: skip
        found = _score(real, model, prompt, pool)
        calls += len(pool)
        if found > best_score:
            best, best_score = prompt, found
    return _run(best, _score(real, model, best, held), calls, asked)


def peer(script: str) -> Callable[[RealSet, int, int, Path], Run]:
    """A peer's run in an environment of its own."""

    def run(real: RealSet, budget: int, seed: int, folder: Path) -> Run:
        python = peer_python("tune", *PEERS)
        arguments = ["real", real.name, str(budget), str(seed), str((folder / "kept.sqlite").resolve())]
        done = subprocess.run(
            [str(python), script, *arguments],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise click.ClickException(f"{script}: {done.stderr[-2000:]}")
        return dict(
            json.loads(next(line for line in done.stdout.split("\n") if line.startswith('{"held_out"')))
        )

    return run


ARMS: dict[str, Callable[[RealSet, int, int, Path], Run]] = {
    "as it is": as_it_is,
    "HAL9": hal9,
    "GEPA": peer("gepa_arm.py"),
    "MIPROv2": peer("mipro_arm.py"),
    "random search": random_search,
}


def _serve(stack: ExitStack, role: str, name: str) -> None:
    """A local model's server, and where it is, in the environment (peers are processes of their own)."""
    settings = LocalSettings(model=name, threads=2, context_tokens=6144, parallel=1)
    path = installed(name)
    server: LocalServer = acquire(f"local:{name}", path, settings)
    stack.callback(release, path, settings, server)
    address = server.ensure()
    for key, value in (("MODEL", name), ("URL", address.url), ("KEY", address.key)):
        os.environ[f"HAL9_TUNE_{key}_{role}"] = value


@click.command()
@click.option("--task", default="qwen2.5-coder-0.5b", help="The model that does tasks.")
@click.option("--reflect", default="qwen2.5-coder-1.5b", help="The model that reflects, for all arms.")
@click.option("--sets", "chosen", default="sections,family")
@click.option("--budgets", default="100")
@click.option("--seeds", default=1)
@click.option("--arms", default=",".join(ARMS))
def main(task: str, reflect: str, chosen: str, budgets: str, seeds: int, arms: str) -> None:
    """Run what is not there yet, one seed of all arms after the other, and show all there is."""
    folder = RESULTS / "tune-real" / f"{task}--{reflect}"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "runs.json"
    runs: dict[str, Run] = json.loads(record.read_text()) if record.is_file() else {}
    with ExitStack() as stack:
        _serve(stack, "TASK", task)
        _serve(stack, "REFLECT", reflect)
        for seed in range(seeds):
            for budget in (int(one) for one in budgets.split(",")):
                for name in chosen.split(","):
                    for arm in arms.split(","):
                        key = f"{name}/{budget}/{arm}/{seed}"
                        if key in runs:
                            continue
                        begun = time.monotonic()
                        runs[key] = ARMS[arm](SETS[name], budget, seed, folder)
                        record.write_text(json.dumps(runs, indent=1))
                        told = {one: runs[key][one] for one in ("held_out", "words", "calls", "reflections")}
                        print(key, told, f"{time.monotonic() - begun:.0f} s", flush=True)
    _show(task, reflect, runs)


def _show(task: str, reflect: str, runs: dict[str, Run]) -> None:
    rows = []
    for where in dict.fromkeys("/".join(key.split("/")[:2]) for key in runs):
        cells = []
        for arm in ARMS:
            found = [one for key, one in runs.items() if key.startswith(f"{where}/{arm}/")]
            score = mean(one["held_out"] for one in found) if found else None
            cells.append("-" if score is None else f"{score:.2f} ({len(found)})")
        rows.append([where, *cells])
    table(f"{task} does tasks, {reflect} reflects: held-out score (seeds)", ["", *ARMS], rows)
    write("tune-real", {"task": task, "reflect": reflect, "peers": PEERS}, runs)


if __name__ == "__main__":
    main()
