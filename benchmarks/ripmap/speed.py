"""Speed and map contents: ripmap against aider's repository map and bm25s, on the same trees in the same run.

    python -m benchmarks.ripmap.speed --trees DIR --cases DIR [--only networkx]

DIR of trees holds unpacked source distributions (networkx-3.6.1, …); DIR of cases the localization corpus. Each tool runs
in a process of its own, on a fresh copy of the tree without caches. Ratios of CPU seconds are the ones to trust on a
busy machine.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import peer_python, write

TREES = ("networkx", "sqlalchemy", "twisted", "dask")
PEERS = Path(__file__).with_name("peers.py")


def cases_of(folder: Path, tree: str, limit: int) -> list[dict]:
    found = []
    for path in sorted(folder.rglob("*.json")):
        found.extend(
            {"query": entry["query"], "gold": entry["gold_files"]}
            for entry in json.loads(path.read_text())
            if f"{entry['pypi_name']}-{entry['version']}" == tree
        )
    random.Random(0).shuffle(found)
    return found[:limit]


def measure(python: str, tool: str, tree: Path, tasks: list[dict]) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / tree.name
        shutil.copytree(tree, copy, symlinks=True, ignore=shutil.ignore_patterns(".aider*", "__pycache__"))
        task_file = Path(folder) / "tasks.json"
        task_file.write_text(json.dumps(tasks))
        changed = copy / tasks[0]["gold"][0]
        done = subprocess.run(
            [python, str(PEERS), tool, str(copy), str(task_file), str(changed), folder],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{tool} failed on {tree.name}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--aider", help="python with aider-chat; without it an environment is made")
    parser.add_argument("--bm25s", help="python with bm25s; without it an environment is made")
    parser.add_argument("--only", nargs="*", default=TREES)
    parser.add_argument("--tasks", type=int, default=12)
    arguments = parser.parse_args()
    pythons = {
        "ripmap": sys.executable,
        "bm25s": arguments.bm25s or str(peer_python("bm25s", "bm25s")),
        "aider": arguments.aider or str(peer_python("aider", "aider-chat==0.86.2")),
    }
    results: dict[str, dict[str, dict]] = {}
    print(
        f"{'tree':<20} {'tool':<8} {'cold s':>13} {'query s':>14} {'edit s':>13} {'peak MB':>8} {'gold@1k':>8} {'gold@8k':>8}"
    )
    for tree in sorted(arguments.trees.iterdir()):
        if not tree.is_dir() or not tree.name.startswith(tuple(f"{name}-" for name in arguments.only)):
            continue
        tasks = cases_of(arguments.cases, tree.name, arguments.tasks)
        for tool, python in pythons.items():
            found = measure(python, tool, tree, tasks)
            results.setdefault(tree.name, {})[tool] = found
            cells = [
                f"{found[key]['wall']:.2f} ({found[key]['cpu']:.2f})" for key in ("cold", "query", "edit")
            ]
            share = [f"{found['holds'][key]:.0%}" for key in ("1024", "8192")]
            print(
                f"{tree.name:<20} {tool:<8} {cells[0]:>13} {cells[1]:>14} {cells[2]:>13} {found['peak_mb']:>8.0f} {share[0]:>8} {share[1]:>8}",
                flush=True,
            )
            if "shell" in found:
                print(
                    f"{'':<29} from the shell, warm: {found['shell']['wall']:.2f} s ({found['shell']['cpu']:.2f} CPU)"
                )
    for name, tools in results.items():
        if "aider" in tools:
            ours, theirs = tools["ripmap"], tools["aider"]
            for key in ("cold", "query", "edit"):
                print(
                    f"{name}: {key} {theirs[key]['wall'] / ours[key]['wall']:.1f}x faster than aider by wall, {theirs[key]['cpu'] / ours[key]['cpu']:.1f}x by CPU"
                )
    write(
        "ripmap-speed",
        {"tasks": arguments.tasks, "budgets": [1024, 8192]},
        results,
        "tree-sitter",
        "numpy",
        "scipy",
    )


if __name__ == "__main__":
    main()
