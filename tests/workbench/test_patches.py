"""After the task: its changes are found by id, applied, taken back, merged, committed to a branch."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.workbench import BranchFailed, ChangesMissing, WorkspaceConflict
from hal9.settings import WorkbenchSettings
from hal9.text import split_lines
from hal9.workbench import Place, Snapshot
from hal9.workbench.changes import ChangeSet
from hal9.workbench.diffs import unified
from hal9.workbench.merging import merge_changes, merge_texts
from hal9.workbench.patches import find_changes
from tests.workbench.test_snapshot import tree

BASE = "".join(f"line {number}\n" for number in range(20))


def changed(text: str, **edits: str) -> str:
    lines = text.split("\n")
    for number, new in edits.items():
        lines[int(number[1:])] = new
    return "\n".join(lines)


async def turn(workspace: Path, tmp_path: Path, name: str, script: str, *, accept: bool) -> ChangeSet:
    place = Place(workspace, tmp_path / "snapshots" / name, changes=tmp_path / "changes" / "task" / name)
    async with Snapshot(place, WorkbenchSettings(isolation="none")) as snapshot:
        done = await snapshot.run(script)
        assert done.ok, done.output
        kept = await (snapshot.accept() if accept else snapshot.keep())
        await snapshot.discard()
    return kept


async def test_applied_later_and_taken_back(workspace: Path, tmp_path: Path) -> None:
    before = tree(workspace)
    await turn(workspace, tmp_path, "1", "echo y = 2 >> a.py; rm sub/rc; echo n > new", accept=False)
    assert tree(workspace) == before
    found = find_changes(tmp_path / "changes", "task")
    assert found.carried == "none"
    found.apply()
    assert tree(workspace) == {"a.py": b"x = 1\ny = 2\n", "new": b"n\n"} | (
        {"sub": "d"} if (workspace / "sub").exists() else {}
    )
    assert find_changes(tmp_path / "changes", "task").carried == "all"
    found.apply()  # once more changes nothing
    (workspace / "new").write_text("edited by a person\n")
    with pytest.raises(WorkspaceConflict, match="new: it was changed meanwhile"):
        found.take_back()
    (workspace / "new").write_text("n\n")
    found.take_back()
    assert tree(workspace) == before


async def test_the_turns_of_one_task_are_one_change(workspace: Path, tmp_path: Path) -> None:
    before = tree(workspace)
    await turn(workspace, tmp_path, "1", "echo one > a.py; echo gone > passing", accept=True)
    await turn(workspace, tmp_path, "2", "echo two >> a.py; rm passing; echo n > n", accept=True)
    await turn(workspace, tmp_path, "3", "echo a failed try > a.py", accept=False)
    found = find_changes(tmp_path / "changes", "task")
    assert {change.path: change.action for change in found.kept.shown()} == {
        "a.py": "modified",
        "n": "created",
    }
    found.take_back()
    assert tree(workspace) == before
    with pytest.raises(ChangesMissing, match="changed no file"):
        find_changes(tmp_path / "changes", "other")


# --- branches -----------------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(workspace: Path) -> Path:
    (workspace / "code.py").write_text(BASE)
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "config", "user.name", "A Person")
    git(workspace, "config", "user.email", "person@example.org")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "base")
    return workspace


async def test_a_branch_holds_the_changes_and_the_working_tree_does_not(
    repository: Path, tmp_path: Path
) -> None:
    # Also with work of one's own in the same file that is not committed.
    (repository / "code.py").write_text(changed(BASE, l2="my own, not committed"))
    before = tree(repository)
    await turn(
        repository,
        tmp_path,
        "1",
        "sed -i 's/^line 15$/line fifteen/' code.py; rm sub/rc; echo n > new; chmod +x new",
        accept=False,
    )
    found = find_changes(tmp_path / "changes", "task")
    commit = found.commit("fix/it", "Fix it\n\nWith words.")
    assert tree(repository) == before
    assert git(repository, "rev-parse", "fix/it") == commit
    assert git(repository, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert git(repository, "log", "-1", "--format=%an %s", commit) == "A Person Fix it"
    assert git(repository, "show", "--format=", "--name-status", commit) == "M\tcode.py\nA\tnew\nD\tsub/rc"
    assert git(repository, "show", f"{commit}:code.py") + "\n" == changed(BASE, l15="line fifteen")
    assert git(repository, "worktree", "list").count("\n") == 0
    with pytest.raises(BranchFailed, match="already exists"):
        found.commit("fix/it", "again")
    with pytest.raises(BranchFailed, match="not a valid branch name"):
        found.commit("no good..name", "x")


async def test_a_branch_that_cannot_be_made_leaves_nothing(workspace: Path, tmp_path: Path) -> None:
    await turn(workspace, tmp_path, "1", "echo x > a.py", accept=False)
    found = find_changes(tmp_path / "changes", "task")
    with pytest.raises(BranchFailed, match="not in a git repository"):
        found.commit("b", "m")
    git(workspace, "init", "-q", "-b", "main")
    git(workspace, "config", "user.name", "A Person")
    git(workspace, "config", "user.email", "person@example.org")
    (workspace / "a.py").write_text("quite another\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "other")
    with pytest.raises(WorkspaceConflict, match="in the last commit it is not what"):
        found.commit("b", "m")
    assert git(workspace, "branch", "--list") == "* main"


# --- merging --------------------------------------------------------------------------------------------


def test_texts_merge_where_they_do_not_touch() -> None:
    ours = changed(BASE, l2="two")
    theirs = changed(BASE, l10="ten\nand a half")
    assert merge_texts(BASE, ours, theirs) == changed(BASE, l2="two", l10="ten\nand a half")
    assert merge_texts(BASE, ours, BASE) == ours
    assert merge_texts(BASE, BASE, theirs) == theirs
    assert merge_texts(BASE, ours, changed(BASE, l2="zwei")) is None
    assert merge_texts(BASE, ours, changed(BASE, l2="two", l18="x")) == changed(BASE, l2="two", l18="x")


@given(st.integers(0, 10_000))
def test_a_merge_is_what_git_makes_of_it_or_nothing(seed: int) -> None:
    """No line of either side is lost, and the order of the sides does not matter."""
    draw = random.Random(seed)
    base = [f"{number}\n" for number in range(12)]

    def side(name: str) -> list[str]:
        lines = list(base)
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(lines) + 1)
            if draw.random() < 0.5 and at < len(lines):
                lines[at] = f"{name}{draw.randrange(99)}\n"
            else:
                lines.insert(at, f"{name}{draw.randrange(99)}\n")
        return lines

    ours, theirs = "".join(side("o")), "".join(side("t"))
    merged = merge_texts("".join(base), ours, theirs)
    assert merged == merge_texts("".join(base), theirs, ours)
    if merged is not None:
        found = split_lines(merged)
        assert [line for line in found if line[0] == "o"] == [
            line for line in split_lines(ours) if line[0] == "o"
        ]
        assert [line for line in found if line[0] == "t"] == [
            line for line in split_lines(theirs) if line[0] == "t"
        ]


async def test_two_turns_in_parallel_become_one_change(workspace: Path, tmp_path: Path) -> None:
    (workspace / "code.py").write_text(BASE)
    ours = await turn(
        workspace,
        tmp_path,
        "1",
        "sed -i 's/^line 2$/two/' code.py; echo x > ours; rm sub/rc; rmdir sub; echo x > both",
        accept=False,
    )
    theirs = await turn(
        workspace,
        tmp_path,
        "2",
        "sed -i 's/^line 9$/nine/' code.py; echo y > theirs; echo y > both; echo y >> a.py",
        accept=False,
    )
    merged = merge_changes(ours, theirs, tmp_path / "merged")
    assert [(conflict.path, conflict.why) for conflict in merged.conflicts] == [
        ("both", "both made it, with different contents")
    ]
    assert "+x" in merged.conflicts[0].ours
    assert "+y" in merged.conflicts[0].theirs
    from hal9.workbench.applying import apply_changes

    apply_changes(merged.kept, workspace)
    assert tree(workspace) == {
        "a.py": b"x = 1\ny\n", "code.py": changed(BASE, l2="two", l9="nine").encode(), "ours": b"x\n", "theirs": b"y\n",
    }  # fmt: skip


# --- diffs ------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abc\n"), max_size=30), st.lists(st.sampled_from("abc\n"), max_size=30))
def test_a_diff_leads_from_one_text_to_the_other(old: list[str], new: list[str]) -> None:
    before, after = "".join(old), "".join(new)
    assert _patched(before, unified(before, after, before="a", after="b")) == after


def test_a_diff_of_a_huge_file_takes_no_time() -> None:
    before = "".join(f"{number}\n" for number in range(200_000))
    after = before.replace("\n777\n", "\nnew\n")
    assert unified(before, after, before="a", after="b").count("\n") == 11
    other = "".join(f"x{number % 7}\n" for number in range(200_000))
    assert _patched(before, unified(before, other, before="a", after="b")) == other


def _patched(text: str, diff: str) -> str:
    """Apply a unified diff, checking every line of context."""
    lines = split_lines(text, keepends=True)
    result: list[str] = []
    at = 0
    rows = split_lines(diff, keepends=True)[2:]
    for number, row in enumerate(rows):
        cut = number + 1 < len(rows) and rows[number + 1].startswith("\\")
        content = row[1:-1] if cut else row[1:]
        if row.startswith("@@"):
            start, _, count = row.split()[1][1:].partition(",")
            first = int(start) - (count != "0")
            result += lines[at:first]
            at = first
        elif row.startswith("+"):
            result.append(content)
        elif not row.startswith("\\"):
            assert lines[at] == content
            if row.startswith(" "):
                result.append(content)
            at += 1
    return "".join([*result, *lines[at:]])
