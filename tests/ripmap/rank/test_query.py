from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.ripmap import IndexSettings, open_index, rank
from hal9.ripmap.query.task_query import Mention, parse_task

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


NOTEBOOK = """Scaler fails on empty input
#### Actual Results
```
---------------------------------------------------------------------------
ValueError                                Traceback (most recent call last)
<ipython-input-1-3d95a2ed3d01> in <module>()
----> 7 scaler.transform(X)

~/git/shop/shop/scaling/_scale.py in transform(self, X)
    255             atol = 1.e-8
--> 259         checked = check_rows(X, copy=True)

~/git/shop/shop/checks.py in check_rows(X, copy)
ValueError: rows must not be empty
```
### Operating system

Windows

### Python version
3.10

### Additional information

_No response_

It began after the cache was added.
"""


def test_notebook_traces_have_frames() -> None:
    query = parse_task(NOTEBOOK)
    assert [(frame.path.rpartition("/")[2], frame.function) for frame in query.frames] == [
        ("checks.py", "check_rows"),
        ("_scale.py", "transform"),
    ]
    assert query.counts["traceback"]["scaling"] == 1
    assert not query.counts["code"]["scaling"]


def test_facts_of_the_machine_are_dropped_and_sentences_after_them_are_not() -> None:
    query = parse_task(NOTEBOOK)
    assert {"windows", "version", "response"}.isdisjoint(query.tokens)
    assert query.counts["prose"]["cache"] == 1


def test_code_under_a_machine_heading_is_kept() -> None:
    query = parse_task("Broken\n## Version\n1.2\n```python\nimport shop\nshop.open_basket()\n```\n")
    assert query.counts["code"]["open_basket"] == 1
    listed = parse_task("Broken\n## Environment\n```\nlibfoo (old)\nmagic: sparkle\n```\n")
    assert "sparkle" not in listed.tokens


def test_imports_name_what_they_bring() -> None:
    query = parse_task(
        "Broken\n```python\nfrom shop.orders import (Basket,\n    total as t)\nfrom . import x\n```"
    )
    assert {"shop.orders.Basket", "shop.orders.total"} <= texts(query.dotted)


def test_a_word_alone_in_code_marks_is_a_name() -> None:
    quoted = {mention.text: mention.quoted for mention in parse_task("Run `new` in a new folder").identifiers}
    assert quoted["new"]
    assert not quoted["folder"]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("HTTP/2 requests hang", "http2"),
        ("UTF-8 names are cut", "utf8"),
        ("The time-zone is lost", "timezone"),
        ("Broken\n\nA sub-command is not found.", "subcommand"),
    ],
)
def test_what_prose_parts_and_code_joins_is_asked_in_both_forms(text: str, joined: str) -> None:
    query = parse_task(text)
    assert joined in query.tokens
    assert text.replace("/", "-").split("-")[0].split()[-1].lower() in query.tokens


@pytest.mark.parametrize(
    "text",
    [
        "Broken\n```\nprice-total\n```",
        "--no-cache is ignored",
        "see shop/web-views.py",
        "one-two-three parts",
        "wait 10-20 s",
    ],
)
def test_code_paths_and_options_are_not_joined(text: str) -> None:
    joined = {"pricetotal", "nocache", "webviews", "onetwo", "twothree", "shopweb", "1020"}
    assert not joined & set(parse_task(text).tokens)


def test_a_joined_form_reaches_the_file_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "http2.py").write_text("def open_stream():\n    return 1\n", encoding="utf-8")
    (tmp_path / "client.py").write_text("def http():\n    return 'http http'\n", encoding="utf-8")
    index = open_index(tmp_path, IndexSettings(use_cache=False, use_git=False))
    assert rank(index, "HTTP/2 hangs").paths[0] == "http2.py"
