"""Edits: exactly once, line endings kept, a miss that helps."""

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.errors.tools import EditMissed
from hal9.tools.edits import apply_diff, replace_text, split_diff

TEXT = "import os\n\n\ndef area(w, h):\n    return w + h\n\n\ndef name():\n    return 'x'\n"


def test_exact_text_is_replaced_once() -> None:
    edit = replace_text(TEXT, "    return w + h\n", "    return w * h\n", path="a.py")
    assert edit.text == TEXT.replace("w + h", "w * h")
    assert (edit.first_line, edit.last_line) == (5, 5)


def test_crlf_bom_and_missing_final_newline_stay() -> None:
    text = "\ufeffdef a():\r\n    return 1\r\ndef b():\r\n    return 1  \r\nend"
    edit = replace_text(text, "def b():\n    return 1\n", "def b():\n    x = 2\n    return x\n", path="a.py")
    assert edit.text == "\ufeffdef a():\r\n    return 1\r\ndef b():\r\n    x = 2\r\n    return x\r\nend"
    assert "blanks" in edit.note


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    return", "x", "stands there 2 times (lines 5, 9)"),
        ("return w - h", "x", "nearest lines are:\n4\tdef area(w, h):\n5\t    return w + h"),
        ("", "x", "empty"),
        ("import os", "import os", "the same"),
        ("nothing of the kind at all here", "x", "not in it."),
    ],
)
def test_a_miss_says_what_to_do(old: str, new: str, says: str) -> None:
    with pytest.raises(EditMissed) as caught:
        replace_text(TEXT, old, new, path="a.py")
    assert says in str(caught.value)
    assert "a.py was not changed" in str(caught.value)


def test_every_occurrence_on_request() -> None:
    assert replace_text("a b a", "a", "c", path="x", every=True).text == "c b c"


def test_a_diff_applies_where_its_lines_are_whatever_its_numbers_say() -> None:
    diff = "--- a/a.py\n+++ b/a.py\n@@ -40,3 +40,3 @@\n def area(w, h):\n-    return w + h\n+    return w * h\n \n"
    assert apply_diff(TEXT, diff, path="a.py").text == TEXT.replace("w + h", "w * h")
    bare = "@@\n def name():\n-    return 'x'\n+    return 'y'\n"
    assert apply_diff(TEXT, bare, path="a.py").text == TEXT.replace("'x'", "'y'")


def test_a_diff_that_does_not_fit_changes_nothing() -> None:
    with pytest.raises(EditMissed, match="hunk 2"):
        apply_diff(TEXT, "@@ -1 +1 @@\n-import os\n+import re\n@@ -9 +9 @@\n-    gone\n+    x\n", path="a.py")
    with pytest.raises(EditMissed, match="no hunk"):
        apply_diff(TEXT, "just words", path="a.py")


def test_a_diff_of_several_files_is_split() -> None:
    diff = (
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"
        "diff --git a/y b/y\ndeleted file mode 100644\n--- a/y\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"
    )
    assert [path for path, _ in split_diff(diff)] == ["x", ""]


lines = st.lists(st.sampled_from(["a", "b", "", "  c", "d e", "\tf"]), max_size=12)


@given(lines, lines, st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=300, deadline=None)
def test_any_diff_of_difflib_applies_byte_for_byte(before: list[str], after: list[str], ending: str) -> None:
    old, new = ending.join(before), ending.join(after)
    if old == new or (ending == "\r\n" and len(before) < 2):
        return
    diff = "\n".join(difflib.unified_diff(old.split(ending), new.split(ending), "a/x", "b/x", lineterm=""))
    assert apply_diff(old, diff, path="x").text == new
