"""A small repository, with and without git, and settings that keep the cache in the test's folder."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hal9.ripmap import IndexSettings

FILES = {
    ".gitignore": "ignored/\n*.tmp\n",
    "README.md": "# Shop\n\nSells things.\n\n## Usage\n\nRun it.\n",
    "pyproject.toml": '[project]\nname = "shop"\n',
    "shop/__init__.py": '"""A shop."""\n',
    "shop/cart.py": (
        '"""Carts."""\n\nfrom shop.price import total\n\n\nclass Cart:\n    """Holds items."""\n\n'
        "    def __init__(self) -> None:\n        self.items: list[int] = []\n\n"
        '    def checkout(self, user: str) -> int:\n        """Pay for everything."""\n'
        '        if not self.items:\n            raise ValueError("the cart has no items")\n'
        "        return total(self.items)\n"
    ),
    "shop/price.py": "def total(items):\n    return sum(items)\n\n\ndef discount(amount, percent):\n    return amount\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\n\ndef test_checkout():\n    assert Cart().checkout('x')\n",
    "ignored/secret.py": "x = 1\n",
    "note.tmp": "temporary\n",
    "logo.png": "not read",
}


def write_files(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def settle(root: Path) -> None:
    """Make every stamp old, so that none counts as too young to trust."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            os.utime(path, (1_600_000_000, 1_600_000_000))


def git(root: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
    }  # fmt: skip
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    write_files(root, FILES)
    return root


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    return IndexSettings(cache_dir=tmp_path / "cache", workers=1)


@pytest.fixture
def commit(shop: Path) -> Callable[[str], str]:
    git(shop, "init", "-q", "-b", "main")

    def make(message: str) -> str:
        with (shop / "shop/price.py").open("a") as file:
            file.write(f"\n# {message!r}\n")
        git(shop, "add", "-A")
        git(shop, "commit", "-q", "--allow-empty", "-m", message)
        return git(shop, "rev-parse", "HEAD")

    make("first: the shop")
    return make
