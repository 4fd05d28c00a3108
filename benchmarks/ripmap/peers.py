"""One side of the speed measurement, in a process of its own (so that peak memory is its own).

`python peers.py ripmap|bm25s|aider TREE TASKS EDIT WORK` prints one JSON line. It runs under the interpreter that has the
tool installed; only the standard library is imported before that.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

BUDGETS = (1024, 8192)


def clock() -> tuple[float, float]:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return time.perf_counter(), cpu


def timed(work) -> tuple[object, dict[str, float]]:
    before = clock()
    value = work()
    after = clock()
    return value, {"wall": after[0] - before[0], "cpu": after[1] - before[1]}


def median(cells: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(cell[key] for cell in cells) for key in cells[0]}


def paths_in(text: str, wanted: list[str]) -> float:
    """Share of wanted files whose path is in the map."""
    return sum(path in text for path in wanted) / len(wanted) if wanted else 0.0


def sources(tree: Path) -> list[Path]:
    skipped = {"__pycache__", ".git"}
    return sorted(path for path in tree.rglob("*.py") if not skipped & set(path.parts))


def edit(path: Path) -> None:
    with path.open("a") as file:
        file.write(f"\n# edited {time.time_ns()}\n")


def run_ripmap(tree: Path, tasks: list[dict], changed: Path, work: Path) -> dict:
    import hal9.ripmap.index.opening
    import hal9.ripmap.rendering.budget  # noqa: F401 - loaded before the clock starts, like the other tools
    from hal9.ripmap import IndexSettings, MapOptions, MapRequest, MapService

    settings = IndexSettings(cache_dir=work / "cache", use_git=False, extensions=("py",))

    def opened() -> tuple:
        maps = MapService(settings)
        index = maps.index(tree)
        return maps, index, maps.ranking(index, MapRequest(tasks[0]["query"]))

    (maps, _, _), cold = timed(opened)
    time.sleep(
        2.1
    )  # the tree was copied a moment ago; younger stamps are not trusted and files are read again
    queries, holds = [], {str(budget): [] for budget in BUDGETS}
    for task in tasks:

        def ask(task=task) -> str:
            index = maps.index(tree)
            ranking = maps.ranking(index, MapRequest(task["query"]))
            return maps.draw(index, ranking, MapOptions(tokens=BUDGETS[0], badges=False))

        text, cost = timed(ask)
        queries.append(cost)
        holds[str(BUDGETS[0])].append(paths_in(text, task["gold"]))
        index = maps.index(tree)
        ranking = maps.ranking(index, MapRequest(task["query"]))
        large = maps.draw(index, ranking, MapOptions(tokens=BUDGETS[1], badges=False))
        holds[str(BUDGETS[1])].append(paths_in(large, task["gold"]))
    edits = []
    for task in tasks[:3]:
        edit(changed)

        def again(task=task) -> str:
            index = maps.index(tree)
            return maps.draw(
                index, maps.ranking(index, MapRequest(task["query"])), MapOptions(tokens=1024, badges=False)
            )

        edits.append(timed(again)[1])
    environment = {**os.environ, "RIPMAP_CACHE_DIR": str(work / "shell")}
    command = [
        sys.executable,
        "-m",
        "hal9.ripmap",
        str(tree),
        "--task",
        tasks[0]["query"][:200],
        "--tokens",
        "1024",
    ]

    def shell() -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    shells = [timed(shell)[1] for _ in range(4)]
    return {
        "cold": cold,
        "query": median(queries),
        "edit": median(edits),
        "shell": median(shells[1:]),
        "holds": holds,
    }


def run_bm25s(tree: Path, tasks: list[dict], changed: Path, work: Path) -> dict:
    import bm25s

    del work
    split = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

    def tokens(text: str) -> list[str]:
        return [word.lower() for word in split.findall(text)]

    def build() -> tuple:
        files = sources(tree)
        corpus = [
            tokens(path.read_text(encoding="utf-8", errors="replace"))
            + 3 * tokens(str(path.relative_to(tree)))
            for path in files
        ]
        retriever = bm25s.BM25()
        retriever.index(corpus, show_progress=False)
        return files, retriever

    (files, retriever), cold = timed(build)
    queries, holds = [], {str(budget): [] for budget in BUDGETS}
    for task in tasks:

        def ask(task=task) -> list:
            found, _ = retriever.retrieve(
                [tokens(task["query"])], k=min(200, len(files)), show_progress=False
            )
            return [str(files[file_index].relative_to(tree)) for file_index in found[0]]

        ranked, cost = timed(ask)
        queries.append(cost)
        for budget in BUDGETS:
            text, used = [], 0
            for path in ranked:
                used += len(path) / 3
                if used > budget:
                    break
                text.append(path)
            holds[str(budget)].append(paths_in("\n".join(text), task["gold"]))
    edits = []
    for _ in range(2):
        edit(changed)
        edits.append(timed(build)[1])
    return {"cold": cold, "query": median(queries), "edit": median(edits), "holds": holds}


def run_aider(tree: Path, tasks: list[dict], changed: Path, work: Path) -> dict:
    del work
    from aider.repomap import RepoMap

    class Model:
        def token_count(self, text: str) -> int:
            return len(text) // 4

    class Quiet:
        def __getattr__(self, name: str):
            return lambda *_, **__: None

        def read_text(self, name: str) -> str:
            return Path(name).read_text(encoding="utf-8", errors="replace")

    names = [str(path) for path in sources(tree)]
    basenames = {}
    for name in names:
        basenames.setdefault(Path(name).name, name)

    def new(budget: int) -> RepoMap:
        return RepoMap(
            map_tokens=budget,
            root=str(tree),
            main_model=Model(),
            io=Quiet(),
            max_context_window=200_000,
            refresh="always",
        )

    def ask(repo: RepoMap, query: str, budget: int) -> str:
        repo.max_map_tokens = budget
        words = set(re.split(r"\W+", query))
        files = {
            str(Path(basenames[word]).relative_to(tree))
            for word in re.findall(r"[\w.]+\.py", query)
            if word in basenames
        }
        # The multiplier for a chat without files would widen the budget; the map is asked for as stated.
        repo.map_mul_no_files = 1
        return repo.get_repo_map([], names, mentioned_fnames=files, mentioned_idents=words) or ""

    repo = new(BUDGETS[0])
    _, cold = timed(lambda: ask(repo, tasks[0]["query"], BUDGETS[0]))
    queries, holds = [], {str(budget): [] for budget in BUDGETS}
    for task in tasks:
        text, cost = timed(lambda task=task: ask(repo, task["query"], BUDGETS[0]))
        queries.append(cost)
        holds[str(BUDGETS[0])].append(paths_in(text, task["gold"]))
    for task in tasks[:8]:
        holds[str(BUDGETS[1])].append(paths_in(ask(repo, task["query"], BUDGETS[1]), task["gold"]))
    edits = []
    for task in tasks[:3]:
        edit(changed)
        edits.append(timed(lambda task=task: ask(repo, task["query"], BUDGETS[0]))[1])
    return {"cold": cold, "query": median(queries), "edit": median(edits), "holds": holds}


def main() -> None:
    tool, tree, tasks, changed, work = sys.argv[1:6]
    run = {"ripmap": run_ripmap, "bm25s": run_bm25s, "aider": run_aider}[tool]
    found = run(Path(tree), json.loads(Path(tasks).read_text()), Path(changed), Path(work))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found["peak_mb"] = peak / 1024
    found["holds"] = {
        key: statistics.fmean(values) if values else None for key, values in found["holds"].items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
