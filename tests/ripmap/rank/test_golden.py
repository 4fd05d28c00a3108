"""Whole rankings as text files: a change of ranking is a diff to review.

`HAL9_UPDATE_GOLDEN=1 pytest tests/ripmap/rank/test_golden.py` writes them anew.
"""

import os
import tarfile
from pathlib import Path

import pytest

from hal9.ripmap import Index, IndexSettings, Task, open_index, rank
from hal9.ripmap.evaluation.metrics import ndcg_at, reciprocal_rank
from hal9.ripmap.ranking.ranker import Ranking

GOLDEN = Path(__file__).parent / "golden"
TASKS = {
    "plain words": "Prices are rounded wrongly when an order is cancelled",
    "names in code marks": "`round_amount` should refuse `None`\n\nSee `Order.total_price`.",
    "a path": "shop/web/views.py: checkout loses the lines",
    "a trace": (
        'It fails\n```\nTraceback (most recent call last):\n  File "/x/shop/web/views.py", line 6, in checkout\n'
        '  File "/x/shop/storage.py", line 9, in _write\nKeyError\n```'
    ),
    "a message": "ValueError: amount must be a number of cents, not nothing",
    "operations": "Dockerfile: the deployment builds the wrong image",
    "nothing of it": "completely unrelated sentence",
    "no task": "",
}
WANTED = {
    "plain words": ["shop/orders.py", "shop/money.py"],
    "names in code marks": ["shop/money.py"],
    "a path": ["shop/web/views.py"],
    "a trace": ["shop/storage.py"],
    "a message": ["shop/money.py"],
    "operations": ["Dockerfile"],
}
RELEASE = "click-8.3.1"
RELEASE_TASKS = {
    "shell completion escapes colons": ["src/click/shell_completion.py"],
    "CliRunner.invoke loses stderr when the command exits": ["src/click/testing.py"],
    "progress bar shows a wrong ETA": ["src/click/_termui_impl.py"],
    "envvar of a flag option is ignored": ["src/click/core.py"],
    "Path type does not expand the user's folder": ["src/click/types.py"],
}


def told(ranking: Ranking) -> list[str]:
    return [
        f"  {file.score:.9f} {file.path} "
        + " ".join(f"{name}={share:.9f}" for name, share in sorted(file.shares.items()))
        for file in ranking.files(10)
    ]


def compare(name: str, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    place = GOLDEN / f"{name}.txt"
    if os.environ.get("HAL9_UPDATE_GOLDEN"):
        place.write_text(text, encoding="utf-8")
    assert place.read_text(encoding="utf-8") == text


def figures(found: list[list[int]]) -> str:
    first = sum(min(ranks) == 0 for ranks in found) / len(found)
    mrr = sum(map(reciprocal_rank, found)) / len(found)
    ndcg = sum(ndcg_at(dict.fromkeys(ranks, 1.0)) for ranks in found) / len(found)
    return f"first {first:.3f}  MRR {mrr:.3f}  NDCG@10 {ndcg:.3f}"


@pytest.mark.parametrize("which", ["shop", "history"])
def test_rankings_of_the_fixture(which: str, request: pytest.FixtureRequest) -> None:
    index: Index = request.getfixturevalue(which)
    lines: list[str] = []
    ranks: list[list[int]] = []
    for name, text in TASKS.items():
        ranking = rank(index, Task(text, time=1_800_000_000.0))
        lines += [name, *told(ranking)]
        order = ranking.paths
        ranks += [[order.index(path) for path in WANTED.get(name, ())]] if name in WANTED else []
    compare(which, [*lines, figures(ranks)])


@pytest.mark.slow
def test_rankings_of_a_release(tmp_path: Path) -> None:
    folder = Path(os.environ.get("HAL9_SDISTS", Path(__file__).parents[3] / "benchmarks/results/sdists"))
    archive = folder / f"{RELEASE}.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not here; see benchmarks/ripmap for where it comes from")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    index = open_index(tmp_path / RELEASE, IndexSettings(use_cache=False, use_git=False, workers=1))
    lines: list[str] = []
    ranks: list[list[int]] = []
    for text, wanted in RELEASE_TASKS.items():
        ranking = rank(index, text)
        lines += [text, *(f"  {file.score:.6f} {file.path}" for file in ranking.files(10))]
        ranks.append([ranking.paths.index(path) for path in wanted])
    compare(RELEASE, [*lines, figures(ranks)])
