import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.ripmap.postings.module_paths import Names, PathFinder
from hal9.ripmap.records import Role
from hal9.ripmap.storage.array_codec import pack, unpack
from hal9.ripmap.storage.sparse import CsrMatrix, ascending, csr_matrix, distinct, numbered
from hal9.ripmap.text.string_table import TermDictionary, code_of
from hal9.ripmap.text.tokenize import identifier_parts, words
from hal9.ripmap.text.word_positions import read_words

entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(1, 9)), max_size=40)


def dense(lines: CsrMatrix) -> np.ndarray:
    found = np.zeros((len(lines), lines.across))
    found[lines.row_of_entry, lines.indices] = lines.data
    return found


@given(entries)
def test_lines_equal_the_dense_matrix(given: list[tuple[int, int, int]]) -> None:
    rows, columns, values = (
        np.array(part, np.int64) for part in (zip(*given, strict=True) if given else ([], [], []))
    )
    added, largest = np.zeros((5, 7)), np.zeros((5, 7))
    np.add.at(added, (rows, columns), values)
    np.maximum.at(largest, (rows, columns), values)
    found = csr_matrix(rows, columns, values.astype(np.float64), (5, 7))
    assert np.array_equal(dense(found), added)
    assert np.array_equal(dense(csr_matrix(rows, columns, values, (5, 7), twice="largest")), largest)
    chosen, weights = np.array([3, 0, 3]), np.array([2.0, 0.5, 1.0])
    assert np.allclose(found.weighted(chosen, weights), weights @ added[chosen])
    assert np.allclose(found.summed(), added.sum(axis=0))
    again = CsrMatrix.unpacked("m", unpack(pack(found.packed("m"))))
    assert np.array_equal(dense(again), added)


@given(st.lists(st.integers(-3, 3)))
def test_distinct_values_as_numpy_finds_them(given: list[int]) -> None:
    values = np.array(given, np.int64)
    expected, which = np.unique(values, return_inverse=True)
    assert np.array_equal(distinct(values), expected)
    assert np.array_equal(numbered(values)[0], expected)
    assert np.array_equal(numbered(values)[1], which)


@given(st.lists(st.integers(0, 2**34) | st.integers(0, 3)))
def test_numbers_are_ordered_as_numpy_orders_them(given: list[int]) -> None:
    values = np.array(given, np.int64)
    assert np.array_equal(ascending(values), np.argsort(values, kind="stable"))


@given(st.text(alphabet="aB_09 1.\n-é", max_size=60), st.lists(st.integers(0, 3), max_size=6))
def test_words_of_a_text_stand_in_the_chunk_of_their_line(text: str, of_line: list[int]) -> None:
    lines = text.split("\n")
    chunks = [*of_line[: len(lines)], *[0] * (len(lines) - len(of_line))]
    said = [(word, chunk) for line, chunk in zip(lines, chunks, strict=True) for word in words(line)]
    found = read_words(text, of_line)
    each = found.each(lambda word: (word,))
    read = [
        (word, chunk)
        for run, chunk in zip(found.number.tolist(), found.chunk.tolist(), strict=True)
        for word in each[run]
    ]
    assert read == said


def test_words_with_one_code_are_told_apart() -> None:
    assert code_of("plumless") == code_of("buckeroo")  # the classic collision of CRC-32
    vocabulary = TermDictionary.of(["plumless", "graph", "buckeroo", ""])
    again = TermDictionary.unpacked("v", unpack(pack(vocabulary.packed("v"))))
    for known in (vocabulary, again):
        assert [known[word] for word in ("plumless", "graph", "buckeroo", "")] == [0, 1, 2, 3]
        assert known.get("nothing", -7) == -7
        with pytest.raises(KeyError):
            known["nothing"]
    assert again.texts[1:3] == ["graph", "buckeroo"]
    assert again.texts[-2] == "buckeroo"
    with pytest.raises(IndexError):
        again.texts[4]


def test_files_are_found_by_module_path_and_folder() -> None:
    paths = (
        "lib/pkg/__init__.py",
        "lib/pkg/base.py",
        "lib/other/base.py",
        "docs/pkg/base.rst",
        "lib/pkg/sub/base.py",
    )
    roles = np.array([Role.SOURCE, Role.SOURCE, Role.SOURCE, Role.DOCS, Role.SOURCE], np.int32)
    finder = PathFinder(Names(paths, roles))
    assert finder.module("pkg") == [0]
    assert finder.module("pkg.base") == [1]
    assert finder.module("base") == [1, 2, 4]
    assert finder.module("ase") == []
    assert finder.tail("PKG/base.py") == [1]
    assert finder.tail("base.py") == [1, 2, 4]
    assert finder.folder("pkg") == [0, 1, 3]
    assert finder.longest_tail("/usr/lib/python/site-packages/pkg/base.py") == [1]
    assert finder.longest_tail("/elsewhere/unknown.py") == []


@given(st.text(max_size=60))
def test_quick_paths_agree_with_the_general_ones(text: str) -> None:
    # A letter outside ASCII, a word of its own, sends the text the general way.
    assert words(text + " é")[:-1] == words(text)
    for word in words(text):
        assert all(len(part) > 1 and part == part.lower() for part in identifier_parts(word))


def test_a_query_loads_neither_scipy_nor_the_extractor(tmp_path: Path) -> None:
    folder = str(tmp_path)
    code = (
        "import sys, pathlib\n"
        f"root = pathlib.Path({folder!r})\n"
        "(root / 'tree').mkdir(exist_ok=True)\n"
        "(root / 'tree' / 'm.py').write_text('def first():\\n    return 1\\n')\n"
        "from hal9.ripmap import IndexSettings, MapService, MapOptions, MapRequest\n"
        "maps = MapService(IndexSettings(cache_dir=root / 'cache', use_git=False))\n"
        "index = maps.index(root / 'tree')\n"
        "text = maps.draw(index, maps.ranking(index, MapRequest('first')), MapOptions(tokens=200))\n"
        "assert 'first' in text\n"
        "print(*[name for name in ('scipy', 'sqlite3', 'tree_sitter', 'hal9.errors.minds') if name in sys.modules])\n"
    )
    cold = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "tree_sitter" in cold.stdout and "scipy" not in cold.stdout
    warm = code.replace("(root / 'tree' / 'm.py').write_text('def first():\\n    return 1\\n')\n", "")
    time.sleep(2.1)  # stamps younger than two seconds are read again
    subprocess.run([sys.executable, "-c", warm], capture_output=True, text=True, check=True)
    again = subprocess.run([sys.executable, "-c", warm], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == ""
