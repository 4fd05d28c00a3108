"""Reading implementations out of what small and large models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.neurons import ReplyUnusable
from hal9.neurons.messages.replies import parse_implementation, parse_split
from hal9.tools.edits import apply_diff

FENCE = "```"


def files(text: str, *targets: str) -> dict[str, str]:
    return {file.path: file.content for file in parse_implementation(text, targets=targets).files}


@pytest.mark.parametrize(
    "heading",
    [
        "`src/a.py`",
        "**src/a.py**",
        "src/a.py:",
        "### src/a.py",
        "File: src/a.py",
        "# File: `src/a.py`",
        "- `src/a.py`:",
    ],
)
def test_the_path_may_stand_in_the_line_above(heading: str) -> None:
    assert files(f"Sure!\n\n{heading}\n{FENCE}python\nx = 1\n{FENCE}\n") == {"src/a.py": "x = 1\n"}
    assert files(f"Sure!\n\n{heading}\n\n{FENCE}python\nx = 1\n{FENCE}\n") == {"src/a.py": "x = 1\n"}


@pytest.mark.parametrize("info", ["python:src/a.py", "src/a.py", "python path=src/a.py", "python src/a.py"])
def test_the_path_may_stand_in_the_info_string(info: str) -> None:
    assert files(f"{FENCE}{info}\nx = 1\n{FENCE}") == {"src/a.py": "x = 1\n"}


@pytest.mark.parametrize("first", ["# src/a.py", "// src/a.py", "# file: src/a.py", "<!-- src/a.py -->"])
def test_the_path_may_stand_in_a_first_comment(first: str) -> None:
    assert files(f"{FENCE}\n{first}\nx = 1\n{FENCE}") == {"src/a.py": "x = 1\n"}


def test_a_single_target_takes_the_longest_nameless_block() -> None:
    text = (
        f"Use it:\n{FENCE}python\nf(1)\n{FENCE}\nThe code:\n{FENCE}python\ndef f(x):\n    return x\n{FENCE}\n"
    )
    assert files(text, "f.py") == {"f.py": "def f(x):\n    return x\n"}


def test_shell_transcripts_are_no_files() -> None:
    text = f"{FENCE}bash\npython f.py\n{FENCE}\n{FENCE}python\nx\n{FENCE}"
    assert files(text, "f.py") == {"f.py": "x\n"}


def test_a_script_that_was_asked_for_is_written_and_not_run() -> None:
    text = f"{FENCE}bash\n#!/bin/sh\nset -eu\nrm -r build\n{FENCE}\nIt removes the folder."
    found = parse_implementation(text, targets=("scripts/clean.sh",))
    assert [(file.path, file.content) for file in found.files] == [
        ("scripts/clean.sh", "#!/bin/sh\nset -eu\nrm -r build\n")
    ]
    assert found.commands == []
    assert files(text, "bin/clean") == {"bin/clean": "#!/bin/sh\nset -eu\nrm -r build\n"}
    assert parse_implementation(f"{FENCE}sh\nls\n{FENCE}", targets=("a.py",)).commands == ["ls"]


def test_several_files_and_commands_and_words() -> None:
    text = (
        f"Two files.\n`a.py`\n{FENCE}python\n1\n{FENCE}\n`b/c.txt`\n~~~\n2\n~~~\n"
        f"{FENCE}run\n# first\npytest -q\n{FENCE}\nDone."
    )
    found = parse_implementation(text, targets=())
    assert [file.path for file in found.files] == ["a.py", "b/c.txt"]
    assert found.commands == ["pytest -q"]
    assert "Two files." in found.answer
    assert "Done." in found.answer
    assert "a.py" not in found.answer


def test_words_alone_are_the_answer() -> None:
    assert parse_implementation("  Paris.  ", targets=()).answer == "Paris."
    code = f"Like this:\n{FENCE}python\nx\n{FENCE}"
    assert parse_implementation(code, targets=()).answer == code


def test_a_missing_or_cut_block_is_unusable() -> None:
    with pytest.raises(ReplyUnusable, match=r"no code block for f\.py"):
        parse_implementation("I cannot do that.", targets=("f.py",))
    with pytest.raises(ReplyUnusable, match="cut off"):
        parse_implementation(f"{FENCE}python\nx = ", targets=("f.py",), truncated=True)
    assert files(f"{FENCE}python\nx = 1", "f.py") == {"f.py": "x = 1\n"}


def test_a_nested_longer_fence_stays_whole() -> None:
    text = f"`doc.md`\n{FENCE}`markdown\n{FENCE}python\nx\n{FENCE}\n{FENCE}`\n"
    assert files(text) == {"doc.md": f"{FENCE}python\nx\n{FENCE}\n"}


@given(st.text(max_size=400), st.lists(st.sampled_from(["a.py", "b.py"]), max_size=2, unique=True))
def test_any_text_is_read_or_refused(text: str, targets: list[str]) -> None:
    try:
        found = parse_implementation(text, targets=tuple(targets))
    except ReplyUnusable:
        return
    assert found.files or not targets


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"parts": []},
        {"parts": [{"title": "x"}]},
        "text",
        {"parts": [{"title": "x", "objective": "do", "more": 1}]},
    ],
)
def test_a_split_of_another_shape_is_unusable(value: object) -> None:
    with pytest.raises(ReplyUnusable):
        parse_split(value, width=16)


def test_a_readme_with_code_in_it_comes_through_whole() -> None:
    inner = f"# Tool\n\n{FENCE}bash\npip install tool\n{FENCE}\n\nand\n\n{FENCE}python\nx\n{FENCE}\nend"
    for head in (f"`README.md`\n{FENCE}markdown", f"{FENCE}markdown README.md", f"{FENCE}README.md"):
        text = f"Both:\n\n{head}\n{inner}\n{FENCE}\n\n`a.py`\n{FENCE}python\ny = 2\n{FENCE}\nDone."
        assert files(text) == {"README.md": inner + "\n", "a.py": "y = 2\n"}
    assert files(f"`README.md`\n~~~~\n{inner}\n~~~~") == {"README.md": inner + "\n"}
    assert files(f"`README.md`\n{FENCE}``\n{inner}\n{FENCE}``") == {"README.md": inner + "\n"}


def test_a_fence_in_a_list_loses_only_the_lists_indent() -> None:
    text = (
        f"1. The file:\n\n   `a.py`\n   {FENCE}python\n   def f():\n       return 1\n   {FENCE}\n\n2. Done."
    )
    assert files(text) == {"a.py": "def f():\n    return 1\n"}


def test_a_tag_above_a_fence_hides_nothing() -> None:
    assert files(f"<answer>\n{FENCE}python a.py\nx\n{FENCE}\n</answer>") == {"a.py": "x\n"}


def test_a_file_is_byte_for_byte_what_was_meant() -> None:
    odd = "a\x0cb\x0bc\x85d\u2028e\u2029f\rg\x1ch\ttab  "
    assert files(f"{FENCE}a.txt\n{odd}\n\n{FENCE}") == {"a.txt": f"{odd}\n\n"}
    assert files(f"{FENCE}a.txt\r\nx\r\ny\r\n{FENCE}\r\n") == {"a.txt": "x\ny\n"}
    assert files(f"{FENCE}python pkg/__init__.py\n{FENCE}") == {"pkg/__init__.py": ""}
    assert files(f"{FENCE}a.txt\n\ud800x\n{FENCE}") == {"a.txt": "\ufffdx\n"}


@pytest.mark.parametrize(
    "path",
    ["Dockerfile", ".gitignore", "./a.py", "src/größe.py", ".github/workflows/ci.yml", "app/[id]/page.tsx"],
)
def test_paths_of_every_kind(path: str) -> None:
    assert list(files(f"`{path}`\n{FENCE}\nx\n{FENCE}")) == [path.removeprefix("./")]


def test_a_language_with_a_dot_is_no_path() -> None:
    assert files(f"{FENCE}vb.net\nx\n{FENCE}", "a.vb") == {"a.vb": "x\n"}


def test_a_sentence_names_the_target_of_its_block() -> None:
    text = (
        f"Here is the new `a.py`, which parses:\n{FENCE}python\n1\n{FENCE}\n"
        f"and `b.py`:\n{FENCE}python\n22\n{FENCE}\n"
    )
    assert files(text, "a.py", "b.py") == {"a.py": "1\n", "b.py": "22\n"}


EDIT = "<<<<<<< SEARCH\nold\n=======\nnew\nline\n>>>>>>> REPLACE"


@pytest.mark.parametrize(
    "text",
    [
        f"a.py\n{EDIT}",
        f"`a.py`\n{FENCE}python\n{EDIT}\n{FENCE}",
        f"{FENCE}python\na.py\n{EDIT}\n{FENCE}",
        f"{FENCE}python a.py\n{EDIT}\n{FENCE}",
        f"**a.py**\n\n{EDIT}\nThat is all.",
    ],
)
def test_search_and_replace_is_an_edit_and_no_file(text: str) -> None:
    found = parse_implementation(text, targets=("a.py",))
    assert found.files == []
    assert [(e.path, e.old, e.new) for e in found.replacements] == [("a.py", "old\n", "new\nline\n")]


def test_search_blocks_may_follow_each_other_and_hold_fences() -> None:
    second = EDIT.replace("old", f"{FENCE}sh\nx\n{FENCE}")
    text = f"README.md\n{FENCE}markdown\n{EDIT}\n\n{second}\n{FENCE}\n`b.py`\n{FENCE}python\ny\n{FENCE}"
    found = parse_implementation(text, targets=())
    assert [(e.path, e.old) for e in found.replacements] == [
        ("README.md", "old\n"),
        ("README.md", f"{FENCE}sh\nx\n{FENCE}\n"),
    ]
    assert [file.path for file in found.files] == ["b.py"]


def test_a_search_block_without_an_end_or_a_file_is_unusable() -> None:
    with pytest.raises(ReplyUnusable, match="no ======="):
        parse_implementation("a.py\n<<<<<<< SEARCH\nold\n", targets=())
    with pytest.raises(ReplyUnusable, match="names no file"):
        parse_implementation(EDIT, targets=("a.py", "b.py"))


DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"{FENCE}diff\n{DIFF}{FENCE}", ""),
        (f"{FENCE}\n{DIFF}{FENCE}", ""),
        (f"`x.py`\n{FENCE}python\n@@ -1 +1 @@\n-old\n+new\n{FENCE}", "x.py"),
        (f"{FENCE}diff x.py\n@@ -1 +1 @@\n-old\n+new\n{FENCE}", "x.py"),
        (f"x.py\n{FENCE}\ndiff --git a/x.py b/x.py\n{DIFF}{FENCE}", "x.py"),
    ],
)
def test_a_diff_is_an_edit_and_no_file(text: str, path: str) -> None:
    found = parse_implementation(text, targets=("x.py",))
    assert found.files == []
    (diff,) = found.diffs
    assert diff.path == path
    assert "+new\n" in diff.diff


def test_a_patch_that_was_asked_for_is_a_file() -> None:
    assert files(f"`fix.patch`\n{FENCE}diff\n{DIFF}{FENCE}") == {"fix.patch": DIFF}


def test_here_documents_and_loops_stay_whole() -> None:
    script = "cat > a.txt <<'E'\n# kept\n\nx\nE\npython a.py"
    assert parse_implementation(f"{FENCE}run\n{script}\n{FENCE}", targets=()).commands == [
        "set -e\n" + script
    ]
    assert parse_implementation(f"{FENCE}run\ncd sub\npytest\n{FENCE}", targets=()).commands == [
        "set -e\ncd sub\npytest"
    ]
    assert parse_implementation(f'{FENCE}run\ngit commit -m "a\nb"\n{FENCE}', targets=()).commands == [
        'set -e\ngit commit -m "a\nb"'
    ]
    assert parse_implementation(f"{FENCE}run\n$ ls # it's\n$ pwd\n{FENCE}", targets=()).commands == [
        "ls # it's",
        "pwd",
    ]
    long = "cat > a <<'E'\n" + "x" * 5000 + "\nE"
    assert parse_implementation(f"{FENCE}run\n{long}\n{FENCE}", targets=()).commands == ["set -e\n" + long]


def test_a_reply_of_commands_alone_is_run() -> None:
    text = f"First:\n{FENCE}bash\nsed -i s/a/b/ a.py\n{FENCE}\nThen:\n{FENCE}sh\npytest\n{FENCE}"
    assert parse_implementation(text, targets=("a.py",)).commands == ["sed -i s/a/b/ a.py", "pytest"]


def test_a_cut_file_is_never_taken() -> None:
    whole = f"`a.py`\n{FENCE}python\nx\n{FENCE}\n`b.py`\n{FENCE}python\ny = "
    with pytest.raises(ReplyUnusable, match="cut off"):
        parse_implementation(whole, targets=(), truncated=True)


def test_no_part_of_a_split_is_left_out_in_silence() -> None:
    parts = [{"title": "a", "objective": f"do {number}"} for number in range(3)]
    assert len(parse_split({"approach": "", "parts": parts}, width=3).parts) == 3
    with pytest.raises(ReplyUnusable, match="3 parts were planned and at most 2"):
        parse_split({"approach": "", "parts": parts}, width=2)


PATCH = """*** Begin Patch
*** Update File: ./src/a.py
@@ def f():
-    return 1
+    return 2
*** Add File: src/new.py
+x = 1
+
+y = "*** End"
*** Delete File: old file.py
*** Update File: b.py
*** Move to: lib/b.py
 keep
-gone
*** End of File
*** End Patch"""


@pytest.mark.parametrize(
    "text",
    [
        f"I change three files.\n\n{PATCH}\n\nDone.",
        f"I change three files.\n\n{FENCE}diff\n{PATCH}\n{FENCE}\n\nDone.",
        f"I change three files.\n\n{FENCE}run\napply_patch <<'EOF'\n{PATCH}\nEOF\n{FENCE}\n\nDone.",
    ],
)
def test_a_patch_envelope_is_applied(text: str) -> None:
    found = parse_implementation(text, targets=("src/a.py",))
    assert {file.path: file.content for file in found.files} == {"src/new.py": 'x = 1\n\ny = "*** End"\n'}
    assert [diff.path for diff in found.diffs] == ["src/a.py", "b.py"]
    assert found.commands == [
        "rm -- 'old file.py'",
        'mkdir -p -- "$(dirname -- lib/b.py)" && mv -- b.py lib/b.py',
    ]
    assert found.answer.split() == ["I", "change", "three", "files.", "Done."]
    first, second = found.diffs
    assert apply_diff("def f():\n    return 1\n", first.diff, path="a").text == "def f():\n    return 2\n"
    assert apply_diff("keep\r\ngone\r\nend\r\n", second.diff, path="b").text == "keep\r\nend\r\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("*** Begin Patch\n*** Update File: a.py\n-x\n+y\n", "no \\*\\*\\* End Patch"),
        ("*** Begin Patch\n-x\n+y\n*** End Patch", "names no file"),
        ("*** Begin Patch\n*** Update File: a.py\n@@\n+y\n*** End Patch", "nobody knows where"),
    ],
)
def test_a_patch_envelope_that_says_too_little_is_refused(text: str, told: str) -> None:
    with pytest.raises(ReplyUnusable, match=told):
        parse_implementation(text, targets=())
