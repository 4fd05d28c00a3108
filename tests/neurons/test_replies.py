"""Reading implementations out of what small and large models write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.neurons import ReplyUnusable
from hal9.neurons.replies import parse_implementation, parse_split

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
        parse_split(value)
