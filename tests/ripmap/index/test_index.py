"""The index: what is cached, what is read again, and what happens when cache or tree are not what they were."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.errors.ripmap import FileNotIndexed, GitFailed
from hal9.ripmap import FileRecord, Index, IndexSettings, open_index, open_revision
from hal9.ripmap.history.git_command import head_commit

from .conftest import git, write_files


def upper(record: FileRecord, text: str) -> bytes:
    return f"{record.path}:{len(record.definitions)}:{text.upper()}".encode()


def same(one: Index, other: Index) -> bool:
    return list(one.files) == list(other.files) and one.fingerprint == other.fingerprint


def read_once(root: Path, settings: IndexSettings) -> list[FileRecord]:
    """All records, with the database closed again."""
    index = open_index(root, settings)
    records = list(index.files)
    assert all(len(record.references) >= 0 for record in records)
    index.close()
    return records


def test_records_and_texts(shop: Path, settings: IndexSettings) -> None:
    index = open_index(shop, settings)
    cart = index.file("shop/cart.py")
    assert [d.qualified for d in cart.definitions] == ["Cart", "Cart.__init__", "Cart.checkout"]
    assert cart.docstring == "Carts."
    assert cart.strings[0].text == "the cart has no items"
    assert index.text("shop/price.py").startswith("def total")
    assert list(index.paths) == sorted(index.paths)
    assert index.files[index.file_index("shop/cart.py")] == cart
    with pytest.raises(FileNotIndexed, match="ignored/secret.py"):
        index.file("ignored/secret.py")


def test_second_opening_reads_nothing(shop: Path, settings: IndexSettings) -> None:
    first = open_index(shop, settings)
    second = open_index(shop, settings)
    assert first.stats.extracted == len(first)
    assert second.stats.extracted == 0
    assert same(first, second)


def test_an_edit_of_one_file_extracts_one_file(shop: Path, settings: IndexSettings) -> None:
    first = open_index(shop, settings)
    write_files(shop, {"shop/price.py": "def total(items):\n    return 0\n"})
    second = open_index(shop, settings)
    assert second.stats.extracted == 1
    assert [d.name for d in second.file("shop/price.py").definitions] == ["total"]
    assert first.fingerprint != second.fingerprint


def test_an_edit_of_the_same_size_and_time_is_seen(shop: Path, settings: IndexSettings) -> None:
    path = shop / "shop/price.py"
    path.write_text("def total(items): pass\n")
    stamp = path.stat()
    open_index(shop, settings)
    path.write_text("def other(items): pass\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert [d.name for d in open_index(shop, settings).file("shop/price.py").definitions] == ["other"]


def test_content_known_elsewhere_is_not_extracted_again(shop: Path, settings: IndexSettings) -> None:
    open_index(shop, settings)
    copy = shop.parent / "copy"
    shutil.copytree(shop, copy)
    index = open_index(copy, settings)
    assert index.stats.extracted == 0
    assert index.file("shop/cart.py") == open_index(shop, settings).file("shop/cart.py")


def test_without_cache_nothing_is_written(shop: Path, settings: IndexSettings) -> None:
    index = open_index(shop, replace(settings, use_cache=False))
    assert index.file("shop/cart.py").definitions[0].name == "Cart"
    assert bytes(index.artifact("a", 1, lambda: b"x")) == b"x"
    assert not settings.folder.exists()


def test_cached_and_uncached_agree(shop: Path, settings: IndexSettings) -> None:
    open_index(shop, settings)
    assert same(open_index(shop, settings), open_index(shop, replace(settings, use_cache=False)))


def test_workers_and_one_process_agree(
    tmp_path: Path, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.ripmap.index.building._POOL_BYTES", 0)
    monkeypatch.setattr("hal9.ripmap.index.index._POOL_BYTES", 0)
    root = tmp_path / "big"
    write_files(root, {f"p{n % 7}/m{n}.py": f"X{n} = 1\ndef f{n}(a):\n    return g(a)\n" for n in range(450)})
    many = open_index(root, replace(settings, workers=2, cache_dir=tmp_path / "c2"))
    one = open_index(root, settings)
    assert same(many, one)
    assert many.stats.extracted == 450
    assert many.file_artifacts("upper", 1, upper) == one.file_artifacts("upper", 1, upper)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "flipped"])
def test_damaged_database_is_rebuilt_with_a_notice(shop: Path, settings: IndexSettings, damage: str) -> None:
    records = read_once(shop, settings)
    database = settings.folder / "contents.sqlite"
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    raw = database.read_bytes()
    changed = {
        "garbage": b"this is no database" * 400,
        "truncated": raw[: len(raw) // 2],
        "empty": b"",
        "flipped": raw[:100] + bytes(255 - byte for byte in raw[100:]),
    }[damage]
    database.write_bytes(changed)
    shutil.rmtree(settings.folder / "trees")
    notices: list[str] = []
    index = open_index(shop, settings, notify=notices.append)
    assert list(index.files) == records
    if damage != "empty":
        assert any("rebuilt" in notice for notice in notices), notices
    assert open_index(shop, settings).stats.extracted == 0


def test_snapshot_over_a_lost_database_extracts_on_demand(shop: Path, settings: IndexSettings) -> None:
    records = list(open_index(shop, settings).files)
    for path in settings.folder.glob("contents.sqlite*"):
        path.unlink()
    assert list(open_index(shop, settings).files) == records


@pytest.mark.parametrize("keep", [0, 5, 50, -1])
def test_truncated_snapshot_is_ignored(shop: Path, settings: IndexSettings, keep: int) -> None:
    records = list(open_index(shop, settings).files)
    snapshot = next(settings.folder.glob("trees/*/snapshot"))
    snapshot.write_bytes(snapshot.read_bytes()[:keep])
    assert list(open_index(shop, settings).files) == records


def test_cache_that_cannot_be_written_is_told_of(shop: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    notices: list[str] = []
    index = open_index(shop, IndexSettings(cache_dir=blocked / "cache"), notify=notices.append)
    assert index.file("shop/cart.py").definitions
    assert any("RIPMAP_CACHE_DIR" in notice for notice in notices)


def test_concurrent_runs_share_one_cache(shop: Path, settings: IndexSettings) -> None:
    code = (
        "import sys; from pathlib import Path; from hal9.ripmap import IndexSettings, open_index\n"
        "index = open_index(sys.argv[1], IndexSettings(cache_dir=Path(sys.argv[2]), workers=1))\n"
        "index.artifact('a', 1, lambda: b'payload'); print(index.fingerprint, sum(len(f.definitions) for f in index.files))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(shop), str(settings.folder)], stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(outputs) == 1


# --- artifacts ---


def test_artifact_lives_as_long_as_its_tree(shop: Path, settings: IndexSettings) -> None:
    built: list[int] = []

    def build() -> bytes:
        built.append(1)
        return b"first" if len(built) == 1 else b"second"

    assert bytes(open_index(shop, settings).artifact("a", 1, build)) == b"first"
    assert bytes(open_index(shop, settings).artifact("a", 1, build)) == b"first"
    assert bytes(open_index(shop, settings).artifact("a", 2, build)) == b"second"
    write_files(shop, {"shop/price.py": "changed = True\n"})
    assert bytes(open_index(shop, settings).artifact("a", 1, build)) == b"second"
    assert len(built) == 3


@pytest.mark.parametrize("size", [100, 9_000_000])
@pytest.mark.parametrize("cut", [0, 10, 30, -1])
def test_truncated_artifact_is_built_again(shop: Path, settings: IndexSettings, size: int, cut: int) -> None:
    open_index(shop, settings).artifact("a", 1, lambda: b"x" * size)
    place = next(settings.folder.glob("trees/*/artifacts/a-v1-*"))
    place.write_bytes(place.read_bytes()[:cut])
    assert bytes(open_index(shop, settings).artifact("a", 1, lambda: b"again")) == b"again"


def test_artifact_is_patched_from_an_earlier_tree(shop: Path, settings: IndexSettings) -> None:
    first = open_index(shop, settings)
    first.artifact("a", 1, lambda: "|".join(first.paths).encode())
    write_files(shop, {"shop/price.py": "changed = True\n", "aaa.py": "new = 1\n"})
    second = open_index(shop, settings)
    seen: list[list[int]] = []

    def patch(older: memoryview, older_indexes: list[int]) -> bytes:
        seen.append(older_indexes)
        names = bytes(older).decode().split("|")
        return (
            b"patched:"
            + "|".join(
                names[older_index] if older_index >= 0 else "?" for older_index in older_indexes
            ).encode()
        )

    made = bytes(second.artifact("a", 1, lambda: b"built", patch=patch)).decode()
    expected = [path if path not in {"shop/price.py", "aaa.py"} else "?" for path in second.paths]
    assert made == "patched:" + "|".join(expected)
    assert len(seen) == 1


def test_file_artifacts_are_built_once_per_content(shop: Path, settings: IndexSettings) -> None:
    built: list[str] = []

    def build(record: FileRecord, text: str) -> bytes:
        built.append(record.path)
        return text.encode()

    open_index(shop, settings).file_artifacts("t", 1, build)
    write_files(shop, {"shop/price.py": "changed = True\n"})
    index = open_index(shop, settings)
    built.clear()
    made = index.file_artifacts("t", 1, build)
    assert built == ["shop/price.py"]
    assert made == [index.text(path).encode() for path in index.paths]


def test_tree_changing_underneath_is_never_cached_wrongly(shop: Path, settings: IndexSettings) -> None:
    index = open_index(shop, settings)
    original = (shop / "shop/price.py").read_text()
    write_files(shop, {"shop/price.py": "late = True\n"})
    made = index.file_artifacts("t", 1, upper)
    index.artifact("whole", 1, lambda: b"from a mixed state")
    assert index.stale == {"shop/price.py"}
    assert b"LATE" in made[index.file_index("shop/price.py")]
    write_files(shop, {"shop/price.py": original})
    again = open_index(shop, settings)
    assert again.fingerprint == index.fingerprint
    assert b"DEF TOTAL" in again.file_artifacts("t", 1, upper)[again.file_index("shop/price.py")]
    assert bytes(again.artifact("whole", 1, lambda: b"clean")) == b"clean"


def test_file_deleted_underneath_reads_as_empty(shop: Path, settings: IndexSettings) -> None:
    index = open_index(shop, replace(settings, use_cache=False))
    (shop / "shop/price.py").unlink()
    assert index.text("shop/price.py") == ""
    assert index.stale == {"shop/price.py"}


# --- contents of every sort ---


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"), "name = 'é'"),
        ("# coding: nonsense\nname = 'é'\n".encode("latin-1"), "name = 'é'"),
        ("\ufeffname = 'é'\n".encode(), "name = 'é'"),
        ("name = 'é'\n".encode("utf-16"), "name = 'é'"),
        (b"name = '\xff\xfe'\r\nother = 1\r\n", "name = 'ÿþ'"),
    ],
)
def test_encodings(shop: Path, settings: IndexSettings, content: bytes, text: str) -> None:
    (shop / "shop/odd.py").write_bytes(content)
    index = open_index(shop, settings)
    assert text in index.text("shop/odd.py")
    assert "name" in [d.name for d in index.file("shop/odd.py").definitions]


def test_binary_empty_and_oversized_files(shop: Path, settings: IndexSettings) -> None:
    (shop / "shop/blob.py").write_bytes(b"abc\0def")
    (shop / "shop/empty.py").write_bytes(b"")
    (shop / "shop/large.py").write_bytes(b"x = 1\n" * 1000)
    index = open_index(shop, replace(settings, max_file_bytes=2000))
    assert "shop/blob.py" not in index
    assert index.stats.skipped_binary == 2
    (shop / "other").mkdir()
    (shop / "other" / "photo.png").write_bytes(b"\x89PNG")
    assert open_index(shop, replace(settings, max_file_bytes=2000)).stats.skipped_binary == 3
    (shop / "other" / "photo.png").unlink()
    assert open_index(shop, replace(settings, max_file_bytes=2000)).stats.skipped_binary == 2
    assert index.file("shop/empty.py").lines == 0
    assert index.file("shop/large.py").parse_status == "oversized"
    assert index.text("shop/large.py") == ""


def test_names_of_every_sort(shop: Path, settings: IndexSettings) -> None:
    names = [
        "with space.py",
        "ünïcode.py",
        "new\nline.py",
        "quote'\".py",
        "emoji🎉.py",
        "-dash.py",
        "a" * 200 + ".py",
    ]
    for name in names:
        (shop / name).write_text("x = 1\n")
    (Path(os.fsdecode(os.fsencode(shop) + b"/bad\xff.py"))).write_text("x = 1\n")
    index = open_index(shop, settings)
    assert set(names) <= set(index.paths)
    assert list(open_index(shop, settings).paths) == list(index.paths)
    assert len(list(index.files)) == len(index)


def test_a_ten_megabyte_file(shop: Path, settings: IndexSettings) -> None:
    block = b'def f(a):\n    """' + b"nothing but words in a long text\n" * 280 + b'"""\n    return g(a)\n'
    (shop / "shop/huge.py").write_bytes(block * 1040)
    (shop / "shop/line.js").write_bytes(b"f(1);" * 1_600_000)
    index = open_index(shop, settings)
    assert len(index.file("shop/huge.py").definitions) == 1040
    assert index.file("shop/line.js").parse_status == "words"


# --- git ---


def test_history(shop: Path, settings: IndexSettings, commit: Callable[[str], str]) -> None:
    write_files(shop, {"shop/price.py": "def total(items): return 1\n", "dir/näme with space.py": "x = 1\n"})
    head = commit("fix: price\n\nA body.")
    index = open_index(shop, settings)
    assert [c.message for c in index.history.commits] == ["fix: price\n\nA body.", "first: the shop"]
    assert set(index.history.commits[0].files) == {"shop/price.py", "dir/näme with space.py"}
    assert index.history.commits[0].id == head == head_commit(shop)
    assert index.history.commits[0].parents == (index.history.commits[1].id,)


def test_history_grows_with_new_commits(
    shop: Path, settings: IndexSettings, commit: Callable[[str], str]
) -> None:
    assert len(open_index(shop, settings).history) == 1
    before = open_index(shop, settings).history.fingerprint
    commit("second")
    after = open_index(shop, settings).history
    assert [c.message for c in after.commits] == ["second", "first: the shop"]
    assert after.fingerprint != before


def test_history_follows_a_reset(shop: Path, settings: IndexSettings, commit: Callable[[str], str]) -> None:
    commit("second")
    assert len(open_index(shop, settings).history) == 2
    git(shop, "reset", "-q", "--hard", "HEAD~1")
    assert [c.message for c in open_index(shop, settings).history.commits] == ["first: the shop"]


def test_history_before_a_moment(shop: Path, settings: IndexSettings, commit: Callable[[str], str]) -> None:
    commit("second")
    history = open_index(shop, settings).history
    assert len(history.before(history.commits[0].time - 1e6)) == 0
    assert len(history.before(history.commits[0].time + 1)) == 2


@pytest.mark.usefixtures("commit")
def test_history_of_a_subfolder_has_its_own_paths(shop: Path, settings: IndexSettings) -> None:
    history = open_index(shop / "shop", settings).history
    assert set(history.commits[0].files) == {"__init__.py", "cart.py", "price.py"}


@pytest.mark.usefixtures("commit")
def test_head_in_a_worktree_and_packed_refs(shop: Path) -> None:
    head = git(shop, "rev-parse", "HEAD")
    git(shop, "worktree", "add", "-q", "--detach", str(shop.parent / "tree"))
    assert head_commit(shop.parent / "tree") == head
    git(shop, "pack-refs", "--all")
    assert head_commit(shop) == head
    assert head_commit(shop / "shop") == head


def test_no_history_without_git_or_commits(shop: Path, settings: IndexSettings) -> None:
    assert len(open_index(shop, settings).history) == 0
    git(shop, "init", "-q")
    assert len(open_index(shop, settings).history) == 0
    assert open_index(shop, settings).history.fingerprint == ""


def test_history_can_be_switched_off(
    shop: Path, settings: IndexSettings, commit: Callable[[str], str]
) -> None:
    commit("second")
    assert len(open_index(shop, replace(settings, use_git=False)).history) == 0


def test_a_revision_is_read_without_touching_the_tree(
    shop: Path, settings: IndexSettings, commit: Callable[[str], str]
) -> None:
    before = open_index(shop, settings)
    assert before.stats.extracted == len(before)
    write_files(shop, {"shop/price.py": "def replaced(): ...\n", "shop/added.py": "x = 1\n"})
    commit("second")
    write_files(shop, {"shop/price.py": "uncommitted = 1\n"})
    old = open_revision(shop, "HEAD~1", settings)
    assert old.fingerprint == before.fingerprint
    assert old.stats.extracted == 0
    assert [d.name for d in old.file("shop/price.py").definitions] == ["total", "discount"]
    assert old.text("shop/price.py").startswith("def total")
    assert [c.message for c in old.history.commits] == ["first: the shop"]
    assert old.file_artifacts("u", 1, upper) == [upper(r, old.text(r.path)) for r in old.files]
    new = open_revision(shop, "HEAD", replace(settings, use_cache=False))
    assert [d.name for d in new.file("shop/price.py").definitions] == ["replaced"]
    assert "shop/added.py" in new


@pytest.mark.usefixtures("commit")
def test_unknown_revision_is_named(shop: Path, settings: IndexSettings) -> None:
    with pytest.raises(GitFailed, match="nonsense"):
        open_revision(shop, "nonsense", settings)
