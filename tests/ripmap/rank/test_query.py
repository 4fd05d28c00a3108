from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.ripmap.query import Mention, parse_task

ISSUE = """USE_THOUSAND_SEPARATOR breaks `numberformat.py`
<!-- please fill in the template -->
See django.contrib.admin.utils.display_for_field and foo/bar.py, https://example.org/secret_page.
It raises "cannot pickle this thing".

```
Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/django/db/models.py", line 12, in save
    x()
  File "/home/x/django/core/handler.py", line 5, in run
    raise ValueError("x")
ValueError: bad thing happened to you
```
#### Versions
Python 3.8.1
numpy: 1.2.3

```python
>>> import shop
>>> shop.Basket(1)
```
"""


def texts(mentions: Iterable[Mention]) -> set[str]:
    return {mention.text for mention in mentions}


def test_an_issue_falls_into_its_parts() -> None:
    query = parse_task(ISSUE)
    assert query.counts["title"]["numberformat"] == 1
    assert query.counts["prose"]["pickle"] == 1
    assert query.counts["code"]["basket"] == 1
    assert query.counts["traceback"]["handler"] == 1
    assert "template" not in query.tokens
    assert "numpy" not in query.tokens
    assert "secret" not in query.tokens


def test_strong_evidence_is_collected() -> None:
    query = parse_task(ISSUE)
    assert {"numberformat.py", "foo/bar.py"} <= texts(query.paths)
    assert "django.contrib.admin.utils.display_for_field" in texts(query.dotted)
    assert ("ValueError", "bad thing happened to you") in query.errors
    assert "cannot pickle this thing" in query.phrases


def test_frames_are_innermost_first() -> None:
    frames = parse_task(ISSUE).frames
    assert [(frame.function, frame.depth) for frame in frames] == [("run", 0), ("save", 1)]
    assert frames[0].line == 5


def test_frames_of_other_languages() -> None:
    javascript = "TypeError: x\n    at Object.render (/app/src/view.js:10:5)\n    at /app/src/main.js:3:1\n"
    java = "java.lang.Error\n\tat com.acme.shop.Order.total(Order.java:31)\n"
    rust = "thread 'main' panicked at src/lib.rs:7\n --> src/engine/mod.rs:12:5\n"
    assert [frame.path for frame in parse_task(javascript).frames] == ["/app/src/view.js", "/app/src/main.js"]
    assert parse_task(java).frames[0].path == "com/acme/shop/Order.java"
    assert "src/engine/mod.rs" in {frame.path for frame in parse_task(rust).frames}


def test_names_in_marks_are_stronger_than_words() -> None:
    query = parse_task("Make `echo` quiet when the echo is off")
    marked = {mention.text: mention.marked for mention in query.identifiers}
    assert marked["echo"]
    assert not marked["quiet"]


def test_credits_and_boilerplate_lines_are_dropped() -> None:
    query = parse_task(
        "Fix it\n\nNarrowed types -- by :user:`Dreamsorcerer`.\n**This is a backport of PR #1 as merged**"
    )
    assert "dreamsorcerer" not in query.tokens
    assert "backport" not in query.tokens


def test_operations_tasks_are_recognised() -> None:
    assert parse_task("Pin dependencies in the docker build").operations > 0.5
    assert parse_task("Rounding of amounts is wrong").operations == 0.0


def test_nothing_is_a_task_too() -> None:
    assert parse_task("").tokens == ()


@given(st.text(max_size=400))
def test_any_text_is_a_task(text: str) -> None:
    query = parse_task(text)
    assert all(token == token.lower() for token in query.tokens)


@pytest.mark.timeout(20)
def test_long_pathological_texts_do_not_hang() -> None:
    parse_task("`" * 20_000)
    parse_task("a/" * 20_000)
    parse_task("x." * 20_000)
    parse_task("title" + " \n" * 20_000)
    parse_task("'" * 20_000 + '"' * 20_000)
