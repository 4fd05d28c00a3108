"""Maps are drawn in a process that can be ended, and no workspace can make a task fail by it."""

import asyncio
import os
import random
from pathlib import Path

import pytest

import hal9
from hal9.cluster.services.mapping import RipmapMapper
from hal9.ripmap.index.cache_size import cached_trees
from hal9.settings import RepositoryMapSettings


def mapper(**options: object) -> RipmapMapper:
    return RipmapMapper(RepositoryMapSettings.model_validate(options))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    for name in ("parser", "writer", "reader"):
        (root / f"{name}.py").write_text(f"def {name}_main():\n    return 1\n")
    return root


async def test_a_map_is_drawn_for_what_is_large_enough(project: Path) -> None:
    assert "parser_main" in await mapper().map(project, "fix parser_main", tokens=500)
    assert await mapper(min_files=4).map(project, "fix parser_main", tokens=500) == ""


async def test_no_map_is_no_failure(project: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (project / os.fsdecode(b"\xff.py")).write_text("x")
    os.mkfifo(project / "fifo.py")
    (project / "loop").symlink_to(project)
    assert "parser_main" in await mapper().map(project, "fix \ud800 parser_main", tokens=500)
    assert await mapper(max_files=4).map(project, "fix", tokens=500) == ""
    assert "more than 4 files" in caplog.text
    assert await mapper().map(project, "fix", tokens=1) == ""
    assert await mapper().map(tmp_path / "nowhere", "fix", tokens=100) == ""


async def test_a_map_that_takes_too_long_ends_with_its_process(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await mapper(timeout_seconds=0.001).map(project, "fix", tokens=500) == ""
    assert "takes longer" in caplog.text
    work = asyncio.create_task(mapper().map(project, "fix", tokens=500))
    while not (mine := _children_that_map()):
        await asyncio.sleep(0.005)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    for _ in range(400):
        if not mine & _children_that_map():
            return
        await asyncio.sleep(0.05)
    pytest.fail("the process that draws the map went on")


def _children_that_map() -> set[int]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"hal9.ripmap.serving.bounded_map" in words and parent == os.getpid():
            found.add(int(process.name))
    return found


async def test_the_maps_cache_lies_where_it_is_told_and_keeps_below_its_cap(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("RIPMAP_CACHE_DIR", str(cache))
    # The child must be of the same source as this test, wherever an installed copy lies.
    monkeypatch.setenv("PYTHONPATH", str(Path(hal9.__file__).parents[1]))
    other = tmp_path / "other"
    other.mkdir()
    chance = random.Random(1)
    for number in range(60):
        names = [f"{chance.getrandbits(64):016x}" for _ in range(400)]
        text = "".join(f"def name_{name}(value):\n    return {name!r}\n\n\n" for name in names)
        (other / f"other_{number}.py").write_text(text)
    drawn = mapper(cache_megabytes=1)
    await drawn.map(other, "other", tokens=500)
    await drawn.map(project, "fix parser_main", tokens=500)
    roots = {tree.root for tree in cached_trees(cache)}
    assert roots == {str(project.resolve())}
