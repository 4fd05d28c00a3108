"""File accuracy in other languages, beside BM25: fixes of 22 projects in nine languages, with their history.

Run: python -m benchmarks.ripmap --languages [PROJECT ...]

languages.json holds facts only: the commit that the tree is taken at, each fix's message, and the source files it
changed. $HAL9_REPOSITORIES is a folder of clones (plain or bare) named like the projects; those that are not there are
left out and told. Every case of a project is asked of the one tree before all of them.
"""

import argparse
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.ripmap.accuracy_corpus import CorpusMissing, write_result
from hal9.ripmap import Index, open_revision
from hal9.ripmap.parameters import Parameters
from hal9.ripmap.ranking.prepared_task import Task
from hal9.ripmap.ranking.ranker import prepare_task, rank_prepared

CUTS = (1, 3, 5, 10)
_CASES = Path(__file__).with_name("languages.json")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ASIDE = re.compile(
    r"(^|[^a-z0-9])test|(^|/)(spec|specs|e2e|benchmarks?|examples?|__mocks__|fixtures|testdata|docs?)(/|$)|_test\."
    r"|\.spec\.|Tests?\.(java|cs|php)$|Spec\.|Test[A-Z]\w*\.java|\.Tests?/|^demos?/"
)
"""No tests, examples, documentation: who competes is decided by name alone, apart from ripmap's own roles."""
_K, _B, _PATH = 1.5, 0.75, 3


class Bm25:
    """BM25 over content plus three times the path, words split at case and digits."""

    def __init__(self, index: Index, paths: Sequence[str]) -> None:
        self._postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        lengths = np.zeros(len(paths))
        for file_index, path in enumerate(paths):
            counts = Counter(_words(index.text(path)) + _PATH * _words(path))
            lengths[file_index] = counts.total()
            for word, count in counts.items():
                self._postings[word].append((file_index, count))
        self._norm = _K * (1 - _B + _B * lengths / max(1e-9, float(lengths.mean())))
        self._size = len(paths)

    def scores(self, text: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """One score per file."""
        found = np.zeros(self._size)
        for word in _words(text):
            if word in self._postings:
                file_indexes, counts = (
                    np.array(column) for column in zip(*self._postings[word], strict=True)
                )
                idf = math.log1p((self._size - len(file_indexes) + 0.5) / (len(file_indexes) + 0.5))
                found[file_indexes] += idf * counts / (counts + self._norm[file_indexes])
        return found


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def worst_rank(
    scores: "np.ndarray[tuple[int], np.dtype[np.float64]]", paths: Sequence[str], gold: Sequence[str]
) -> int:
    """Rank of the last of the wanted files, counted from 0; equal scores keep the paths' order."""
    order = np.argsort(-scores, kind="stable")
    ranks = {paths[file_index]: rank for rank, file_index in enumerate(order.tolist())}
    return max(ranks[path] for path in gold)


def measured(root: Path, project: dict[str, object]) -> Iterator[tuple[int, int]]:
    """Ranks by ripmap and by BM25 of each case of a project."""
    index = open_revision(root, str(project["base"]))
    extensions = tuple(f".{one}" for one in project["extensions"])  # type: ignore[attr-defined]
    file_indexes = [
        n for n, path in enumerate(index.paths) if path.endswith(extensions) and not _ASIDE.search(path)
    ]
    paths = [index.paths[n] for n in file_indexes]
    plain = Bm25(index, paths)
    for case in project["cases"]:  # type: ignore[attr-defined]
        if set(case["gold"]) <= set(paths):
            ours = rank_prepared(prepare_task(index, Task(case["query"])), Parameters()).scores[file_indexes]
            yield (
                worst_rank(ours, paths, case["gold"]),
                worst_rank(plain.scores(case["query"]), paths, case["gold"]),
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="*", help="names such as cobra; all by default")
    chosen = parser.parse_args(arguments)
    folder = os.environ.get("HAL9_REPOSITORIES")
    if not folder:
        raise CorpusMissing(
            "set HAL9_REPOSITORIES to a folder of clones named like the projects in languages.json"
        )
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, project in json.loads(_CASES.read_text(encoding="utf-8")).items():
        short = name.partition("/")[2]
        root = Path(folder) / short
        if chosen.projects and short not in chosen.projects:
            continue
        if not root.is_dir():
            print(f"{short:18} left out: {root} is not there")
            continue
        ranks = list(measured(root, project))
        found[project["extensions"][0]] += ranks
        print(f"{short:18} {_told(ranks)}")
    for language, ranks in sorted(found.items()):
        print(f"all of {language:11} {_told(ranks)}")
    every = [ranks for part in found.values() for ranks in part]
    print(f"{'all':18} {_told(every)}")
    print(
        "written to",
        write_result(
            "ripmap-languages", {name: _figures(part) for name, part in {**found, "all": every}.items()}
        ),
    )


def _figures(ranks: Sequence[tuple[int, int]]) -> dict[str, object]:
    table = np.array(ranks).reshape(-1, 2)
    named = (("ripmap", table[:, 0]), ("bm25", table[:, 1]))
    return {"cases": len(table)} | {
        name: {k: float(np.mean(own < k)) for k in CUTS} for name, own in named if len(own)
    }


def _told(ranks: Sequence[tuple[int, int]]) -> str:
    table = np.array(ranks).reshape(-1, 2)
    cells = [
        "/".join(f"{100 * np.mean(table[:, side] < k):.1f}" for k in CUTS) if len(table) else "-"
        for side in (0, 1)
    ]
    return f"n={len(table):4}  @1/3/5/10 ripmap {cells[0]}  BM25 {cells[1]}"


if __name__ == "__main__":
    main()
