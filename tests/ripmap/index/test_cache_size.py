"""The cache keeps below its cap: least recently used trees go first, and what others need stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.errors.ripmap import RipmapConfigWrong
from hal9.ripmap import IndexSettings, open_index, rank
from hal9.ripmap.index.cache_size import cached_trees, clear_cache, mark_used, total_bytes, trim_cache

from .conftest import write_files


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a tree of 30 files of its own, and one that all trees share."""

    def make(name: str) -> Path:
        files = {f"{name}/file{number}.py": f"def {name}_{number}():\n    return '{name} number {number}'\n" * 20
                 for number in range(30)}  # fmt: skip
        write_files(tmp_path / name, {**files, "shared.py": "def shared():\n    return 1\n"})
        return tmp_path / name

    return make


def opened(root: Path, settings: IndexSettings, moment: float) -> int:
    """Open and rank, as of a moment; how many files were read."""
    index = open_index(root, settings)
    rank(index, "number")
    index.close()
    assert index.folder is not None
    os.utime(index.folder / "root", (moment, moment))
    return index.stats.extracted


def test_the_least_recently_used_tree_goes_first(
    tree: Callable[[str], Path], settings: IndexSettings
) -> None:
    roots = [tree(name) for name in ("one", "two", "three")]
    for root, moment in zip(roots, (3000.0, 1000.0, 2000.0), strict=True):
        opened(root, settings, moment)
    assert [Path(found.root).name for found in cached_trees(settings.folder)] == ["two", "three", "one"]
    before = total_bytes(settings.folder)
    freed = trim_cache(settings.folder, before - 1)
    assert freed == before - total_bytes(settings.folder) > 0
    assert [Path(found.root).name for found in cached_trees(settings.folder)] == ["one"]
    assert opened(roots[0], settings, 4000.0) == 0
    assert opened(roots[1], settings, 4000.0) == 30


def test_growth_beyond_the_cap_trims_and_keeps_the_tree_at_hand(
    tree: Callable[[str], Path], settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tree("one"), tree("two")
    opened(first, settings, 1000.0)
    monkeypatch.setattr(IndexSettings, "cache_bytes", property(lambda _: 1))
    opened(second, settings, 2000.0)
    assert [Path(found.root).name for found in cached_trees(settings.folder)] == ["two"]
    assert opened(second, settings, 3000.0) == 0


def test_clearing_leaves_nothing_and_harms_nothing(
    tree: Callable[[str], Path], settings: IndexSettings
) -> None:
    root = tree("one")
    opened(root, settings, 1000.0)
    assert clear_cache(settings.folder) > 0
    assert cached_trees(settings.folder) == []
    assert opened(root, settings, 2000.0) == 31


def test_use_is_noted_once_an_hour(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    mark_used(folder, tmp_path, 10_000.0)
    mark_used(folder, tmp_path, 10_100.0)
    assert (folder / "root").stat().st_mtime == 10_000.0
    mark_used(folder, tmp_path, 20_000.0)
    assert (folder / "root").stat().st_mtime == 20_000.0


def test_the_cap_is_read_and_checked(monkeypatch: pytest.MonkeyPatch, settings: IndexSettings) -> None:
    assert replace(settings, cache_megabytes=5).cache_bytes == 5_000_000
    monkeypatch.setenv("RIPMAP_CACHE_MEGABYTES", "7")
    assert settings.cache_bytes == 7_000_000
    monkeypatch.setenv("RIPMAP_CACHE_MEGABYTES", "much")
    with pytest.raises(RipmapConfigWrong, match="whole number"):
        _ = settings.cache_bytes


def test_the_command_shows_and_trims(tree: Callable[[str], Path], settings: IndexSettings) -> None:
    opened(tree("one"), settings, 1000.0)

    def cache(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-m",
            "hal9.ripmap",
            "cache",
            "--cache-dir",
            str(settings.folder),
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    told = cache()
    assert "1970-01-01" in told.stdout
    assert "MB of 1000 in" in told.stdout
    assert "one" in told.stdout
    assert "freed" in cache("--clear").stdout
    assert len(cache().stdout.splitlines()) == 1
    assert cache("--clear", "--trim", "1").returncode == 2
