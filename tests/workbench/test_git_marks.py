"""Git's folder in a copy goes back to a mark with the files, also when the process dies during a commit."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workbench.conftest import OpenSnapshot

SETTINGS = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
COMMIT = "git -c user.name=x -c user.email=x@example.org -c commit.gpgsign=false commit -q"
LOG = "git log --all --format=%s; git symbolic-ref HEAD"

# Opens a copy, commits, marks it, and is killed while a second commit waits for its editor.
DAEMON = """
import asyncio, sys
from pathlib import Path
from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot

async def main(workspace, folder, isolation, commit):
    settings = WorkbenchSettings(isolation=isolation)
    async with Snapshot(Place(Path(workspace), Path(folder)), settings) as snapshot:
        assert (await snapshot.run(f"echo 1 > one; git add one; {commit} -m marked")).ok
        await snapshot.checkpoint("marked")
        await snapshot.run(f"exec 9> held; flock 9; git checkout -qb other; echo 2 > one; git stash -q;"
                           f"echo 3 > one; GIT_EDITOR='touch reached; sleep 600;' {commit} -a")

asyncio.run(main(*sys.argv[1:]))
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *SETTINGS, "-C", folder, *arguments], check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture
def repository(workspace: Path) -> Path:
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "base")
    return workspace


def git_files(root: Path) -> dict[str, bytes]:
    """What git's folder holds; the index keeps times of files, which differ when they were put back."""
    files = [path for path in (root / ".git").rglob("*") if path.is_file() and path.name != "index"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("isolation", ["none", pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)])
async def test_a_kill_during_a_commit_leaves_the_mark(
    opened: OpenSnapshot, repository: Path, tmp_path: Path, isolation: str
) -> None:
    folder = tmp_path / "state" / "snapshot"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, repository, folder, isolation, COMMIT
    )
    while not (folder / "tree" / "reached").exists():
        assert process.returncode is None, "it ended before it was killed"
        await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    with (folder / "tree" / "held").open() as held:
        await asyncio.to_thread(fcntl.flock, held, fcntl.LOCK_EX)  # until the last of its commands is gone
    assert (folder / "tree" / ".git" / "index.lock").exists()
    assert (folder / "tree" / ".git" / "refs" / "stash").exists()
    async with opened(isolation=isolation) as snapshot:
        assert snapshot.continued
        done = await snapshot.run(
            f"{LOG}; git status --porcelain; git stash list; git fsck --strict; cat one"
        )
        assert done.output == "marked\nbase\nrefs/heads/main\n1\n", done.output
        # It can be worked with: nothing is locked.
        done = await snapshot.run(f"echo 4 > one; {COMMIT} -am again; {LOG}")
        assert done.output == "again\nmarked\nbase\nrefs/heads/main\n", done.output
        await snapshot.accept()
    assert (repository / "one").read_text() == "4\n"
    assert git(repository, "log", "--all", "--format=%s") == "base\n"


@pytest.mark.parametrize(
    "damage",
    [
        "rm -rf .git",
        "git update-ref -d refs/heads/main; git reflog expire --expire=now --all; git gc -q --prune=now",
        "rm -rf .git; ln -s ../outside .git",
        "mv .git/refs ../refs; ln -s ../../refs .git/refs",
        "rm .git/HEAD; mkfifo .git/HEAD; mkdir .git/index.lock",
        "git tag x; git branch y; git checkout -q y; git config user.name other; echo x > .git/hooks",
        "git rm -q sub/rc; git stash -q; git pack-refs --all; git repack -qad",
    ],
)
async def test_gits_folder_is_what_it_was_at_the_mark(
    opened: OpenSnapshot, repository: Path, outside: Path, damage: str
) -> None:
    async with opened() as snapshot:
        base = git_files(snapshot.root)
        assert (await snapshot.run(f"echo 1 > one; git add one; {COMMIT} -m marked")).ok
        await snapshot.checkpoint("marked")
        marked = git_files(snapshot.root)
        assert marked != base
        await snapshot.run(damage)
    async with opened() as snapshot:
        assert git_files(snapshot.root) == marked
        done = await snapshot.run(f"{LOG}; git status --porcelain; git fsck --strict")
        assert done.output == "marked\nbase\nrefs/heads/main\n", done.output
        assert {change.path for change in await snapshot.changes()} == {"one"}
        await snapshot.run(damage)
    async with opened(mark="") as snapshot:
        assert git_files(snapshot.root) == base
        done = await snapshot.run(f"{LOG}; git status --porcelain; git fsck --strict")
        assert done.output == "base\nrefs/heads/main\n", done.output
    assert [path.name for path in outside.iterdir()] == ["rc"]


async def test_a_repository_that_was_begun_after_the_mark_is_gone(
    opened: OpenSnapshot, workspace: Path
) -> None:
    async with opened() as snapshot:
        await snapshot.checkpoint("before")
        assert (await snapshot.run("git init -q")).ok
    async with opened() as snapshot:
        assert not (snapshot.root / ".git").exists()
        assert (await snapshot.run(f"git init -q; git add -A; {COMMIT} -m first")).ok
        await snapshot.checkpoint("first")
        await snapshot.run("rm -rf .git")
    async with opened(mark="first") as snapshot:
        assert (await snapshot.run("git log --format=%s")).output == "first\n"
    assert not os.path.lexists(workspace / ".git")


async def test_what_git_keeps_to_itself_does_not_come_from_the_workspace(
    opened: OpenSnapshot, repository: Path
) -> None:
    """The original's configuration may hold a password; going back takes the copy's own."""
    git(repository, "remote", "add", "origin", "https://name:password@example.org/x.git")
    async with opened() as snapshot:
        await snapshot.run("rm .git/config; mkfifo .git/config")
        await snapshot.checkpoint("odd")
        await snapshot.run("rm .git/config")
    for mark in ("odd", ""):
        async with opened(mark=mark) as snapshot:
            assert not [data for data in git_files(snapshot.root).values() if b"password" in data]
