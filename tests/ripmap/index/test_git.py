"""What other people's repositories hold in odd corners of git: read whole, without a crash and without a fetch."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hal9.errors.ripmap import GitFailed
from hal9.ripmap import IndexSettings, MapOptions, MapRequest, explain_text, open_index, open_revision, rank
from hal9.ripmap.history.git_log import read_history
from hal9.ripmap.rendering.repository_map import MapService

from .conftest import git, settle

Commit = Callable[[str], str]
ODD_MESSAGE = "first \x1e record \x1f and unit separators\n\nbody \x1e\x1f end"


def commit_odd(root: Path, message: bytes, name: bytes = b"") -> None:
    """A commit with any bytes as its message, and with any bytes as a file's name."""
    if name:
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(b"def strange():\n    return 1\n")
        git(root, "add", "-A")
    subprocess.run(
        ["git", "-C", str(root), "-c", "user.name=A", "-c", "user.email=a@example.org",
         "commit", "-q", "--allow-empty", "--allow-empty-message", "-F", "-"],
        input=message, check=True, capture_output=True,
    )  # fmt: skip


def test_separators_in_messages_and_names_are_text(shop: Path, commit: Commit) -> None:
    commit_odd(shop, ODD_MESSAGE.encode(), b"new\nline.py")
    commit_odd(shop, b"", b"\nleading.py")
    commit_odd(shop, b"\xff\xfe no text", b"byte\xff.py")
    found = read_history(shop)
    assert [c.message for c in found] == ["ÿþ no text", "", ODD_MESSAGE, "first: the shop"]
    assert [c.files for c in found[:3]] == [("byte\udcff.py",), ("\nleading.py",), ("new\nline.py",)]


def test_such_a_repository_ranks(shop: Path, commit: Commit, settings: IndexSettings) -> None:
    commit_odd(shop, ODD_MESSAGE.encode(), b"byte\xff.py")
    index = open_index(shop, settings)
    assert rank(index, "record and unit separators, strange").paths[0] == "byte\udcff.py"
    assert open_revision(shop, "HEAD", settings).fingerprint == index.fingerprint


def test_a_hooks_environment_does_not_redirect(
    shop: Path, commit: Commit, settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    commit_odd(other, b"of another repository", b"other.py")
    for name, value in {
        "DIR": other / ".git",
        "WORK_TREE": other,
        "INDEX_FILE": other / ".git/index",
    }.items():
        monkeypatch.setenv(f"GIT_{name}", str(value))
    assert [c.message for c in read_history(shop)] == ["first: the shop"]
    assert "shop/cart.py" in open_revision(shop, "HEAD", settings)


def test_the_history_grows_when_a_shallow_clone_is_filled(
    shop: Path, commit: Commit, settings: IndexSettings, tmp_path: Path
) -> None:
    commit("second")
    commit("third")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{shop}", "shallow")
    clone = tmp_path / "shallow"
    maps = MapService(settings)
    assert len(maps.index(clone).history) == 1
    git(clone, "fetch", "-q", "--unshallow")
    assert len(maps.index(clone).history) == 3
    assert len(open_index(clone, settings).history) == 3


@pytest.fixture
def partial(shop: Path, commit: Commit, tmp_path: Path) -> tuple[Path, Path]:
    """A clone without contents, and the log of every connection that its remote was asked for."""
    git(shop, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{shop}", "partial")
    log = tmp_path / "asked"
    program = tmp_path / "upload-pack"
    program.write_text(f'#!/bin/sh\necho asked >> {log}\nexec git-upload-pack "$@"\n')
    program.chmod(0o755)
    git(tmp_path / "partial", "config", "remote.origin.uploadpack", str(program))
    return tmp_path / "partial", log


def test_a_partial_clone_is_read_without_fetching(
    partial: tuple[Path, Path], settings: IndexSettings
) -> None:
    clone, log = partial
    notices: list[str] = []
    index = open_revision(clone, "HEAD", settings, notify=notices.append)
    assert "shop/cart.py" in index
    assert index.file("shop/cart.py").parse_status == "unreadable"
    assert rank(index, "cart").paths[0].endswith("cart.py")
    assert not log.exists()
    assert "not in this clone" in notices[0]


def test_a_missing_object_is_told(shop: Path, commit: Commit, settings: IndexSettings) -> None:
    blob = git(shop, "rev-parse", "HEAD:shop/price.py")
    (shop / ".git/objects" / blob[:2] / blob[2:]).unlink()
    notices: list[str] = []
    index = open_revision(shop, "HEAD", replace(settings, use_cache=False), notify=notices.append)
    assert index.file("shop/price.py").parse_status == "unreadable"
    assert index.file("shop/cart.py").parse_status == "ok"
    assert "1 files of HEAD are not in this clone" in notices[0]


def test_a_history_that_git_cannot_read_is_left_out(
    shop: Path, commit: Commit, settings: IndexSettings
) -> None:
    commit("second")
    first = git(shop, "rev-parse", "HEAD~1")
    (shop / ".git/objects" / first[:2] / first[2:]).unlink()
    notices: list[str] = []
    index = open_index(shop, settings, notify=notices.append)
    assert rank(index, "checkout of a cart").paths[0] == "shop/cart.py"
    assert len(index.history) == 0
    assert "the history is left out" in notices[0]


def test_sha256_repositories_are_kept_in_the_cache(shop: Path, settings: IndexSettings) -> None:
    git(shop, "init", "-q", "--object-format=sha256")
    git(shop, "add", "-A")
    commit_odd(shop, b"first")
    settle(shop)
    for _ in range(2):
        index = open_revision(shop, "HEAD", settings)
        assert index.text("shop/price.py").startswith("def total")
        assert not index.stale
    assert index.stats.extracted == 0
    assert bytes(index.artifact("probe", 1, lambda: b"first")) == b"first"
    again = open_revision(shop, "HEAD", settings)
    assert bytes(again.artifact("probe", 1, lambda: b"second")) == b"first"


@pytest.mark.parametrize("revision", ["nonsense", "--output=x", "a\0b", ""])
def test_a_wrong_revision_is_an_error_of_ours(
    shop: Path, commit: Commit, settings: IndexSettings, revision: str
) -> None:
    with pytest.raises(GitFailed):
        open_revision(shop, revision, settings)
    assert not (shop / "x").exists()


def test_names_are_shown_as_valid_text_and_found_again(
    shop: Path, commit: Commit, settings: IndexSettings
) -> None:
    for name in (b"byte\xff.py", b"esc\x1b[31m.py", b"new\nline.py", "turn\u202eyp.py".encode()):
        commit_odd(shop, b"strange names", name)
    index = open_index(shop, settings)
    maps = MapService(settings)
    ranking = maps.ranking(index, MapRequest("strange"))
    drawn = {
        form: maps.draw(index, ranking, MapOptions(tokens=4000), form=form)
        for form in ("map", "md", "json", "paths")
    }
    for text in drawn.values():
        assert text.encode("utf-8")
        assert all(character in "\n\t" or character.isprintable() for character in text)
    assert {file["path"] for file in json.loads(drawn["json"])["files"]} >= {
        "byte\\xff.py", "esc\\x1b[31m.py", "new\\nline.py", "turn\\u202eyp.py"
    }  # fmt: skip
    shown_names = [line for line in drawn["paths"].splitlines() if "\\" in line]
    assert len(shown_names) == 4
    for shown in shown_names:
        told = explain_text(index, ranking, shown)
        assert told.startswith(f"{shown}: rank ")
        assert told.encode("utf-8")


def test_explain_names_roles_and_what_was_not_read(shop: Path, settings: IndexSettings) -> None:
    (shop / "tests" / "test_half.py").write_text("def broken(:\n\ndef whole():\n    return 1\n")
    index = open_index(shop, settings)
    told = explain_text(index, rank(index, "whole"), "tests/test_half.py")
    assert "what the file is: source, test" in told
    assert "parsed in part" in told
