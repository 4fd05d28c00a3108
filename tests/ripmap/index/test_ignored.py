"""What is left out of a tree is what git leaves out, and our own patterns read like its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.ripmap import IndexSettings, open_index
from hal9.ripmap.files.discovery import recheck, walk
from hal9.ripmap.files.selection import Patterns

from .conftest import git, write_files

Commit = Callable[[str], str]
OWN = IndexSettings()
NAMES = (
    "a.py", "b.c", "foo[", "x.{a,b}", "deep/one/a.py", "deep/two/b.c", "deep/one.d/z", "docs/x.md", "a b.py", "#h", "!n", "Ab1",
    "k\\l", "deep/docs/y.md", "deep/one/two/three.c",
)  # fmt: skip
LINES = st.lists(
    st.one_of(
        st.sampled_from([
            "*.py", "*.{a,b}", "foo[", "[[:upper:]]*", "[!a]*.c", "/deep", "deep/", "deep/**", "**/b.c", "deep/*/", "!a.py", "\\#h",
            "\\!n", "# comment", "a b.py ", "docs", "d*cs/", "?.c", "**/two", "deep/**/three.c", "[a-c].py", "[z-a].c", "k\\\\l", "k\\",
            "!deep/", "/", "", "*", "[]a]*", "[]-]", "**", "a/**/b", "[[:nothing:]]", "*/*", "/*.py", "deep/one/",
        ]),
        st.text("ab*?[]!/.{},\\ -^", max_size=6),
    ),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def names_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("names")
    write_files(root, dict.fromkeys(NAMES, "text\n"))
    git(root, "init", "-q")
    return root


def ignored_by_git(root: Path) -> set[str]:
    told = git(root, "-c", "core.quotepath=off", "ls-files", "-z", "--others", "--exclude-standard")
    return set(NAMES) - set(told.split("\0"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES)
def test_patterns_read_as_gits(names_tree: Path, lines: list[str]) -> None:
    (names_tree / ".gitignore").write_text("".join(f"{line}\n" for line in lines))
    patterns = Patterns(lines)
    ours = {name for name in NAMES if patterns.fits(name)}
    assert ours == ignored_by_git(names_tree)
    assert set(walk(names_tree, OWN).paths) & set(NAMES) == set(NAMES) - ours


def test_git_stops_at_the_repositorys_root_and_so_do_we(shop: Path, commit: Commit) -> None:
    (shop.parent / ".gitignore").write_text("*\n")
    assert "shop/cart.py" in walk(shop, OWN).paths


def test_a_folder_without_a_repository_is_not_emptied_from_above(shop: Path) -> None:
    (shop.parent / ".gitignore").write_text("*\n")
    paths = walk(shop, OWN).paths
    assert "shop/cart.py" in paths
    assert "note.tmp" not in paths


def test_a_subfolder_heeds_ignore_files_up_to_the_root(shop: Path, commit: Commit) -> None:
    write_files(shop, {".gitignore": "*.gen.py\n", "shop/a.gen.py": "x = 1\n"})
    assert "a.gen.py" not in walk(shop / "shop", OWN).paths
    assert "cart.py" in walk(shop / "shop", OWN).paths


def test_an_ignored_folder_is_mapped_when_it_is_asked_for(shop: Path, commit: Commit) -> None:
    write_files(shop, {".gitignore": "build/\n", "build/made.py": "x = 1\n"})
    assert walk(shop / "build", OWN).paths == ("made.py",)


def test_a_tracked_file_stays_whatever_is_ignored(shop: Path, commit: Commit) -> None:
    (shop / ".gitignore").write_text("*.py\n")
    (shop / "new.py").write_text("x = 1\n")
    paths = walk(shop, OWN).paths
    assert "shop/cart.py" in paths
    assert "new.py" not in paths


@pytest.mark.parametrize("kind", ["worktree", "submodule"])
def test_the_exclude_file_of_linked_work_trees_and_submodules(shop: Path, commit: Commit, kind: str) -> None:
    if kind == "worktree":
        git(shop, "worktree", "add", "-q", "-b", "other", str(shop.parent / "linked"))
        root, prefix = shop.parent / "linked", ""
        exclude = shop / ".git/info/exclude"
    else:
        git(shop.parent, "init", "-q", "outer")
        root, prefix = shop.parent / "outer", "inner/"
        git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(shop), "inner")
        exclude = root / ".git/modules/inner/info/exclude"
    write_files(root, {f"{prefix}private.py": "x = 1\n", f"{prefix}shown.py": "x = 1\n"})
    exclude.write_text("private.py\n")
    paths = walk(root, OWN).paths
    assert f"{prefix}private.py" not in paths
    assert {f"{prefix}shown.py", f"{prefix}shop/cart.py"} <= set(paths)


def test_the_users_excludes_file_by_include_and_edited_meanwhile(
    shop: Path, commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    included, ignore = tmp_path / "more.config", tmp_path / "ignore"
    included.write_text(f"[core]\n\texcludesFile = /nowhere\n\texcludesFile = {ignore} # the second counts\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text(f"[include]\n\tpath = {included}\n")
    write_files(shop, {"a.private": "x\n", "b.secret": "x\n"})
    ignore.write_text("*.private\n")
    first = walk(shop, OWN)
    assert "a.private" not in first.paths
    ignore.write_text("*.secret\n")
    second = recheck(shop, OWN, first)
    assert "a.private" in second.paths
    assert "b.secret" not in second.paths


def test_new_files_are_judged_when_a_tree_is_looked_at_again(shop: Path, commit: Commit) -> None:
    (shop / ".gitignore").write_text("*.log.py\nout/\n")
    known = walk(shop, OWN)
    write_files(shop, {"shop/a.log.py": "x\n", "shop/b.py": "x\n", "shop/out/c.py": "x\n", "fresh/d.log.py": "x\n",
                       "fresh/e.py": "x\n"})  # fmt: skip
    assert set(recheck(shop, OWN, known).paths) == set(walk(shop, OWN).paths)
    assert {"shop/b.py", "fresh/e.py"} <= set(recheck(shop, OWN, known).paths)


def test_settings_patterns_follow_gitignores_rules(shop: Path) -> None:
    chosen = replace(OWN, exclude=("*.py", "!price.py", "[[:upper:]]*"), use_cache=False)
    paths = open_index(shop, chosen).paths
    assert "shop/price.py" in paths
    assert not {"shop/cart.py", "README.md"} & set(paths)
