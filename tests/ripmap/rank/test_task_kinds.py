"""Diffs, configuration and commands in a task are told from code."""

import pytest

from hal9.ripmap import Index, rank
from hal9.ripmap.query.parts import PARTS, Part, cut_task
from hal9.ripmap.query.task_query import parse_task

DIFF = """Amounts are wrong

I would do this:

diff --git a/shop/money.py b/shop/money.py
--- a/shop/money.py
+++ b/shop/money.py
@@ -1,3 +1,3 @@
 def round_amount(value):
-    return round(value, 2)
+    return round(value, 3)

Thanks for looking."""


def test_a_bare_diff_ends_where_prose_goes_on() -> None:
    texts = cut_task(DIFF)
    assert texts.diff[0].startswith("diff --git")
    assert "+    return round(value, 3)" in texts.diff
    assert texts.prose == ["I would do this:", "Thanks for looking."]


def test_a_diff_names_its_files_without_the_sides(shop: Index) -> None:
    assert [mention.text for mention in parse_task(DIFF).paths] == ["shop/money.py"]
    assert rank(shop, DIFF).paths[0] == "shop/money.py"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("```diff\n-old name\n+new name\n```", "diff"),
        ("~~~ yaml\nname: shop\nlines:\n  - one\n~~~", "configuration"),
        ("```toml\n[tool.shop]\nrate = 3\n```", "configuration"),
        ("```{.ini}\nrate = 3\n```", "configuration"),
        ("```\n[shop]\nrate = 3\nname = x\n```", "configuration"),
        ("```\nservice: shop\nport: 80\n```", "configuration"),
        ("```console\nshop run --all\n```", "command"),
        ("```\n$ shop run --all\n```", "command"),
        ("```\nPS C:\\shop> shop run --all\n```", "command"),
        ("someone@host:~/shop$ shop run", "command"),
        ("$ shop run --all", "command"),
        ("```text\nloaded three lines\n```", "output"),
        ("```\nx = 3\ny = 4\n```", "code"),
        ("```python\nx = 3\n```", "code"),
        ("```whatever\nx = 3\n```", "code"),
    ],
)
def test_blocks_are_what_they_say_or_look_like(block: str, expected: Part) -> None:
    texts = cut_task(f"Title of it\n\nSome prose.\n\n{block}\n\nMore prose.")
    assert {part for part in PARTS if part not in ("title", "prose") and texts.of(part)} == {expected}
    assert texts.prose == ["Some prose.", "More prose."]


def test_what_a_command_printed_is_output() -> None:
    texts = cut_task("Title of it\n\n```bash\n$ shop run\nno such order\n```")
    assert ([line for line in texts.command if line], texts.output) == (["$ shop run"], ["no such order"])


@pytest.mark.parametrize(
    "line", ["Expected: a total", "- first point", "It costs 3 $ more", "100% of orders", "--- and then it stopped", "+1 for this"]
)  # fmt: skip
def test_prose_is_none_of_these(line: str) -> None:
    assert line in cut_task(f"Title of it\n\n{line}").prose
