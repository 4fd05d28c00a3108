"""Walking and rechecking a tree."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.ripmap import NotARepository, RipmapConfigWrong
from hal9.ripmap import IndexSettings, Role, open_index
from hal9.ripmap.files.discovery import recheck, walk
from hal9.ripmap.files.roles import path_roles
from hal9.ripmap.files.selection import Patterns
from hal9.ripmap.settings import load_settings

from .conftest import settle, write_files


def test_ignore_files_and_binaries_are_left_out(shop: Path) -> None:
    tree = walk(shop, IndexSettings())
    assert "shop/cart.py" in tree.paths
    assert not {"ignored/secret.py", "note.tmp", "logo.png"} & set(tree.paths)
    assert len(tree.binary) == 1


def test_nothing_is_ignored_when_told_so(shop: Path) -> None:
    assert "ignored/secret.py" in walk(shop, IndexSettings(use_gitignore=False)).paths


def test_nested_and_own_ignore_files(shop: Path) -> None:
    write_files(shop, {"shop/.ignore": "price.py\n", ".ripmapignore": "README.md\n"})
    paths = walk(shop, IndexSettings()).paths
    assert "shop/price.py" not in paths
    assert "README.md" not in paths


def test_symlinks_are_not_followed(shop: Path) -> None:
    (shop / "loop").symlink_to(shop, target_is_directory=True)
    (shop / "alias.py").symlink_to(shop / "shop/cart.py")
    (shop / "dangling.py").symlink_to("nowhere")
    paths = walk(shop, IndexSettings()).paths
    assert not [path for path in paths if path.startswith("loop") or path in {"alias.py", "dangling.py"}]


def test_virtual_environments_are_left_out(shop: Path) -> None:
    write_files(shop, {"env311/pyvenv.cfg": "home = x\n", "env311/lib/thing.py": "x = 1\n"})
    assert not [path for path in walk(shop, IndexSettings()).paths if path.startswith("env311")]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (
            {"extensions": ("py",)},
            {"shop/cart.py", "shop/price.py", "shop/__init__.py", "tests/test_cart.py"},
        ),
        ({"include": ("shop/**",)}, {"shop/cart.py", "shop/price.py", "shop/__init__.py"}),
        (
            {"exclude": ("tests/", "*.md", "*.toml", ".*", "shop/__init__.py")},
            {"shop/cart.py", "shop/price.py"},
        ),
        ({"subtree": "tests"}, {"tests/test_cart.py"}),
    ],
)
def test_selection(shop: Path, change: dict[str, Any], kept: set[str]) -> None:
    assert set(walk(shop, replace(IndexSettings(), **change)).paths) == kept


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.py", "a/b/c.py", True), ("*.py", "a.pyc", False), ("docs/", "x/docs/y.md", True),
        ("/docs", "x/docs/y.md", False), ("a/**/z.py", "a/z.py", True), ("a/**/z.py", "a/b/c/z.py", True),
        ("a/*", "a/b/c", True), ("a?.c", "ab.c", True), ("a.c", "aXc", False),
    ],
)  # fmt: skip
def test_pattern(pattern: str, path: str, matches: bool) -> None:
    assert Patterns([pattern]).fits(path) is matches


def test_recheck_sees_nothing_new(shop: Path) -> None:
    settle(shop)
    # Change times cannot be set back, so right after writing every file still counts as young.
    tree = walk(shop, IndexSettings())
    assert recheck(shop, IndexSettings(), tree).paths == tree.paths


def test_recheck_sees_every_kind_of_change(shop: Path) -> None:
    tree = walk(shop, IndexSettings())
    write_files(shop, {"shop/price.py": "def total(): ...\n", "new/deep/er.py": "x = 1\n"})
    (shop / "tests/test_cart.py").rename(shop / "tests/test_basket.py")
    (shop / "README.md").unlink()
    again = recheck(shop, IndexSettings(), tree)
    assert set(again.paths) == set(walk(shop, IndexSettings()).paths)
    assert {"new/deep/er.py", "tests/test_basket.py"} <= set(again.paths)
    before = dict(zip(tree.paths, tree.signatures, strict=True))
    after = dict(zip(again.paths, again.signatures, strict=True))
    assert before["shop/price.py"] != after["shop/price.py"]


@pytest.mark.parametrize("edit", ["change", "add", "remove"])
def test_recheck_sees_changed_ignore_rules(shop: Path, edit: str) -> None:
    tree = walk(shop, IndexSettings())
    if edit == "change":
        (shop / ".gitignore").write_text("*.tmp\n*.md\n")
    elif edit == "add":
        (shop / "shop/.gitignore").write_text("price.py\n")
    else:
        (shop / ".gitignore").unlink()
    assert set(recheck(shop, IndexSettings(), tree).paths) == set(walk(shop, IndexSettings()).paths)


def test_recheck_sees_a_removed_folder(shop: Path) -> None:
    tree = walk(shop, IndexSettings())
    (shop / "tests/test_cart.py").unlink()
    (shop / "tests").rmdir()
    assert "tests/test_cart.py" not in recheck(shop, IndexSettings(), tree).paths


def test_settings_come_from_the_repository(shop: Path) -> None:
    (shop / "pyproject.toml").write_text('[tool.ripmap]\nexclude = ["tests/"]\ntokens = 1000\n')
    assert load_settings(shop).exclude == ("tests/",)
    (shop / "ripmap.toml").write_text('include = ["shop/**"]\n')
    assert load_settings(shop).include == ("shop/**",)
    assert load_settings(shop).exclude == ()


@pytest.mark.parametrize("text", ["inclde = []", "include = 3", "tokens = -1", "tokens = true", "not toml"])
def test_wrong_settings_are_named(shop: Path, text: str) -> None:
    (shop / "ripmap.toml").write_text(text)
    with pytest.raises(RipmapConfigWrong, match="ripmap.toml"):
        load_settings(shop)


def test_missing_root_and_file_as_root(shop: Path, settings: IndexSettings) -> None:
    with pytest.raises(NotARepository, match="no such folder"):
        open_index(shop / "nowhere", settings)
    with pytest.raises(NotARepository, match="not a folder"):
        open_index(shop / "README.md", settings)
    with pytest.raises(NotARepository):
        open_index("bad\0name", settings)


@pytest.mark.parametrize(
    ("path", "language", "roles"),
    [
        ("src/a.py", "python", Role.SOURCE),
        ("tests/test_a.py", "python", Role.SOURCE | Role.TEST),
        ("pkg/a_test.go", "go", Role.SOURCE | Role.TEST),
        ("src/FooTest.java", "java", Role.SOURCE | Role.TEST),
        ("src/latest.py", "python", Role.SOURCE),
        ("third_party/x.c", "c", Role.SOURCE | Role.VENDORED),
        ("poetry.lock", "", Role.LOCK | Role.ROOT),
        ("Dockerfile", "dockerfile", Role.SOURCE | Role.DEPLOY | Role.ROOT),
        (".github/workflows/ci.yml", "yaml", Role.CONFIG | Role.DEPLOY),
        ("docs/intro.rst", "restructuredtext", Role.DOCS),
        ("web/app.min.js", "javascript", Role.SOURCE | Role.GENERATED),
        ("examples/a.py", "python", Role.SOURCE | Role.EXAMPLE),
    ],
)
def test_path_roles(path: str, language: str, roles: Role) -> None:
    assert path_roles(path, language) == roles


def test_unreadable_folder_does_not_stop_the_walk(shop: Path) -> None:
    (shop / "closed").mkdir()
    (shop / "closed").chmod(0)
    try:
        assert "shop/cart.py" in walk(shop, IndexSettings()).paths
    finally:
        (shop / "closed").chmod(0o700)


def test_a_pipe_is_no_file(shop: Path) -> None:
    os.mkfifo(shop / "pipe.py")
    assert "pipe.py" not in walk(shop, IndexSettings()).paths
