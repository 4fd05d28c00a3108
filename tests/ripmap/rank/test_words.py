from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.ripmap.postings.words import assemble, chunk_lines, file_words, path_words, words_of_file
from hal9.ripmap.records import Definition, FileRecord, Role
from hal9.ripmap.storage.array_codec import pack, unpack
from hal9.ripmap.text.tokenize import identifier_parts, is_code_like, pair_codes, stem, words


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("display_for_field", ("display", "for", "field", "display_for_field")),
        ("HTTPServer", ("http", "server", "httpserver")),
        ("getHTTPResponse", ("get", "http", "response", "gethttpresponse")),
        ("axes3d", ("axes", "3d", "axes3d")),
        ("__init__", ("init",)),
        ("v2", ("v2",)),
        ("x", ()),
        ("_", ()),
        ("Größe", ("größe",)),
    ],
)
def test_identifiers_fall_into_parts_and_stay_whole(word: str, parts: tuple[str, ...]) -> None:
    found = identifier_parts(word)
    assert set(parts) <= set(found)
    assert (word.strip("_").lower() in found) == (bool(found))


def test_data_is_no_word() -> None:
    assert identifier_parts("A" * 500) == ()


@pytest.mark.parametrize(
    "family",
    [
        ("serialize", "serializer", "serialization", "serializing"),
        ("parse", "parser", "parsing"),
        ("validate", "validation"),
        ("query", "queries"),
        ("connect", "connection", "connected"),
        ("cache", "caching", "caches"),
    ],
)
def test_relatives_share_a_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


@pytest.mark.parametrize(("one", "other"), [("class", "clash"), ("orders", "ordinary"), ("money", "monkey")])
def test_strangers_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize("word", ["foo_bar", "fooBar", "_private", "utf8", "HTTPServer"])
def test_code_like(word: str) -> None:
    assert is_code_like(word)


@pytest.mark.parametrize("word", ["field", "Field", "HTTP", "2024", "_"])
def test_prose_like(word: str) -> None:
    assert not is_code_like(word)


def test_pairs_join_over_case_form_and_stop_words() -> None:
    assert set(pair_codes("the string literals")) & set(pair_codes("def string_literal(): ..."))
    assert len(pair_codes("alone")) == 0


@given(st.text(max_size=200))
def test_any_text_has_words_and_pairs(text: str) -> None:
    for word in words(text):
        assert all(part == part.lower() for part in identifier_parts(word))
        stem(word.lower())
    assert pair_codes(text).dtype == np.uint32


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0"), max_size=8), max_size=5))
def test_packing_round_trips(texts: list[str]) -> None:
    values: dict[str, Any] = {
        "texts": texts,
        "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros(0, np.int32),
    }
    found: dict[str, Any] = dict(unpack(pack(values)))
    assert found["texts"] == texts
    assert np.array_equal(found["numbers"], values["numbers"])
    assert found["none"].shape == (0,)


def record(path: str = "pkg/mod.py", lines: int = 8, definitions: Iterable[Definition] = ()) -> FileRecord:
    return FileRecord(path, "python", 10, "h", Role.SOURCE, "ok", lines, tuple(definitions))


def test_chunks_are_outermost_functions_and_the_rest_of_classes() -> None:
    definitions = [
        Definition("K", "class", 2, 8),
        Definition("method", "method", 3, 5, parent="K"),
        Definition("inner", "function", 4, 5, parent="K.method"),
        Definition("LIMIT", "constant", 1, 1),
    ]
    of_line, owners = chunk_lines(record(definitions=definitions))
    assert owners == [-1, 0, 1]
    assert of_line[:8] == [0, 1, 2, 2, 2, 1, 1, 1]


def test_chunk_counts_sum_to_the_file() -> None:
    text = "import os\n\ndef first_thing():\n    return os.path\n\nclass Second:\n    value = 1\n"
    definitions = [Definition("first_thing", "function", 3, 4), Definition("Second", "class", 6, 7)]
    counted = file_words(record(lines=7, definitions=definitions), text)
    row, token, count = counted.matrices["body"]
    totals = np.bincount(token, count, len(counted.vocabulary))
    assert totals[counted.vocabulary.index("os")] == 2
    assert totals[counted.vocabulary.index("first_thing")] == 1
    assert set(row) == {0, 1, 2}


def test_the_own_name_of_a_path_counts_twice() -> None:
    assert path_words("pkg/number_format.py").count("format") == 2
    assert path_words("pkg/number_format.py").count("pkg") == 1


def test_postings_survive_packing() -> None:
    blobs = [words_of_file(record(f"pkg/m{i}.py"), f"alpha beta{i} gamma gammas") for i in range(3)]
    postings = assemble(blobs, np.array([True, True, False]))
    again = type(postings).unpacked(unpack(pack(postings.packed())))
    assert list(again.vocabulary) == list(postings.vocabulary)
    for part in ("data", "indices", "indptr"):
        kept, made = getattr(again.matrices["body"], part), getattr(postings.matrices["body"], part)
        assert np.array_equal(kept, made)
    assert "alpha" in again.vocabulary
    assert again.vocabulary.get("unheard") == -1
    assert again.document_count[again.vocabulary["alpha"]] == 2
    assert [list(again.vocabulary)[column] for column in again.relatives("gamma")] == ["gammas"]


def test_an_empty_repository_has_empty_postings() -> None:
    postings = assemble([], np.zeros(0, np.bool_))
    assert (len(postings.matrices["body"]), postings.matrices["body"].across) == (0, 0)
