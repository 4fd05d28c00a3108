"""Lines as editors count them, characters that can be stored, files that keep their style."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.text import TextStyle, clean_text, first_line, split_lines, without_surrogates

ODD = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh"


def test_only_line_feeds_end_a_line() -> None:
    assert split_lines(f"{ODD}\nx\r\ny") == [ODD, "x", "y"]
    assert split_lines("a\n\n") == ["a", ""]
    assert split_lines("") == []
    assert split_lines("a\r\nb\n", keepends=True) == ["a\r\n", "b\n"]
    assert first_line(f"\n  \n {ODD} \nx") == ODD


@given(st.text(alphabet=st.sampled_from("ab\n\r\x0c\u2028\ud800")))
def test_lines_with_their_ends_are_the_text_again(text: str) -> None:
    assert "".join(split_lines(text, keepends=True)) == text
    assert len(split_lines(text)) == len(split_lines(text, keepends=True))


def test_line_numbers_are_those_of_git(tmp_path: Path) -> None:
    text = f"{ODD}\nsecond needle\n"
    (tmp_path / "f").write_bytes(text.encode())
    found = subprocess.run(
        ["git", "grep", "--no-index", "-n", "needle", "f"], cwd=tmp_path, capture_output=True, text=True
    )
    number = int(found.stdout.split(":")[1])
    assert split_lines(text)[number - 1] == "second needle"


@given(st.text())
def test_any_text_can_be_stored_once_it_is_clean(text: str) -> None:
    assert "\0" not in clean_text(text)
    clean_text(text).encode()
    assert clean_text(clean_text(text)) == clean_text(text)


def test_pairs_are_joined_and_lone_surrogates_replaced() -> None:
    assert without_surrogates("\ud83d\ude00 \ud83d x \ude00") == "😀 \ufffd x \ufffd"


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        (b"a\r\nb\r\n", "a\nc\n", b"a\r\nc\r\n"),
        (b"\xef\xbb\xbfa\n", "b\n", b"\xef\xbb\xbfb\n"),
        (b"a\nb", "a\nc\n", b"a\nc"),
        (b"a\n", "b", b"b\n"),
        (b"a\n", "b\r\nc\r\n", b"b\nc\n"),
        (b"a\r\nb\nc\r\n", "a\nB\nb\nc\nd\n", b"a\r\nB\r\nb\nc\r\nd\r\n"),
        (b"", "x\n", b"x\n"),
        (b"a\x0cb\n", "a\x0cb\u2028\rc\n", "a\x0cb\u2028\rc\n".encode()),
    ],
)
def test_an_edited_file_keeps_its_style(before: bytes, text: str, after: bytes) -> None:
    assert TextStyle.of(before).rewrite(text, before.decode()) == after


@given(st.binary())
def test_a_text_that_did_not_change_is_written_as_it_was(data: bytes) -> None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    assert TextStyle.of(data).rewrite(text, data.decode()) == data


def test_nobody_cuts_text_at_anything_else() -> None:
    rooms = Path(__file__).parents[1] / "hal9"
    found = [str(path) for path in rooms.rglob("*.py") if ".splitlines(" in path.read_text(encoding="utf-8")]
    assert found == [], "use hal9.text.split_lines"
