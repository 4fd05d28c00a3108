"""A turn's copy: nothing leads out of it, what commands do counts, marks survive a crash, accepting is all or nothing."""

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.errors.workbench import (
    FileTooLarge,
    MarkUnknown,
    NotRegularFile,
    PathOutsideWorkspace,
    WorkspaceConflict,
    WorkspaceMissing,
    WorkspaceTooLarge,
    WorkspaceUnwritable,
)
from hal9.workbench import Place, Snapshot, load_changes
from hal9.workbench.handles import parts_of
from tests.workbench.conftest import OpenSnapshot


def tree(root: Path) -> dict[str, str | bytes]:
    """Everything below a folder: links as their target, files as their bytes."""
    found: dict[str, str | bytes] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if ".git" in path.parts:
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = stat.filemode(path.lstat().st_mode)[0]
    return found


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", ".", "a/..", "x\0y", "a/../b", "n" * 300, "\ud800"]
)
async def test_paths_that_lead_out_are_refused(opened: OpenSnapshot, path: str) -> None:
    async with opened() as snapshot:
        with pytest.raises(PathOutsideWorkspace):
            await snapshot.write(path, b"x")
        with pytest.raises(PathOutsideWorkspace):
            await snapshot.read_bytes(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(alphabet="ab./\\~\0 ", min_size=1, max_size=12))
def test_no_spelling_of_a_path_leads_out(tmp_path: Path, path: str) -> None:
    try:
        parts = parts_of(path, root=tmp_path)
    except PathOutsideWorkspace:
        return
    assert parts
    assert not {"", ".", ".."} & set(parts)
    assert tmp_path.joinpath(*parts).is_relative_to(tmp_path)


async def test_a_path_may_be_spelt_as_models_do(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        for path in ("./a.py", f"{workspace}/a.py", f"{snapshot.root}/a.py", "sub//..a"):
            await snapshot.write(path, b"seen\n")
        assert await snapshot.read_bytes("a.py") == b"seen\n"
        assert await snapshot.read_bytes("sub/..a") == b"seen\n"


# --- what stands in a file's place ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["link", "folder link", "fifo", "socket", "folder", "hard link", "device"])
async def test_only_regular_files_are_opened(opened: OpenSnapshot, outside: Path, kind: str) -> None:
    """A command swaps an entry after it was seen; nothing hangs, nothing outside is read, written or removed."""
    async with opened() as snapshot:
        await snapshot.write("sub/rc", b"edited\n")
        target = snapshot.root / "sub" / "rc"
        target.unlink()
        if kind == "link":
            target.symlink_to(outside / "rc")
        elif kind == "folder link":
            target.parent.rmdir()
            target.parent.symlink_to(outside)
        elif kind == "fifo":
            os.mkfifo(target)
        elif kind == "socket":
            await asyncio.to_thread(_make_socket, target)
        elif kind == "folder":
            target.mkdir()
        elif kind == "hard link":
            os.link(outside / "rc", target)
        else:
            try:
                os.mknod(target, stat.S_IFCHR | 0o600, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices")
        with pytest.raises(NotRegularFile):
            await snapshot.read_bytes("sub/rc")
        if kind != "hard link":
            with pytest.raises(NotRegularFile):
                await snapshot.write("sub/rc", b"x")
        kept = await snapshot.keep()
        assert "the user's own" not in "".join(kept.patch())
        if kind != "folder":
            assert set(kept.refused) & {"sub", "sub/rc"}
        await snapshot.checkpoint("odd")
        await snapshot.restore()
        assert await snapshot.read_bytes("sub/rc") == b"inside\n"
    assert (outside / "rc").read_text() == "the user's own\n"
    assert [path.name for path in outside.iterdir()] == ["rc"]


def _make_socket(path: Path) -> None:
    import socket

    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be longer than an address
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


async def test_a_mark_keeps_nothing_of_what_lies_outside(
    opened: OpenSnapshot, workspace: Path, outside: Path, tmp_path: Path
) -> None:
    """Neither what a hard link shows, nor a file that was left out of the copy, comes in by going back."""
    (workspace / ".env").write_text("KEY=the user's own\n")
    async with opened() as snapshot:
        assert ".env" in snapshot.copied.skipped
        for name in ("a.py", "new"):
            (snapshot.root / name).unlink(missing_ok=True)
            os.link(outside / "rc", snapshot.root / name)
        os.mkfifo(snapshot.root / ".env")
        await snapshot.checkpoint("odd")
        for name in ("a.py", "new", ".env"):
            (snapshot.root / name).unlink()
    async with opened() as snapshot:
        assert tree(snapshot.root) == {"a.py": b"x = 1\n", "sub": "d", "sub/rc": b"inside\n"}
        assert await snapshot.changes() == []
    kept = (tmp_path / "state" / "snapshot").rglob("*")
    assert not [path for path in kept if path.is_file() and b"the user's own" in path.read_bytes()]


async def test_a_hard_link_of_the_users_is_a_file_of_the_workspace(
    opened: OpenSnapshot, workspace: Path, outside: Path
) -> None:
    (workspace / "sub" / "rc").unlink()
    os.link(outside / "rc", workspace / "sub" / "rc")
    async with opened() as snapshot:
        await snapshot.write("sub/rc", b"edited\n")
        assert (await snapshot.changes())[0].diff == (
            "--- a/sub/rc\n+++ b/sub/rc\n@@ -1 +1 @@\n-the user's own\n+edited\n"
        )
        await snapshot.accept()
    assert (workspace / "sub" / "rc").read_text() == "edited\n"
    assert (outside / "rc").read_text() == "the user's own\n"


async def test_what_is_odd_in_a_workspace_is_not_copied(opened: OpenSnapshot, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    (workspace / "sub" / "link").symlink_to("/etc/passwd")
    async with opened() as snapshot:
        assert snapshot.copied.skipped == {"pipe": "a fifo"}
        with pytest.raises(NotRegularFile, match="link"):
            await snapshot.read_bytes("sub/link")
        with pytest.raises(WorkspaceUnwritable, match="not part of the copy .a fifo"):
            await snapshot.write("pipe", b"x")
        await snapshot.write("a.py", b"new\n")
        await snapshot.accept()
    assert (workspace / "sub" / "link").is_symlink()
    assert (workspace / "pipe").is_fifo()


async def test_a_closed_folder_does_not_count_as_deleted(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        assert (await snapshot.run("chmod 000 sub a.py")).ok
        await snapshot.accept()
    assert (workspace / "sub" / "rc").read_text() == "inside\n"


# --- changes ----------------------------------------------------------------------------------------


async def test_what_commands_change_counts(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        await snapshot.write("b.py", b"y = 1\n")
        done = await snapshot.run(
            "sed -i s/1/2/ a.py; rm -r sub; mkdir -p deep/er; echo z > deep/er/z; ln -s a.py l; chmod +x b.py; mkdir __pycache__; touch __pycache__/x.pyc"
        )
        assert done.ok
        changes = {change.path: change for change in await snapshot.changes()}
        assert {path: change.action for path, change in changes.items()} == {
            "a.py": "modified", "b.py": "created", "deep/er/z": "created", "l": "created", "sub/rc": "deleted",
        }  # fmt: skip
        assert changes["a.py"].diff == "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
        assert changes["a.py"].content == "x = 2\n"
        assert tree(workspace) == {"a.py": b"x = 1\n", "sub": "d", "sub/rc": b"inside\n"}
        await snapshot.accept()
    assert tree(workspace) == {
        "a.py": b"x = 2\n", "b.py": b"y = 1\n", "deep": "d", "deep/er": "d", "deep/er/z": b"z\n", "l": "-> a.py",
    }  # fmt: skip
    assert (workspace / "b.py").stat().st_mode & 0o777 == 0o755


async def test_touching_or_rewriting_the_same_is_no_change(opened: OpenSnapshot) -> None:
    async with opened() as snapshot:
        await snapshot.run("touch a.py; cp sub/rc x; mv x sub/rc")
        assert await snapshot.changes() == []


async def test_a_failed_turn_leaves_nothing(opened: OpenSnapshot, workspace: Path, tmp_path: Path) -> None:
    before = tree(workspace)
    async with opened() as snapshot:
        await snapshot.run("rm -rf sub a.py; mkdir closed; touch closed/x; chmod 000 closed; mkfifo p")
        await snapshot.discard()
    assert tree(workspace) == before
    assert not (tmp_path / "state" / "snapshot").exists()


@pytest.mark.parametrize("isolation", ["none", pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)])
async def test_the_patch_of_a_turn_is_one_that_git_applies(
    opened: OpenSnapshot, workspace: Path, tmp_path: Path, isolation: str
) -> None:
    names = ["plain", "with space", 'quo"te', "täst", "tab\there"]
    for name in names:
        (workspace / name).write_text("1\n2\n3\n")
    (workspace / "binary").write_bytes(bytes(range(256)) * 9)
    (workspace / "no end").write_text("a\nb")
    (workspace / "crlf").write_bytes(b"a\r\nb\x0c\x1e\r\nc\r\n")
    (workspace / "link").symlink_to("plain")
    (workspace / "gone").write_text("")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(workspace)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *arguments], check=True)
    async with opened(isolation=isolation) as snapshot:
        for name in names:
            await snapshot.write(name, b"1\n2 changed\n3\n4\n")
        await snapshot.write("binary", bytes(range(255, -1, -1)) * 7)
        await snapshot.write("no end", b"a\nb\nc")
        await snapshot.write("crlf", b"a\r\nB\x0c\x1e\r\nc")
        await snapshot.write("empty", b"")
        await snapshot.write("new binary", b"\0\1\2")
        done = await snapshot.run(
            "rm gone link; ln -s a.py link; chmod +x a.py; git status --short | wc -l; git log --format=%s"
        )
        assert done.output == "13\nbase\n", done.output
        kept = await snapshot.keep()
        patch = "".join(kept.patch())
        await snapshot.accept()
    apart = tmp_path / "apart"
    subprocess.run(["git", "clone", "-q", workspace, apart], check=True)
    (tmp_path / "p").write_bytes(patch.encode("utf-8", "surrogateescape"))
    subprocess.run(["git", "-C", apart, "apply", tmp_path / "p"], check=True)
    assert tree(apart) == tree(workspace)
    assert os.access(apart / "a.py", os.X_OK)


# --- marks ------------------------------------------------------------------------------------------


async def test_a_reopened_copy_stands_at_its_last_mark(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        await snapshot.run("echo one > n; rm sub/rc; ln -s a.py l")
        assert await snapshot.checkpoint("one") == 3
        assert await snapshot.checkpoint("still one") == 0
        await snapshot.run("echo two > n; echo two >> a.py; mkdir sub/deep; touch sub/deep/x; rm l; mkfifo l")
        await snapshot.checkpoint("two")
        await snapshot.run("rm -rf *; echo interrupted > junk")
    async with opened() as snapshot:
        assert snapshot.continued
        assert snapshot.marks[-1] == "two"
        assert tree(snapshot.root) == {
            "a.py": b"x = 1\ntwo\n",
            "n": b"two\n",
            "sub": "d",
            "sub/deep": "d",
            "sub/deep/x": b"",
        }
        assert {change.path for change in await snapshot.changes()} == {"a.py", "n", "sub/rc", "sub/deep/x"}
    async with opened(mark="one") as snapshot:
        assert tree(snapshot.root) == {"a.py": b"x = 1\n", "l": "-> a.py", "n": b"one\n", "sub": "d"}
        assert "two" not in snapshot.marks
    async with opened(mark="") as snapshot:
        assert tree(snapshot.root) == tree(workspace)
    with pytest.raises(MarkUnknown, match="'two'"):
        async with opened(mark="two"):
            pass


async def test_a_write_in_the_same_tick_is_seen(opened: OpenSnapshot) -> None:
    """Same size, same moment: only the content tells, and a mark must not miss it."""
    async with opened() as snapshot:
        for number in range(20):
            await snapshot.run(f"printf {number:02d} > a.py")
            await snapshot.checkpoint(str(number))
            await snapshot.run("printf xx > a.py")
            await snapshot.restore(str(number))
            assert await snapshot.read_bytes("a.py") == b"%02d" % number


async def test_a_torn_mark_is_no_mark(opened: OpenSnapshot, tmp_path: Path) -> None:
    async with opened() as snapshot:
        await snapshot.write("n", b"1")
        await snapshot.checkpoint("one")
        await snapshot.write("n", b"2")
        await snapshot.checkpoint("two")
    marks = tmp_path / "state" / "snapshot" / "marks.jsonl"
    os.truncate(marks, marks.stat().st_size - 5)
    async with opened() as snapshot:
        assert snapshot.marks[:1] == ["one"]
        assert await snapshot.read_bytes("n") == b"1"


async def test_an_interrupted_copying_begins_anew(opened: OpenSnapshot, tmp_path: Path) -> None:
    folder = tmp_path / "state" / "snapshot"
    (folder / "tree" / "half").mkdir(parents=True)
    async with opened() as snapshot:
        assert not snapshot.continued
        assert not (snapshot.root / "half").exists()


# --- accepting --------------------------------------------------------------------------------------


async def test_a_conflict_is_named_and_nothing_is_changed(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        await snapshot.run("echo mine > a.py; echo mine > new; echo mine > sub/rc; echo mine > free")
        (workspace / "a.py").write_text("theirs\n")
        (workspace / "new").write_text("theirs\n")
        (workspace / "sub" / "rc").unlink()
        before = tree(workspace)
        with pytest.raises(WorkspaceConflict) as caught:
            await snapshot.accept()
        assert dict(caught.value.conflicts) == {
            "a.py": "it was changed meanwhile", "new": "a file stands there that the task did not see", "sub/rc": "it was removed meanwhile",
        }  # fmt: skip
        assert tree(workspace) == before


async def test_what_others_changed_elsewhere_stays(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        await snapshot.run("echo mine > a.py")
        (workspace / "theirs").write_text("theirs\n")
        os.utime(workspace / "a.py")  # touched, not changed
        await snapshot.accept()
    assert tree(workspace) == {"a.py": b"mine\n", "sub": "d", "sub/rc": b"inside\n", "theirs": b"theirs\n"}


async def test_a_link_put_in_the_workspace_meanwhile_leads_nowhere(
    opened: OpenSnapshot, workspace: Path, outside: Path
) -> None:
    async with opened() as snapshot:
        await snapshot.run("echo mine > sub/rc; echo mine > sub/new")
        (workspace / "sub" / "rc").unlink()
        (workspace / "sub").rmdir()
        (workspace / "sub").symlink_to(outside)
        with pytest.raises(WorkspaceConflict):
            await snapshot.accept()
    assert tree(outside) == {"rc": b"the user's own\n"}


async def test_a_file_becomes_a_folder_and_back(
    opened: OpenSnapshot, workspace: Path, tmp_path: Path
) -> None:
    async with opened() as snapshot:
        await snapshot.run("rm a.py; mkdir a.py; echo x > a.py/x; rm -r sub; echo f > sub")
        await snapshot.accept()
        assert tree(workspace) == {"a.py": "d", "a.py/x": b"x\n", "sub": b"f\n"}
        kept = load_changes(tmp_path / "state" / "snapshot" / "changes")
    from hal9.workbench.applying import apply_changes

    apply_changes(kept, workspace, direction="back")
    assert tree(workspace) == {"a.py": b"x = 1\n", "sub": "d", "sub/rc": b"inside\n"}


async def test_a_file_that_became_a_folder_is_put_back_when_the_rest_fails(
    opened: OpenSnapshot, workspace: Path
) -> None:
    async with opened() as snapshot:
        await snapshot.run("rm a.py; mkdir a.py; rm -r sub; ln -s a.py sub")
        (workspace / "sub" / "theirs").write_text("theirs\n")  # so the folder cannot become a link
        before = tree(workspace)
        with pytest.raises(WorkspaceUnwritable):
            await snapshot.accept()
    assert tree(workspace) == before


async def test_an_accepted_turn_says_so_after_a_crash(opened: OpenSnapshot, workspace: Path) -> None:
    async with opened() as snapshot:
        await snapshot.write("a.py", b"done\n")
        await snapshot.accept("the answer")
    async with opened() as snapshot:
        assert snapshot.accepted is not None
        assert snapshot.accepted.note == "the answer"
        assert [change.path for change in snapshot.accepted.shown()] == ["a.py"]


# --- limits and the rest --------------------------------------------------------------------------------


async def test_limits(opened: OpenSnapshot, workspace: Path, tmp_path: Path) -> None:
    (workspace / "big").write_bytes(b"x" * (2 << 20))
    with pytest.raises(WorkspaceTooLarge, match="more than 1 MB"):
        async with opened(snapshot_mb=1):
            pass
    with pytest.raises(WorkspaceTooLarge, match="more than 2 entries"):
        async with opened(snapshot_files=2):
            pass
    async with opened(file_mb=1) as snapshot:
        with pytest.raises(FileTooLarge, match=r"workbench\.file_mb"):
            await snapshot.read_bytes("big")
        with pytest.raises(FileTooLarge):
            await snapshot.write("b", b"x" * (2 << 20))
        with pytest.raises(FileNotFoundError):
            await snapshot.read_bytes("ghost")
    with pytest.raises(WorkspaceMissing, match="not a directory"):
        async with Snapshot(Place(tmp_path / "nowhere", tmp_path / "s")):
            pass


async def test_installed_packages_and_shared_folders_are_not_copied(
    opened: OpenSnapshot, workspace: Path
) -> None:
    for name in ("node_modules/x", ".venv/lib", "web/node_modules/y", "data/raw"):
        (workspace / name).mkdir(parents=True)
        (workspace / name / "file").write_text("installed")
    (workspace / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    async with opened(isolation="none", shared_folders=["data"]) as snapshot:
        done = await snapshot.run("cat web/node_modules/y/file data/raw/file; rm -f node_modules; true")
        assert done.output == "installedinstalled"
        with pytest.raises(WorkspaceUnwritable, match="shared read-only"):
            await snapshot.write("data/raw/file", b"x")
        assert await snapshot.changes() == []
        await snapshot.accept()
        await snapshot.discard()
    assert (workspace / "node_modules" / "x" / "file").read_text() == "installed"
    async with opened(isolation="auto", shared_folders=["data"]) as snapshot:
        assert sorted(snapshot.copied.shared) == [".venv", "data", "node_modules", "web/node_modules"]
        done = await snapshot.run("cat web/node_modules/y/file data/raw/file; echo x > data/raw/file; true")
        assert done.output.startswith("installedinstalled")
        with pytest.raises(WorkspaceUnwritable, match="shared read-only"):
            await snapshot.write("data/raw/file", b"x")
        assert await snapshot.changes() == []
        await snapshot.accept()
    assert (workspace / "data" / "raw" / "file").read_text() == "installed"


async def test_names_that_are_no_utf8_come_through(opened: OpenSnapshot, workspace: Path) -> None:
    raw = os.fsencode(workspace) + b"/\xff\xfe"
    Path(os.fsdecode(raw)).write_text("old\n")
    async with opened() as snapshot:
        await snapshot.run(
            "for f in *; do echo new > \"$f\" 2>/dev/null; done; printf 'x' > \"$(printf '\\374')\""
        )
        shown = [change.path for change in await snapshot.changes()]
        assert shown == ["a.py", "\\xfc", "\\xff\\xfe"]
        await snapshot.accept()
    assert Path(os.fsdecode(raw)).read_text() == "new\n"


async def test_a_start_finishes_what_a_kill_left_and_removes_what_is_old(
    opened: OpenSnapshot, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hal9.workbench import applying
    from hal9.workbench.upkeep import tidy

    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    changes = tmp_path / "state" / "changes"
    async with opened(changes=changes / "task" / "turn") as snapshot:
        await snapshot.run("echo 1 > a.py; echo 2 > new")
        monkeypatch.setattr(applying.ChangeApplier, "_exchange_one", kill)
        with pytest.raises(Killed):
            await snapshot.accept("the answer")
        monkeypatch.undo()
    assert "new" not in tree(workspace)
    assert tidy(tmp_path / "none", changes, before=0) == 1
    assert {name: data for name, data in tree(workspace).items() if "/" not in name} == {
        "a.py": b"1\n",
        "new": b"2\n",
        "sub": "d",
    }
    assert tidy(tmp_path / "none", changes, before=0) == 0
    async with opened(changes=changes / "task" / "turn") as snapshot:
        assert snapshot.accepted is not None
        assert snapshot.accepted.note == "the answer"
        await snapshot.run("mkdir closed; touch closed/x; chmod 000 closed")
    assert tidy(tmp_path / "state", changes, before=2e9 * 2) == 0
    assert not (tmp_path / "state" / "snapshot").exists()
    assert not (changes / "task").exists()


_LITTLE = {
    "nothing": ("true", 0),
    "a file of the same size": ("printf 'y = 1\\n' > a.py", 1),
    "a file by another inode": ("cp a.py b && mv b a.py", 1),
    "other rights": ("chmod 600 a.py", 1),
    "a link in its place": ("ln -sf sub/rc a.py", 1),
    "a link that leads elsewhere": ("ln -sfn nowhere link", 1),
    "a file gone": ("rm a.py", 1),
    "an empty folder": ("mkdir empty", 1),
    "what a tool keeps for itself": ("mkdir __pycache__ && touch __pycache__/a.pyc", 0),
    "git's own": ("mkdir .git && touch .git/HEAD", 2),
    "many": ("touch $(seq 100)", 100),
}


@pytest.mark.parametrize(
    ("name", "files"), [*((name, 0) for name in _LITTLE), ("nothing", 60), ("a file gone", 60)]
)
async def test_a_mark_sees_every_change_of_small_and_larger_copies(
    workspace: Path, opened: OpenSnapshot, name: str, files: int
) -> None:
    (workspace / "link").symlink_to("sub")
    for number in range(files):
        (workspace / f"file{number}").write_text(f"{number}\n")
    command, changed = _LITTLE[name]
    async with opened() as snapshot:
        assert (await snapshot.run(command)).ok
        assert await snapshot.checkpoint("one", note={"says": "done"}) == changed
        assert snapshot.note_of("one") == ({"says": "done"} if changed else None)
        assert await snapshot.checkpoint("two", note={"says": "again"}) == 0
        before = tree(snapshot.root)
        (snapshot.root / "a.py").unlink(missing_ok=True)
    async with opened() as snapshot:
        assert tree(snapshot.root) == before
