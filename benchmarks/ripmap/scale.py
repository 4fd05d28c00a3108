"""How ripmap grows with a repository: synthetic trees of 1,000 to 100,000 files.

    python -m benchmarks.ripmap.scale [--sizes 1000 3000 10000 30000 100000] [--plot docs/ripmap-scale.png]

Each size runs in a process of its own: cold index and first query, opening again, warm query, query after one edit,
peak memory of the largest process. `--plot` needs matplotlib, which is put into a throw-away environment.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import peer_python, write

WORDS = [
    "order",
    "cart",
    "price",
    "user",
    "account",
    "session",
    "token",
    "cache",
    "index",
    "graph",
    "node",
    "edge",
    "file",
    "path",
    "tree",
    "parser",
    "lexer",
    "query",
    "rank",
    "score",
    "model",
    "train",
    "batch",
    "layer",
    "weight",
    "signal",
    "broker",
    "queue",
    "topic",
    "message",
    "lock",
    "thread",
    "worker",
    "pool",
    "task",
    "event",
    "handler",
    "router",
    "request",
    "response",
    "header",
    "cookie",
    "socket",
    "stream",
    "buffer",
    "packet",
    "frame",
    "image",
    "pixel",
    "color",
    "shape",
    "point",
    "line",
    "curve",
    "matrix",
    "vector",
]
DRAW = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
rows = json.load(open(sys.argv[1]))
sizes = [row["files"] for row in rows]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
for key, label in (("cold", "cold index and query"), ("open", "open again"), ("query", "warm query"), ("edit", "query after an edit")):
    left.loglog(sizes, [row[key] for row in rows], marker="o", label=label)
left.axhline(1.0, color="grey", linestyle=":", label="1 s")
left.set_xlabel("files"); left.set_ylabel("seconds (wall)"); left.legend(); left.grid(alpha=0.3)
right.loglog(sizes, [row["peak_mb"] for row in rows], marker="o", color="black")
right.set_xlabel("files"); right.set_ylabel("peak memory, MB"); right.grid(alpha=0.3)
figure.suptitle("ripmap on synthetic trees"); figure.tight_layout(); figure.savefig(sys.argv[2], dpi=110)
"""


def source(random_: random.Random, number: int, count: int) -> str:
    """A module of a few functions and a class that use another module's."""
    other = random_.randrange(count)
    words = random_.choices(WORDS, k=12)
    lines = [
        f'"""Handles {words[0]} and {words[1]} of the {words[2]}."""',
        f"from p{other % 97}.m{other} import make_{other}",
        "",
    ]
    for part in range(random_.randrange(2, 6)):
        a, b, c = random_.choices(WORDS, k=3)
        lines += [f"def {a}_{b}_{number}_{part}({c}, {a}):", f'    """Make the {c} for a {b}."""', f"    {b} = make_{other}({c})",
                  f"    return {b}.{a}({a})", ""]  # fmt: skip
    lines += [f"class {words[3].title()}{words[4].title()}{number}:", f"    def {words[5]}(self, {words[6]}):",
              f"        return make_{other}({words[6]}) + self.{words[7]}", "", f"def make_{number}(x):", "    return x"]  # fmt: skip
    return "\n".join(lines) + "\n"


def plant(root: Path, count: int) -> None:
    random_ = random.Random(count)
    for folder in range(97):
        (root / f"p{folder}").mkdir(parents=True)
    for number in range(count):
        (root / f"p{number % 97}" / f"m{number}.py").write_text(source(random_, number, count))


def measure(root: Path, cache: Path) -> dict[str, float]:
    from hal9.ripmap import IndexSettings, MapOptions, MapRequest, MapService

    settings = IndexSettings(cache_dir=cache, use_git=False)
    task = "the cache of the session token is not locked when a worker thread handles a request"

    def answer(maps: MapService, text: str) -> str:
        index = maps.index(root)
        return maps.draw(index, maps.ranking(index, MapRequest(text)), MapOptions(tokens=4096, badges=False))

    found: dict[str, float] = {}
    started = time.perf_counter()
    maps = MapService(settings)
    answer(maps, task)
    found["cold"] = time.perf_counter() - started
    times = []
    for number in range(5):
        started = time.perf_counter()
        answer(maps, f"{task} {WORDS[number]}")
        times.append(time.perf_counter() - started)
    found["query"] = statistics.median(times)
    started = time.perf_counter()
    answer(MapService(settings), task)
    found["open"] = time.perf_counter() - started
    (root / "p0" / "m0.py").write_text("def changed():\n    return 1\n")
    started = time.perf_counter()
    answer(maps, task)
    found["edit"] = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return found | {"peak_mb": peak / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 3000, 10_000, 30_000, 100_000])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--plot-python", help="python with matplotlib; without it an environment is made")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(Path(arguments.one[0]), Path(arguments.one[1]))))
        return
    rows = []
    print(f"{'files':>8} {'cold s':>8} {'query s':>8} {'open s':>8} {'edit s':>8} {'peak MB':>8}")
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            plant(Path(folder) / "tree", size)
            command = [
                sys.executable,
                "-m",
                "benchmarks.ripmap.scale",
                "--one",
                f"{folder}/tree",
                f"{folder}/cache",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr[-3000:])
        row = {"files": size, **json.loads(done.stdout.strip().splitlines()[-1])}
        rows.append(row)
        print(
            " ".join(
                [
                    f"{size:>8}",
                    *(f"{row[key]:>8.2f}" for key in ("cold", "query", "open", "edit")),
                    f"{row['peak_mb']:>8.0f}",
                ]
            ),
            flush=True,
        )
    written = write("ripmap-scale", {"sizes": arguments.sizes}, rows, "tree-sitter", "numpy", "scipy")
    if arguments.plot:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as data:
            json.dump(rows, data)
            data.flush()
            python = arguments.plot_python or str(peer_python("plot", "matplotlib"))
            subprocess.run([python, "-c", DRAW, data.name, str(arguments.plot)], check=True)
        print(f"{written}, {arguments.plot}")


if __name__ == "__main__":
    main()
