"""A copy that begins with what earlier turns changed."""

from pathlib import Path

from hal9.settings import WorkbenchSettings
from hal9.workbench import Place, Snapshot
from hal9.workbench.changes import ChangeSet
from hal9.workbench.merging import merge_changes

SETTINGS = WorkbenchSettings(isolation="none")


async def test_the_changes_of_two_turns_are_where_a_third_begins_and_goes_back_to(
    workspace: Path, tmp_path: Path
) -> None:
    kept = []
    for name, script in {
        "1": "echo one > new; echo 'x = 2' > a.py; rm -r sub; mkdir empty; chmod +x new",
        "2": "mkdir -p deep/er; echo two > deep/er/file; ln -s a.py link",
    }.items():
        place = Place(workspace, tmp_path / name, changes=tmp_path / f"changes-{name}")
        async with Snapshot(place, SETTINGS) as snapshot:
            assert (await snapshot.run(script)).ok
            kept.append(await snapshot.keep())
    merged = merge_changes(kept[0], kept[1], tmp_path / "merged").kept
    place = Place(workspace, tmp_path / "3", begins=merged.folder)

    async def changed(snapshot: Snapshot) -> set[tuple[str, str]]:
        return {(one.action, one.path) for one in await snapshot.changes()}

    begun = {
        ("created", "new"), ("modified", "a.py"), ("deleted", "sub/rc"),
        ("created", "deep/er/file"), ("created", "link"),
    }  # fmt: skip
    async with Snapshot(place, SETTINGS) as snapshot:
        assert await changed(snapshot) == begun
        assert (snapshot.root / "new").stat().st_mode & 0o100
        assert (snapshot.root / "empty").is_dir()
        assert not (snapshot.root / "sub").exists()
        assert (await snapshot.run("echo three >> new; rm a.py")).ok
        await snapshot.checkpoint("step")
        assert (await snapshot.run("rm -r deep")).ok
    async with Snapshot(place, SETTINGS) as snapshot:  # as after a crash: at the last mark
        assert (snapshot.root / "new").read_text() == "one\nthree\n"
        assert (snapshot.root / "deep/er/file").read_text() == "two\n"
        await snapshot.restore()
        assert await changed(snapshot) == begun
        assert (snapshot.root / "a.py").read_text() == "x = 2\n"
    async with Snapshot(place, SETTINGS, mark="") as snapshot:
        assert await changed(snapshot) == begun
        await snapshot.accept()
    assert (workspace / "a.py").read_text() == "x = 2\n"
    assert (workspace / "deep/er/file").read_text() == "two\n"
    assert not (workspace / "sub").exists()


async def test_what_two_began_with_is_no_conflict_between_them(workspace: Path, tmp_path: Path) -> None:
    async def turn(name: str, script: str, begins: Path | None = None) -> ChangeSet:
        place = Place(workspace, tmp_path / name, changes=tmp_path / f"changes-{name}", begins=begins)
        async with Snapshot(place, SETTINGS) as snapshot:
            assert (await snapshot.run(script)).ok
            return await snapshot.keep()

    first = await turn("1", "printf 'x = 2\\ny = 2\\n\\nz = 2\\n' > a.py; echo new > new; echo old > old")
    second = await turn("2", "sed -i 's/x = 2/x = 3/' a.py; echo more >> new; rm old", first.folder)
    third = await turn("3", "sed -i 's/z = 2/z = 4/' a.py; echo x > other", first.folder)
    merged = merge_changes(second, third, tmp_path / "merged", ancestor=first)
    assert not merged.conflicts
    async with Snapshot(Place(workspace, tmp_path / "4", begins=merged.kept.folder), SETTINGS) as snapshot:
        assert (snapshot.root / "a.py").read_text() == "x = 3\ny = 2\n\nz = 4\n"
        assert (snapshot.root / "new").read_text() == "new\nmore\n"
        assert not (snapshot.root / "old").exists()
    fourth = await turn("5", "sed -i 's/x = 2/x = 5/' a.py; echo other > new", first.folder)
    merged = merge_changes(second, fourth, tmp_path / "again", ancestor=first)
    assert [(one.path, one.why) for one in merged.conflicts] == [
        ("a.py", "both changed the same lines"), ("new", "both changed the same lines"),
    ]  # fmt: skip
