"""How fast, how large and how soon ready each installed local model is.

    python -m benchmarks.minds.models [--threads 1 2] [--repeats 3] [--names qwen2.5-coder-0.5b]

For each model and thread count: seconds until the first answer is possible, prompt and generation tokens
a second, seconds for a second question behind the same instructions, and the server's largest resident size.
The peer is the same library called in this process, without the child, HTTP or the shared server.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hal9.minds import LocalMind, LocalSettings, Message, Request, is_installed
from hal9.minds.local.models import models

RESULTS = Path(__file__).parents[1] / "results"
GENERATED = 64
QUESTION = "Write a function that parses a CSV line."
INSTRUCTIONS = "You are a careful Python engineer who answers with code and short comments. " * 25


def _request(salt: str, question: str, tokens: int = GENERATED) -> Request:
    system = Message("system", f"{salt} {INSTRUCTIONS}")
    return Request((system, Message("user", question)), max_tokens=tokens, temperature=0.0, seed=1)


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmHWM")


async def measure(name: str, threads: int, repeats: int) -> dict[str, float]:
    """Medians over `repeats` fresh prompts on one server."""
    prompt, generation, again, cached = [], [], [], []
    async with LocalMind(LocalSettings(model=name, threads=threads)) as mind:
        began = time.perf_counter()
        await mind.warm()
        ready = time.perf_counter() - began
        for number in range(repeats):
            one = await mind.think(_request(f"Run {number}.", "Say yes.", tokens=1))
            full = await mind.think(_request(f"Run {number}.", QUESTION))
            # The second call finds the instructions computed, so its time is nearly all generation.
            prompt.append((one.usage.prompt_tokens - one.usage.cached_tokens) / one.usage.seconds)
            generation.append(full.usage.completion_tokens / full.usage.seconds)
            follow = await mind.think(_request(f"Run {number}.", "Say no.", tokens=1))
            again.append(follow.usage.seconds)
            cached.append(follow.usage.cached_tokens / follow.usage.prompt_tokens)
        pid = mind.server_pid
        assert pid is not None
        peak = _peak_mb(pid)
    return {
        "ready_s": ready,
        "prompt_tokens_s": statistics.median(prompt),
        "generated_tokens_s": statistics.median(generation),
        "same_prefix_s": statistics.median(again),
        "prefix_cached": statistics.median(cached),
        "peak_rss_mb": peak,
    }


_IN_PROCESS = textwrap.dedent("""
    import json, statistics, sys, time
    import xllamacpp
    path, threads, repeats, instructions, tokens = json.loads(sys.argv[1])
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 16384, 2, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    def ask(salt, question, count):
        body = {"messages": [{"role": "system", "content": salt + " " + instructions},
                {"role": "user", "content": question}], "max_tokens": count, "temperature": 0.0, "seed": 1}
        began = time.perf_counter()
        usage = server.handle_chat_completions(body)["usage"]
        return usage["completion_tokens"] / (time.perf_counter() - began)
    speeds = []
    for number in range(repeats):
        ask(f"Run {number}.", "Say yes.", 1)
        speeds.append(ask(f"Run {number}.", "Write a function that parses a CSV line.", tokens))
    print(json.dumps(statistics.median(speeds)))
""")


def in_process(path: Path, threads: int, repeats: int) -> float:
    """Generated tokens a second of the peer."""
    arguments = json.dumps([str(path), threads, repeats, INSTRUCTIONS, GENERATED])
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _IN_PROCESS, arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--names", nargs="+", default=[model.name for model in models() if is_installed(model)]
    )
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    header = f"{'model':22} thr  ready s  prompt/s  gen/s  vs in-process  same prefix s  cached  RSS MB"
    print(header)
    for model in models():
        if model.name not in chosen.names:
            continue
        for threads in chosen.threads:
            row = asyncio.run(measure(model.name, threads, chosen.repeats))
            peer = in_process(model.path, threads, chosen.repeats)
            row["in_process_generated_tokens_s"] = peer
            rows.append({"model": model.name, "threads": threads, "load": os.getloadavg()[0], **row})
            print(
                f"{model.name:22} {threads:3d} {row['ready_s']:8.2f} {row['prompt_tokens_s']:9.0f}"
                f" {row['generated_tokens_s']:6.1f} {row['generated_tokens_s'] / peer:14.2f}"
                f" {row['same_prefix_s']:14.2f} {row['prefix_cached']:7.2f} {row['peak_rss_mb']:7.0f}",
                flush=True,
            )
            _write(rows, chosen.repeats)


def _write(rows: list[dict[str, Any]], repeats: int) -> None:
    """Write what is measured so far: a run that is cut short keeps its rows."""
    RESULTS.mkdir(exist_ok=True)
    facts = {
        "at": datetime.now(UTC).isoformat(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "xllamacpp": version("xllamacpp"),
        "repeats": repeats,
        "rows": rows,
    }
    (RESULTS / "minds-models.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
