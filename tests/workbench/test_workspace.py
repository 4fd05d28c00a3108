"""The jail, atomic edits, diffs, undo."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.errors.workbench import (
    FileNotText,
    FileTooLarge,
    PathOutsideWorkspace,
    WorkspaceMissing,
    WorkspaceUnwritable,
)
from hal9.workbench import FileEdit, Workspace


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", ".", "a/..", "link/x", "filelink", "x\0y", "a/../b"]
)
def test_paths_that_leave_are_refused(tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "filelink").symlink_to(outside / "secret")
    workspace = Workspace(root)
    with pytest.raises(PathOutsideWorkspace):
        workspace.resolve(path)
    with pytest.raises(PathOutsideWorkspace):
        workspace.apply([FileEdit(path, "x")])
    assert (outside / "secret").read_text() == "s"
    assert not (outside / "x").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.text(alphabet="ab./\\~\0 ", min_size=1, max_size=12))
def test_no_spelling_of_a_path_leads_out(tmp_path: Path, path: str) -> None:
    root = tmp_path / "jail"
    root.mkdir(exist_ok=True)
    try:
        resolved = Workspace(root).resolve(path)
    except PathOutsideWorkspace:
        return
    assert resolved.is_relative_to(root.resolve())
    assert resolved != root.resolve()


def test_an_edit_keeps_its_diff_and_the_files_mode(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("echo a\n")
    script.chmod(0o755)
    changes = Workspace(tmp_path).apply([FileEdit("run.sh", "echo b\n"), FileEdit("new/deep.txt", "hi\n")])
    assert [change.action for change in changes] == ["modified", "created"]
    assert "-echo a\n+echo b\n" in changes[0].diff
    assert script.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new/deep.txt").read_text() == "hi\n"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_an_edit_that_changes_nothing_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert Workspace(tmp_path).apply([FileEdit("a", "x"), FileEdit("ghost", None)]) == []


def test_all_edits_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "dir").mkdir()
    with pytest.raises(WorkspaceUnwritable, match="No file of this group"):
        Workspace(tmp_path).apply([FileEdit("a", "new"), FileEdit("b", "new"), FileEdit("dir", "not a file")])
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "b").exists()


def test_revert_restores_the_very_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\x00raw")
    workspace = Workspace(tmp_path)
    workspace.apply([FileEdit("a", "one"), FileEdit("b", "one")])
    workspace.apply([FileEdit("a", "two"), FileEdit("c", "two")])
    assert {change.path for change in workspace.changes()} == {"a", "b", "c"}
    workspace.revert()
    assert (tmp_path / "a").read_bytes() == b"\xff\x00raw"
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "c").exists()
    assert workspace.changes() == []


def test_a_crash_between_edits_is_undone_by_the_next_owner(tmp_path: Path) -> None:
    root, undo = tmp_path / "root", tmp_path / "undo.json"
    root.mkdir()
    (root / "a").write_text("before")
    Workspace(root, undo_file=undo).apply([FileEdit("a", "half"), FileEdit("b", "half")])
    assert undo.exists()  # the process is gone now, nobody reverted
    Workspace(root, undo_file=undo)
    assert (root / "a").read_text() == "before"
    assert not (root / "b").exists()
    assert not undo.exists()


def test_limits_and_kinds_of_files(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, max_file_bytes=10)
    with pytest.raises(FileTooLarge, match="limit is 10"):
        workspace.apply([FileEdit("big", "x" * 11)])
    (tmp_path / "big").write_text("y" * 11)
    with pytest.raises(FileTooLarge):
        workspace.read("big")
    (tmp_path / "bin").write_bytes(b"\xff\xfe")
    with pytest.raises(FileNotText):
        workspace.read("bin")
    with pytest.raises(FileNotFoundError):
        workspace.read("ghost")
    with pytest.raises(WorkspaceMissing, match="not a directory"):
        Workspace(tmp_path / "nowhere")
