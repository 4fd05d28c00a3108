"""Does a lesson for a folder reach later tasks on it? Pairs of real tasks of one repository, of the localization corpus.

Usage: python -m benchmarks.learning.places [--splits dev train] [--trees aiohttp-3.14.1 …]

A lesson is taken to hold for the folder that holds what the first task changed (a lesson for the whole project says
nothing here and is left out). The second task is known by its words alone: the files it names, and what ripmap ranks for
it. Reached: of pairs that changed a common folder; wrongly reached: of pairs where the second changed nothing in the place.
The trees are source distributions, see `benchmarks/ripmap`.
"""

import argparse
import itertools
import posixpath
from collections.abc import Sequence

from benchmarks.report import table, write
from benchmarks.ripmap.accuracy_corpus import corpus_folder, trees_folder
from hal9.cluster.services.mapping import clear_winner
from hal9.memory.records import covers_path
from hal9.ripmap.evaluation.evaluation import RankingCase, read_cases
from hal9.ripmap.rendering.repository_map import MapRequest, MapService

__all__ = ["count_pairs", "place_of_change"]


def place_of_change(files: Sequence[str]) -> str:
    """The folder that holds all files; "" when that is the whole project."""
    folders = [posixpath.dirname(path) for path in files]
    shared = posixpath.commonpath([folder or "." for folder in folders]) if all(folders) else ""
    return f"{shared}/**" if shared else files[0] if len(files) == 1 else ""


def count_pairs(cases: Sequence[RankingCase], known: Sequence[Sequence[str]]) -> tuple[int, int, int, int]:
    """Reached and all pairs with a common folder, wrongly reached and all pairs with nothing in the place."""
    reached = common = wrong = foreign = 0
    for first, second in itertools.permutations(range(len(cases)), 2):
        taught, later = list(cases[first].gold), list(cases[second].gold)
        place = place_of_change(taught)
        if not place:
            continue
        hit = any(covers_path(place, path) for path in known[second])
        if {posixpath.dirname(one) for one in taught} & {posixpath.dirname(one) for one in later}:
            reached, common = reached + hit, common + 1
        elif not any(covers_path(place, path) for path in later):
            wrong, foreign = wrong + hit, foreign + 1
    return reached, common, wrong, foreign


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", nargs="+", default=["dev", "train"])
    parser.add_argument("--trees", nargs="+", help="only these, such as aiohttp-3.14.1")
    options = parser.parse_args()
    cases = [case for split in options.splits for case in read_cases(corpus_folder() / split)]
    names = sorted({case.tree for case in cases} & set(options.trees or [case.tree for case in cases]))
    folder, maps = trees_folder(set(names)), MapService()
    rows, totals = [], [0, 0, 0, 0]
    for name in names:
        mine = [case for case in cases if case.tree == name]
        index = maps.index(folder / name)
        known = []
        for case in mine:
            files = maps.ranking(index, MapRequest(case.text)).files(5)
            known.append(clear_winner([(one.path, float(one.score)) for one in files]))
        counts = count_pairs(mine, known)
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        rows.append([name, *_cells(counts)])
    rows.append(["all", *_cells(totals)])
    table(
        "a lesson for a folder, on real tasks",
        ("repository", "common folder: reached", "none: reached"),
        rows,
    )
    write("learning-places", vars(options), {"totals": totals, "rows": rows})


def _cells(counts: Sequence[int]) -> list[str]:
    reached, common, wrong, foreign = counts
    return [
        f"{100 * reached / max(1, common):.1f}% of {common}",
        f"{100 * wrong / max(1, foreign):.1f}% of {foreign}",
    ]


if __name__ == "__main__":
    main()
