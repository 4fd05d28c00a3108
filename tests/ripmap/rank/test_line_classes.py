"""Each line of a task is told apart: prose, code, what a program printed, and traces."""

from pathlib import Path

import pytest

from hal9.ripmap import Index, open_index, rank
from hal9.ripmap.query.parts import cut_task

from .conftest import settings, write_tree

SESSION = """Sum of an empty order fails

In a shell:

>>> from shop.orders import Order
>>> Order(None).total_price([])
Decimal storage failure
>>> Order(None)
<shop.orders.Order object at 0x7f1c2d3e4f50>

Out[3]: checkout of views
It should be zero.
"""


def test_a_session_is_code_and_output() -> None:
    texts = cut_task(SESSION)
    assert [line.strip() for line in texts.code] == [
        ">>> from shop.orders import Order", ">>> Order(None).total_price([])", ">>> Order(None)"
    ]  # fmt: skip
    assert texts.output == [
        "Decimal storage failure",
        "shop.orders.Order object",
        "Out[3]: checkout of views",
    ]
    assert texts.prose == ["In a shell:", "It should be zero."]


@pytest.mark.parametrize(
    "line",
    [
        "2024-03-01 12:00:03,123 worker started", "[2024-03-01T12:00:03Z] ready", "INFO: loaded 3 files", "[ERROR] no such table",
        "===== test session starts =====", "FAILED tests/test_cart.py::test_sum - AssertionError", "collected 3 items",
        "E       assert 1 == 2", "12 passed in 0.3s", "src/main.rs:3:5: error: expected one of", "error[E0308]: mismatched types",
        "warning: unused variable", "npm ERR! code 1", "rootdir: /x", "platform linux -- Python 3.11",
    ],
)  # fmt: skip
def test_what_programs_print_is_output(line: str) -> None:
    texts = cut_task(f"Title\n\nSome prose.\n{line}\nMore prose.")
    assert texts.output == [line] or texts.traceback == [line]
    assert texts.prose == ["Some prose.", "More prose."]


@pytest.mark.parametrize(
    "line", ["A warning is shown", "I saw 3 failed logins", "- an item", "Error handling is wrong"]
)
def test_prose_stays_prose(line: str) -> None:
    assert line in cut_task(f"Title\n\n{line}").prose


def test_output_counts_less_than_what_is_said(shop: Index) -> None:
    printed = (
        "It fails\n\n>>> run()\nthousand separator currency format\n\ndeleting a row from the store fails"
    )
    assert rank(shop, printed).paths[0] == "shop/storage.py"


def test_a_name_of_one_letter_in_a_title_counts_where_it_is_defined(tmp_path: Path) -> None:
    files = {
        "shop/lookups.py": "class Q:\n    def combine(self, other):\n        return self\n",
        "shop/combined.py": "def combined_crash(first, second):\n    return first\n",
        "shop/other.py": "class A:\n    pass\n\n\nclass I:\n    pass\n",
    }
    index = open_index(write_tree(tmp_path / "tree", files), settings(tmp_path))
    ranking = rank(index, "Q objects cannot be used twice")
    assert ranking.paths[0] == "shop/lookups.py"
    assert not rank(index, "A thing that I saw").signal("mentions").any()
