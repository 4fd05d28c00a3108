"""What the task names outright, and how strongly."""

import pytest

from hal9.ripmap import Index
from hal9.ripmap.index.index_data import index_data_of
from hal9.ripmap.query.task_query import parse_task
from hal9.ripmap.ranking.mentions import named_files

TRACE = 'Fails\n```\nTraceback (most recent call last):\n  File "shop/storage.py", line 9, in _write\nKeyError\n```'


def named(index: Index, task: str) -> dict[str, float]:
    index_data = index_data_of(index)
    found = named_files(index_data, parse_task(task))
    return {path: float(value) for path, value in zip(index_data.paths, found, strict=True) if value}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("shop.storage is slow", {"shop/storage.py": 1.0}),
        ("shop.money.round_amount rounds", {"shop/money.py": 1.0}),
        ("shop.Order is slow", {"shop/orders.py": 1.0}),
        ("Look at shop/storage.py", {"shop/storage.py": 1.0}),
        ("Broken\n```python\nfrom shop import Order\n```", {"shop/orders.py": 0.25}),
        ("Broken\n```python\nimport shop.web.views\n```", {"shop/web/views.py": 0.25}),
        ("shop.web is slow", {"shop/web/__init__.py": 0.3}),
        ("Broken\n```python\njson.loads(x)\n```", {}),
        (TRACE, {}),
    ],
)
def test_names_lead_to_files(shop: Index, task: str, expected: dict[str, float]) -> None:
    assert named(shop, task) == pytest.approx(expected)
