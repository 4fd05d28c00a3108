"""A small repository whose right answers are plain to see."""

import os
import subprocess
from pathlib import Path

import pytest

from hal9.ripmap import Index, IndexSettings, open_index

FILES = {
    "shop/__init__.py": "from shop.orders import Order\n\n__all__ = ['Order']\n",
    "shop/orders.py": (
        '"""Orders and their totals."""\n'
        "from shop.money import round_amount\n"
        "from shop.storage import Store\n\n\n"
        "class Order:\n"
        '    """What a customer wants."""\n\n'
        "    def __init__(self, store: Store) -> None:\n"
        "        self.store = store\n\n"
        "    def total_price(self, lines):\n"
        '        """Sum of the line prices, rounded."""\n'
        "        return round_amount(sum(line.price for line in lines))\n\n"
        "    def cancel(self):\n"
        "        self.store.delete_row(self)\n"
    ),
    "shop/money.py": (
        '"""Amounts of money."""\n\n\n'
        "def round_amount(value):\n"
        "    if value is None:\n"
        "        raise ValueError('amount must be a number of cents, not nothing')\n"
        "    return round(value, 2)\n\n\n"
        "def format_currency(value, thousand_separator=','):\n"
        "    return f'{value:,}'\n"
    ),
    "shop/storage.py": (
        '"""Rows on disk."""\n\n\n'
        "class Store:\n"
        "    def save_row(self, row):\n"
        "        return self._write(row)\n\n"
        "    def delete_row(self, row):\n"
        "        return self._write(None)\n\n"
        "    def _write(self, row):\n"
        "        return row\n"
    ),
    "shop/web/__init__.py": "",
    "shop/web/views.py": (
        '"""Pages."""\n'
        "from ..orders import Order\n\n\n"
        "def checkout(request):\n"
        "    return Order(request.store).total_price(request.lines)\n"
    ),
    "shop/web/api/v1/handlers.py": (
        "from shop.cache import Cache\n"
        "from shop.storage import Store\n\n\n"
        "def helper():\n"
        "    return 2\n\n\n"
        "def drop_price(store: Store, cache: Cache):\n"
        "    store.delete_row(helper())\n"
    ),
    "shop/cache.py": (
        '"""Rows in memory; changes are lost."""\n\n\n'
        "class Cache:\n"
        "    def delete_row(self, row):\n"
        "        return row\n"
    ),
    "shop/schema_pb2.py": "amount = 'price'\n",
    "examples/demo.py": "from shop.orders import Order\n\nprint(Order, 'price')\n",
    "data/prices.csv": "price,amount\n1,2\n",
    "tests/test_orders.py": (
        "from shop.orders import Order\n\n\n"
        "def test_the_sum_of_prices():\n"
        "    assert Order(None).total_price([]) == 0\n"
    ),
    "shop/deep/a/b/c/d/helpers.py": "def helper():\n    return 1\n",
    "vendor/thirdparty.py": "def round_amount(value):\n    return value\n",
    "tests/test_money.py": (
        "from shop.money import round_amount\n\n\n"
        "def test_half_cents_become_even():\n"
        "    assert round_amount(0.125) == 0.12\n"
    ),
    "docs/guide.md": "# Guide\n\nHow totals are rounded.\n",
    "Dockerfile": "FROM scratch\n",
    "setup.cfg": "[metadata]\nname = shop\n",
}


def write_tree(root: Path, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root


def settings(tmp: Path, *, git: bool = False) -> IndexSettings:
    return IndexSettings(cache_dir=tmp / "cache", use_git=git, workers=1)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = write_tree(tmp_path_factory.mktemp("shop"))
    return open_index(root, settings(tmp_path_factory.mktemp("cache")))


def git(root: Path, *arguments: str, day: int = 0) -> None:
    stamp = f"2024-01-{1 + day:02d}T12:00:00+00:00"
    names = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
             "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp,
             "PATH": os.environ["PATH"], "HOME": str(root)}  # fmt: skip
    subprocess.run(["git", "-C", str(root), *arguments], check=True, env=names, capture_output=True)


def commit(root: Path, message: str, changes: dict[str, str], day: int) -> None:
    write_tree(root, changes)
    git(root, "add", "-A", day=day)
    git(root, "commit", "-q", "-m", message, day=day)


@pytest.fixture(scope="session")
def history_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tree(tmp_path_factory.mktemp("history"))
    git(root, "init", "-q", "-b", "main")
    commit(root, "Start the shop", {}, 0)
    money, storage = FILES["shop/money.py"], FILES["shop/storage.py"]
    commit(
        root,
        "Fix banker's rounding of halves",
        {"shop/money.py": money + "\n# 1\n", "shop/storage.py": storage + "\n# 1\n"},
        1,
    )
    for day in range(2, 12):
        commit(root, f"Fix pennies again, part {day}", {"shop/money.py": money + f"\n# {day}\n"}, day)
    commit(root, "Format with black", {"shop/orders.py": FILES["shop/orders.py"] + "\n"}, 12)
    commit(
        root,
        "Add express delivery to views.py",
        {"shop/web/views.py": FILES["shop/web/views.py"] + "\nEXPRESS = 1\n"},
        13,
    )
    return root


@pytest.fixture(scope="session")
def history(history_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    return open_index(history_root, settings(tmp_path_factory.mktemp("cache"), git=True))
