"""Whatever a tree holds, opening it gives an index and never an exception; cached and fresh agree."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal9.ripmap import FileRecord, IndexSettings, open_index, rank
from hal9.ripmap.cli.common import print_stats
from hal9.ripmap.extraction.extractor import Extraction, extract, lost_definitions
from hal9.ripmap.files.decoding import decode, utf8
from hal9.ripmap.files.languages import LANGUAGES
from hal9.ripmap.rendering.explain import explain_text
from hal9.ripmap.storage.record_codec import pack_extraction, unpack_extraction

SAMPLES = {
    Path(path.stem).suffix: path.read_bytes()
    for path in sorted((Path(__file__).parent / "samples").iterdir())
}
PARSED = sorted(language.name for language in LANGUAGES.values() if language.grammar)
FRAGMENTS = st.sampled_from(
    ["def f(", "class A:", "import a.b as c", "{", "}", "(", ")", '"', "'''", "\\", "\n", "    ", "#", "//", "/*", "*/", "::",
     "use a::{b,", "interface X", "é", "\0", "\r", "\x0c", "😀", "=>", "fn x", "@", "<", ">", ";", "require('x'", "x = y.z(1)"]
)  # fmt: skip


def checked(found: Extraction) -> Extraction:
    assert found.status in {"ok", "partial", "overtime", "words", "binary"}
    assert all(1 <= d.line <= d.end_line for d in found.definitions)
    assert all(-1 <= r.scope < len(found.definitions) for r in found.references)
    assert all(r.line >= 1 for r in found.references)
    assert unpack_extraction(pack_extraction(found)) == found
    return found


@settings(max_examples=60, deadline=None)
@given(language=st.sampled_from(PARSED), parts=st.lists(FRAGMENTS, max_size=30))
def test_fragments_of_code(language: str, parts: list[str]) -> None:
    checked(extract(language, "".join(parts).encode()))


@settings(max_examples=60, deadline=None)
@given(language=st.sampled_from(PARSED), content=st.binary(max_size=300))
def test_any_bytes(language: str, content: bytes) -> None:
    checked(extract(language, content))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(SAMPLES)), data=st.data())
def test_damaged_samples(name: str, data: st.DataObject) -> None:
    content = SAMPLES[name]
    language = next(entry.name for entry in LANGUAGES.values() if name[1:] in entry.extensions)
    cut = data.draw(st.integers(0, len(content)))
    hole = data.draw(st.integers(0, 40))
    checked(extract(language, content[:cut] + content[cut + hole :]))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_some_text(content: bytes) -> None:
    assert utf8(content).decode("utf-8") is not None
    assert isinstance(decode(content), str)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 100))
def test_damaged_payload_is_refused(noise: bytes, cut: int) -> None:
    packed = pack_extraction(extract("python", b"def f():\n    return g()\n"))
    damaged = packed[: min(cut, len(packed) - 1)] + noise
    assert damaged == packed or unpack_extraction(damaged) is None


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 100)
CONTENTS = st.one_of(st.binary(max_size=100), st.sampled_from(sorted(SAMPLES.values())))


@settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        st.tuples(NAMES, st.sampled_from([".py", ".js", ".go", ".md", "", ".h", ".rb"])), CONTENTS, max_size=6
    ),
    later=st.lists(st.tuples(st.integers(0, 5), CONTENTS), max_size=3),
)
def test_any_tree_and_any_change(files: dict[tuple[str, str], bytes], later: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        root.mkdir()
        own = IndexSettings(cache_dir=Path(folder) / "cache", workers=1, use_git=False)
        paths = []
        for (stem, suffix), content in files.items():
            path = root / f"{stem}{suffix}"
            if not path.exists():
                path.write_bytes(content)
                paths.append(path)
        open_index(root, own)
        for which, content in later:
            if paths:
                paths[which % len(paths)].write_bytes(content)
            warm = open_index(root, own)
            cold = open_index(root, replace(own, use_cache=False))
            assert list(warm.files) == list(cold.files)
            assert warm.fingerprint == cold.fingerprint


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.dictionaries(
        st.sampled_from(["contents.sqlite", "snapshot", "a-v1-", "members-"]),
        st.floats(0, 1),
        min_size=1,
    )
)
def test_any_truncation_of_any_cache_file(cuts: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        root.mkdir()
        for suffix in (".py", ".md", ".sh"):
            (root / f"sample{suffix}").write_bytes(SAMPLES[suffix])
        own = IndexSettings(cache_dir=Path(folder) / "cache", workers=1, use_git=False)
        records = filled(root, own)
        for path in sorted(own.folder.rglob("*")):
            for start, share in cuts.items():
                if path.is_file() and path.name.startswith(start):
                    content = path.read_bytes()
                    path.write_bytes(content[: int(share * len(content))])
        assert filled(root, own) == records


def filled(root: Path, own: IndexSettings) -> list[FileRecord]:
    """Records of an index whose cache is used and closed."""
    index = open_index(root, own)
    records = list(index.files)
    assert len(records[0].references) >= 0
    assert bytes(index.artifact("a", 1, lambda: b"payload" * 1000)) == b"payload" * 1000
    index.close()
    return records


@pytest.mark.parametrize("language", PARSED)
def test_deep_nesting(language: str) -> None:
    checked(extract(language, b"(" * 3000 + b"{" * 3000 + b"[" * 3000))


BROKEN = b"fun f( = { class A {\n"


def test_a_file_that_takes_too_long_gives_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After errors this grammar takes time in the square of the length: 100 kB took four minutes."""
    good = b"fun before(): Int = 1\n"
    whole = checked(extract("kotlin", good + BROKEN * 40))
    assert whole.status == "partial"
    cut = checked(extract("kotlin", good + BROKEN * 600, seconds=0.05))
    assert cut.status == "overtime"
    assert "before" in {one.name for one in cut.definitions}
    assert lost_definitions("kotlin", good + BROKEN * 600, seconds=0.05) > 500
    # A parse that is not done in time gives the words alone, and the parser is as before.
    assert checked(extract("kotlin", BROKEN * 6000, seconds=0.05)).definitions == ()
    assert checked(extract("kotlin", good)).status == "ok"

    monkeypatch.setitem(extract.__kwdefaults__ or {}, "seconds", 0.05)
    monkeypatch.setitem(lost_definitions.__kwdefaults__ or {}, "seconds", 0.05)
    (tmp_path / "slow.kt").write_bytes(good + BROKEN * 600)
    index = open_index(tmp_path, IndexSettings(use_cache=False, use_git=False))
    print_stats(index)
    told = capsys.readouterr().err
    assert "overtime 1" in told
    assert "1 files took more time" in told
    assert "took more time" in explain_text(index, rank(index, "what comes before"), "slow.kt")


def test_a_class_is_found_when_an_error_among_its_members_hides_its_head() -> None:
    """As in a JSON reader of a hundred members, one of which the grammar cannot read: all of it is one error."""
    members = "".join(
        f"""
  /** Reads number {number}. */
  @Throws(IOException::class)
  public fun read{number}(): Any? {{
    return when (peek()) {{
      Token.A -> buildMap {{ put(nextName(), {number}) }}
      else -> throw IllegalStateException("at " + peek())
    }}
  }}
"""
        for number in range(12)
    )
    constructor = """
  public class Options
  private constructor(
    internal val strings: Array<out String>,
  ) {
    public fun strings(): List<String> = strings.toList()
  }
"""
    head = "package a\n\npublic sealed class Reader : Closeable {\n  protected constructor() {\n    depth = 0\n  }\n"
    token = "\n  public enum class Token {\n    A,\n    B,\n  }\n"
    source = f"{head}{members}{constructor}{token}}}\n\nclass After\n".encode()
    found = {one.name: one for one in extract("kotlin", source).definitions}
    reader, last = found["Reader"], source.count(b"\n")
    assert (reader.kind, reader.line, reader.end_line) == ("class", 3, last - 2)
    assert reader.signature == "public sealed class Reader : Closeable"
    assert {(found[f"read{number}"].kind, found[f"read{number}"].parent) for number in range(12)} == {
        ("method", "Reader")
    }
    assert (found["Token"].parent, found["B"].parent, found["After"].parent) == ("Reader", "Reader.Token", "")
    assert lost_definitions("kotlin", source) == 0


@pytest.mark.parametrize(
    ("language", "source", "signature"),
    [
        (
            "kotlin",
            '@Composable\n@Suppress("X")\nfun Screen(name: String) {\n}\n',
            "fun Screen(name: String)",
        ),
        ("kotlin", "@Check\npublic fun peek(): Int = 1\n", "public fun peek(): Int = 1"),
        ("java", "class A {\n  @Override\n  public int f(int a) {\n  }\n}\n", "public int f(int a)"),
    ],
)
def test_annotations_on_lines_of_their_own_are_not_the_signature(
    language: str, source: str, signature: str
) -> None:
    assert extract(language, source.encode()).definitions[-1].signature == signature
