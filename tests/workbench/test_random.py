"""Random sequences of edits, swaps, marks, reverts, kills and accepts: nothing outside changes, nothing is half done."""

import contextlib
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.base import WorkbenchError
from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot
from hal9.workbench.applying import recover
from tests.workbench.test_snapshot import tree

SETTINGS = WorkbenchSettings(isolation="none")
PATHS = ("a", "b", "d/a", "d/b", "d/e/a", "e", "d", "d/e", "new/x")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class World:
    """A workspace, a folder outside it that is watched, and a random number generator."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.workspace, self.outside, self.state = (folder / name for name in ("w", "outside", "state"))
        for name in ("a", "b", "d/a", "d/e/a"):
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} in the beginning\n")
        (self.outside / "d").mkdir(parents=True)
        for name in ("a", "b", "d/a", "x"):
            (self.outside / name).write_text(f"the user's {name}\n")
        (self.outside / "shared").write_text("a file of the workspace with another name outside\n")
        self.seen = self.watch()

    def watch(self) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for path in sorted(self.outside.rglob("*")):
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            # Links to it may be made and removed; they change the time of its inode, not the file.
            found.append((str(path), stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns, data))
        return found

    def place(self) -> Place:
        return Place(self.workspace, self.state / "snapshot", changes=self.state / "changes")

    def swap(self, root: Path) -> None:
        """What a command, or a person, may do to an entry.

        A hard link that a person made in the workspace is a file of the workspace, as any other: what it
        holds is copied, and may be shown. One that a command made in the copy leads to what is not the task's.
        """
        path = root / self.draw.choice(PATHS)
        if not path.parent.is_dir() or path.parent.is_symlink():
            return
        if path.is_symlink() or path.exists():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        goal = self.outside / self.draw.choice(("a", "d", "d/a", "nothing"))
        linked = self.outside / ("shared" if root == self.workspace else "a")
        kinds: list[Callable[[], Any]] = [
            lambda: path.symlink_to(goal),
            lambda: path.symlink_to("../outside/d"),
            lambda: path.symlink_to("b"),
            lambda: os.mkfifo(path),
            path.mkdir,
            lambda: path.write_text(f"{self.draw.random()}\n"),
            lambda: os.link(linked, path),
            lambda: None,
        ]
        if os.geteuid() == 0:
            kinds.append(lambda: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)))
        self.draw.choice(kinds)()


async def act(world: World, snapshot: Snapshot) -> None:
    """One random action of a turn."""
    draw = world.draw
    path = draw.choice(PATHS)
    number = draw.random()
    try:
        if number < 0.35:
            world.swap(snapshot.root)
        elif number < 0.6:
            await snapshot.write(path, f"edited {draw.random()}\n".encode())
        elif number < 0.7:
            await snapshot.delete(path)
        elif number < 0.78:
            assert b"the user's" not in await snapshot.read_bytes(path)
        elif number < 0.88:
            await snapshot.checkpoint(str(draw.randrange(4)))
        elif number < 0.91:
            await snapshot.restore(draw.choice(["", *snapshot.marks]))
        else:
            assert "the user's" not in "".join((await snapshot.keep()).patch())
    except (WorkbenchError, FileNotFoundError):
        pass


async def turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn with crashes in it, and its end; what the end has to be is checked."""
    draw = world.draw
    for _ in range(draw.randrange(1, 4)):
        mark = draw.choice(["", None])
        async with Snapshot(world.place(), SETTINGS, mark=mark) as snapshot:
            for _ in range(draw.randrange(6)):
                await act(world, snapshot)
            if mark is None and snapshot.marks:
                wanted = tree(snapshot.root)
                await snapshot.checkpoint("last")
        if mark is None and snapshot.marks:
            async with Snapshot(world.place(), SETTINGS, mark="last") as snapshot:
                assert tree(snapshot.root) == wanted
    if draw.random() < 0.25:
        world.swap(world.workspace)
    before = tree(world.workspace)
    async with Snapshot(world.place(), SETTINGS, mark=None) as snapshot:
        for _ in range(draw.randrange(2, 10)):
            await act(world, snapshot)
        kept = await snapshot.keep()
        after = _expected(before, kept)
        end = draw.random()
        try:
            if end < 0.2:
                await snapshot.discard()
                assert tree(world.workspace) == before
            elif end < 0.6:
                await snapshot.accept()
                assert tree(world.workspace) == after
            else:
                await _killed_while_accepting(world, snapshot, monkeypatch)
                assert tree(world.workspace) in (before, after)
        except WorkbenchError:
            assert tree(world.workspace) == before
        await snapshot.discard()
    shutil.rmtree(world.state / "changes", ignore_errors=True)


def _expected(before: dict[str, Any], kept: Any) -> dict[str, Any]:
    """The workspace with the changes in it."""
    after = dict(before)
    for change in kept.changes:
        if change.before is not None:
            after.pop(change.path, None)
    for change in kept.changes:
        side = change.after
        if side is not None:
            kinds = {"folder": "d", "link": f"-> {side.target}", "file": kept.content(side)}
            after[change.path] = kinds[side.kind]
    # A folder stays as long as something that is nobody's change is in it.
    for change in kept.changes:
        if (
            change.after is None
            and change.before.kind == "folder"
            and any(path.startswith(f"{change.path}/") for path in after)
        ):
            after[change.path] = "d"
    # What is there stands in a folder, also where only the entry below it is a change.
    for path in list(after):
        for parent in Path(path).parents[:-1]:
            after.setdefault(parent.as_posix(), "d")
    return after


async def _killed_while_accepting(world: World, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the carry-over at a random system call, as a kill does; then the next process recovers."""
    left = world.draw.randrange(1, 25)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in ("replace", "link", "unlink", "rmdir", "mkdir", "symlink", "fsync"):
            patched.setattr(os, name, counted(getattr(os, name)))
        with contextlib.suppress(Killed):
            await snapshot.accept()
    recover(world.state / "changes")
    assert not [path for path in world.workspace.rglob("*") if path.name.endswith(".hal9-part")]


async def run(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(folder, seed)
    # A kill loses nothing of what was written, so waiting for the disk would only make the test slow.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for _ in range(2):
        await turn(world, monkeypatch)
    assert world.watch() == world.seen, f"seed {seed}"


@pytest.mark.parametrize("part", range(4))
async def test_random_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    for seed in range(part * 9, part * 9 + 9):
        await run(tmp_path / str(seed), seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
async def test_two_thousand_random_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    for seed in range(10_000 + part * 500, 10_000 + part * 500 + 500):
        folder = tmp_path / str(seed)
        await run(folder, seed, monkeypatch)
        shutil.rmtree(folder)
