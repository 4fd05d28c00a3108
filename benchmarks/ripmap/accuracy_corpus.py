"""The shared localization corpus: cases, their source trees, and the issue-like copies."""

import json
import os
import platform
import sys
import tarfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hal9.ripmap import Index, IndexSettings, open_index
from hal9.ripmap.evaluation.evaluation import Evaluator, prepare_cases, read_cases
from hal9.ripmap.evaluation.issue_like import issue_like, script_like

__all__ = [
    "SPLITS",
    "CorpusMissing",
    "corpus_folder",
    "evaluators",
    "machine",
    "trees_folder",
    "write_result",
]

SPLITS = ("train", "dev")
SEED = 7
_COPIES = {"issue-like": issue_like, "scripts": script_like}
_REPOSITORY = Path(__file__).resolve().parents[2]


class CorpusMissing(SystemExit):
    """The data or the trees are not here."""


def corpus_folder() -> Path:
    """`localization/` below $HAL9_SHARED or ../shared/data."""
    shared = os.environ.get("HAL9_SHARED")
    base = Path(shared) if shared else _REPOSITORY.parent / "shared"
    for folder in (base / "data" / "localization", base / "localization"):
        if folder.is_dir():
            return folder
    raise CorpusMissing(
        f"no localization corpus at {base}; set HAL9_SHARED to the folder that holds data/localization"
    )


def trees_folder(names: set[str]) -> Path:
    """Where the source distributions lie; archives (NAME-VERSION.tar.gz) are unpacked beside themselves."""
    folder = Path(os.environ.get("HAL9_SDISTS", _REPOSITORY / "benchmarks" / "results" / "sdists"))
    missing = []
    for name in sorted(names):
        archive = folder / f"{name}.tar.gz"
        if not (folder / name).is_dir() and archive.is_file():
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        if not (folder / name).is_dir():
            missing.append(name)
    if missing:
        wanted = " ".join("==".join(name.rsplit("-", 1)) for name in missing)
        raise CorpusMissing(
            f"missing source trees in {folder}: run `pip download --no-deps --no-binary :all: -d {folder} {wanted}`, "
            "or set HAL9_SDISTS to a folder that has them"
        )
    return folder


def evaluators(splits: tuple[str, ...] = SPLITS, *, issues: bool = True) -> dict[str, Evaluator]:
    """Prepared cases of each split, and of its copies: "SPLIT issue-like", "SPLIT scripts"."""
    cases = {split: read_cases(corpus_folder() / split) for split in splits}
    folder = trees_folder({case.tree for split in cases.values() for case in split})
    cache = os.environ.get("RIPMAP_CACHE_DIR")
    settings = IndexSettings(use_git=False, cache_dir=Path(cache) if cache else None)
    opened: dict[str, Index] = {}

    def open_tree(name: str) -> Index:
        if name not in opened:
            opened[name] = open_index(folder / name, settings)
        return opened[name]

    found: dict[str, Evaluator] = {}
    for split, plain in cases.items():
        found[split] = Evaluator(prepare_cases(plain, open_tree))
        if issues:
            for label, make in _COPIES.items():
                copies = [
                    make(case, open_tree(case.tree), np.random.default_rng([SEED, number]))
                    for number, case in enumerate(plain)
                ]
                found[f"{split} {label}"] = Evaluator(prepare_cases(copies, open_tree))
    return found


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "seed": SEED,
    }


def write_result(name: str, values: object) -> Path:
    """Write benchmarks/results/NAME.json."""
    folder = _REPOSITORY / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "results": values}, indent=1) + "\n", encoding="utf-8")
    return path
