import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.clock import ManualClock
from hal9.errors.memory import MemoryInvalid
from hal9.memory import Embedder, MemoryScope, MemoryStore, NewMemory, SearchFilter, search
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.retrieval.search import escape_match, telling_words
from hal9.memory.retrieval.vector_matrix import VectorMatrix

HOSTILE = st.text(max_size=120) | st.text(alphabet="\"'*():^-+{}[]\\%\x00;ab NEAROTD.\ud800", max_size=60)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE)
def test_no_text_breaks_the_query(store: MemoryStore, text: str) -> None:
    if store.count() == 0:
        store.remember(NewMemory(kind="task", content="NEAR OR AND a b 1 c++"))
    for mode in ("words", "fused"):
        search(store, text, mode=mode, limit=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True), junk=HOSTILE)
def test_a_stored_word_is_found_whatever_stands_around_it(store: MemoryStore, word: str, junk: str) -> None:
    one = store.remember(NewMemory(kind="task", content=f"{junk} {word} {junk}"))
    hits = search(store, f"({word})*", mode="words", limit=1_000)
    # A word of underscores alone has no token at all, so nothing can find it.
    assert (one in {hit.memory.id for hit in hits}) == bool(word.strip("_"))
    store.forget([one])


@pytest.mark.parametrize(
    "text", ["web-app", "C++", "don't", 'say "hi"', "a AND b OR", "col:umn", "x*", "^y", ""]
)
def test_user_texts_that_are_fts_syntax(store: MemoryStore, text: str) -> None:
    one = store.remember(NewMemory(kind="task", content=f"about {text} here"))
    found = {hit.memory.id for hit in search(store, text, mode="words")}
    assert found == ({one} if text else set())


def test_escaped_queries_quote_every_word() -> None:
    assert escape_match(['a "b" NOT c*']) == '"a" OR "b" OR "not" OR "c"'
    assert escape_match(["***"]) == ""
    assert escape_match([" ".join(f"w{n}" for n in range(500))]).count(" OR ") == 47


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("E042 was raised", ["e042"]),
        ("call util.clamp_speed now", ["clamp_speed"]),
        ("exit code 137, not 42", ["137"]),
        ("ENOENT from openFile", ["enoent", "openfile"]),
        ("ValueError and KeyError are classes", []),
        ("A plain sentence, I think.", []),
    ],
)
def test_telling_words(text: str, expected: list[str]) -> None:
    assert telling_words(text) == expected


def test_a_plain_query_is_ranked_exactly_as_by_vectors(store: MemoryStore) -> None:
    texts = ["the socket was closed", "the file is missing", "the list is empty", "a date in the wrong order"]
    store.remember_many([NewMemory(kind="error", content=text) for text in texts])
    query = "the list has the wrong order"
    fused = [(hit.memory.id, hit.score) for hit in search(store, query, mode="fused")]
    vectors = [(hit.memory.id, hit.score) for hit in search(store, query, mode="vectors")]
    assert fused == vectors


def test_codes_decide_where_the_words_are_the_same(store: MemoryStore) -> None:
    ids = store.remember_many(
        [NewMemory(kind="error", content=f"the pump reports E{number:03d} on start") for number in range(40)]
    )
    hit = search(store, "pump reports E017 on start", limit=1)[0]
    assert hit.memory.id == ids[17]
    assert hit.words > 0


def test_filters(store: MemoryStore, clock: ManualClock) -> None:
    def add(**other: object) -> int:
        clock.advance(10)
        return store.remember(NewMemory(**{"kind": "error", "content": "same words"} | other))  # type: ignore[arg-type]

    start = clock.now()
    plain = add()
    task = add(kind="task")
    deep = add(layer=3)
    named = add(neuron="l2-x")
    placed = add(scope=MemoryScope("w", "billing", "*"))

    def found(where: SearchFilter) -> set[int]:
        sets = [
            {hit.memory.id for hit in search(store, "same words", where=where, mode=mode)}
            for mode in ("words", "vectors", "fused")
        ]
        assert sets[0] == sets[1] == sets[2]
        return sets[0]

    assert found(SearchFilter()) == {plain, task, deep, named, placed}
    assert found(SearchFilter(kinds=("task",))) == {task}
    assert found(SearchFilter(kinds=("task", "error"), layer=3)) == {deep}
    assert found(SearchFilter(neuron="l2-x")) == {named}
    assert found(SearchFilter(scope=MemoryScope(module="billing"))) == {placed}
    assert found(SearchFilter(scope=MemoryScope("w", "other"))) == set()
    assert found(SearchFilter(since=start + 35)) == {named, placed}
    assert found(SearchFilter(until=start + 15)) == {plain}


def test_bad_questions_are_refused(store: MemoryStore) -> None:
    with pytest.raises(MemoryInvalid, match="limit"):
        search(store, "x", limit=0)
    with pytest.raises(MemoryInvalid, match="kind"):
        search(store, "x", where=SearchFilter(kinds=("rumour",)))  # type: ignore[arg-type]


def test_the_matrix_agrees_with_brute_force(store: MemoryStore) -> None:
    rng = np.random.default_rng(5)
    words = [f"word{n}" for n in range(60)]
    texts = [" ".join(rng.choice(words, size=6)) for _ in range(300)]
    ids = store.remember_many([NewMemory(kind="task", content=text) for text in texts])
    assert store.embedder is not None
    rows = store.embedder.embed(texts)
    query = store.embedder.embed(["word3 word9 word27"])[0]
    expected = sorted(zip(-(rows @ query), ids, strict=True))
    matrix = VectorMatrix(store)
    found, scores = matrix.nearest(query, 10)
    assert list(found) == [one for _, one in expected[:10]]
    np.testing.assert_allclose(scores, [-score for score, _ in expected[:10]], atol=1e-6)
    for share in (5, 250):
        among = np.asarray(ids[:share], dtype=np.int64)
        found, _ = matrix.nearest(query, 3, among=among)
        assert list(found) == [one for _, one in expected if one <= ids[share - 1]][:3]
    assert len(matrix.nearest(query, 3, among=np.zeros(0, dtype=np.int64))[0]) == 0


def test_the_matrix_sees_what_another_connection_writes(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with (
        MemoryStore(path, embedder=HashingEmbedder()) as mine,
        MemoryStore(path, embedder=HashingEmbedder()) as other,
    ):
        first = other.remember(NewMemory(kind="task", content="first thing"))
        assert [hit.memory.id for hit in search(mine, "first thing")] == [first]
        second = other.remember(NewMemory(kind="task", content="second thing"))
        assert second in {hit.memory.id for hit in search(mine, "second thing")}
        other.forget([second])
        third = other.remember(NewMemory(kind="task", content="something else entirely"))
        assert third == second  # SQLite gives the number again; a stale row would now lie
        hits = {hit.memory.id: hit.score for hit in search(mine, "something else entirely")}
        assert hits[third] > 0.99


def test_a_damaged_vector_does_not_stop_search(store: MemoryStore) -> None:
    good, short, nan = store.remember_many(
        [NewMemory(kind="task", content=text) for text in ("good one", "short one", "nan one")]
    )
    with store.writing() as tables:
        tables.table("memories").update(short, {"embedding": b"abc"})
        tables.table("memories").update(nan, {"embedding": np.full(256, np.nan, dtype="<f4").tobytes()})
        store.bump_epoch()
    assert [hit.memory.id for hit in search(store, "good one", mode="vectors")] == [good]


def test_rows_of_an_undone_write_leave_no_ghost(store: MemoryStore) -> None:
    store.remember(NewMemory(kind="task", content="kept"))

    def undone() -> None:
        with store.writing():
            store.remember(NewMemory(kind="task", content="ghost"))
            assert search(store, "ghost", limit=1)[0].memory.content == "ghost"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    again = store.remember(NewMemory(kind="task", content="real"))
    hits = {hit.memory.id: hit.score for hit in search(store, "real")}
    assert hits[again] > 0.99


def test_searching_while_writing_in_other_threads_never_stands_still(store: MemoryStore) -> None:
    def write() -> None:
        for number in range(20):
            with store.writing():
                store.remember(NewMemory(kind="task", content=f"written {number}"))
                search(store, f"written {number}")

    def read() -> None:
        for number in range(40):
            search(store, f"written {number}")

    threads = [threading.Thread(target=work, daemon=True) for work in (write, read, write, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert store.count() == 40


def test_minilm_finds_by_meaning(tmp_path: Path, minilm: Embedder) -> None:
    with MemoryStore(tmp_path / "memory.db", embedder=minilm) as store:
        store.remember_many(
            [
                NewMemory(kind="error", content=text)
                for text in (
                    "ZeroDivisionError: division by zero",
                    "PermissionError: [Errno 13] Permission denied",
                    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe4",
                )
            ]
        )
        assert search(store, "umlauts are garbled when reading the file")[0].memory.id == 3
        assert search(store, "may not write into that folder")[0].memory.id == 2
        alone = minilm.embed(["one text"])[0]
        together = minilm.embed(["a much longer other text " * 20, "one text"])[1]
        np.testing.assert_array_equal(alone, together)


def test_sqlite_has_what_search_needs() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61')")
    connection.close()


def test_a_file_without_memories_finds_nothing_whatever_it_is_narrowed_to(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "empty.db", embedder=HashingEmbedder(16)) as store:
        assert search(store, "anything", where=SearchFilter(kinds=("learning",))) == []
        assert search(store, "anything") == []


TEXTS = (
    "用户登录时网络超时,重试三次后失败",
    "数据库迁移必须编号,旧文件保留在测试中",
    "キャッシュを消してからテストを実行する",
    "ログインに失敗したときはトークンを更新する",
    "로그인 시간이 초과되었습니다",
    "ล็อกอินไม่สำเร็จเพราะหมดเวลา",
    "clear the cache before the tests run",
    "कौन आया यह लॉग में है",
    "कान में दर्द",
    "காடு பெரியது",
    "கூடு சிறியது",
)


@pytest.mark.parametrize("embedder", [None, HashingEmbedder(64)], ids=["words", "fused"])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("登录超时", 0),
        ("为什么登录的时候会超时?", 0),
        ("迁移的编号", 1),
        ("測試", None),
        ("テスト", 2),
        ("キャッシュ", 2),
        ("ｷｬｯｼｭ", 2),
        ("トークンの更新", 3),
        ("로그인", 4),
        ("หมดเวลา", 5),
        ("库", 1),
        ("败", 0),
        ("कौन", 7),
        ("कान", 8),
        ("காடு", 9),
        ("கூடு", 10),
        ("किताब", None),
    ],
)
def test_words_of_scripts_without_spaces_find(
    tmp_path: Path, embedder: HashingEmbedder | None, asked: str, found: int | None
) -> None:
    with MemoryStore(tmp_path / "memory.db", embedder=embedder) as store:
        ids = store.remember_many([NewMemory(kind="task", content=text) for text in TEXTS])
        hits = search(store, asked, limit=len(TEXTS))
        told = [hit for hit in hits if hit.words > 0]
        if found is None:
            assert told == [] or embedder is not None
            return
        assert hits[0].memory.id == ids[found]
        assert hits[0].words > 0
        assert search(store, asked, where=SearchFilter(scope=MemoryScope("elsewhere", "", ""))) == []
        store.forget([ids[found]])
        assert not any(hit.memory.id == ids[found] for hit in search(store, asked))
        left = store.connection.execute(
            "SELECT count(*) FROM memory_pairs WHERE memory_id = ?", (ids[found],)
        ).fetchone()[0]
        assert left == 0


def test_words_that_differ_in_vowel_signs_are_told_apart(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        ids = store.remember_many([NewMemory(kind="task", content=text) for text in TEXTS])
        for asked, found in (("कौन", 7), ("कान", 8), ("காடு", 9), ("கூடு", 10)):
            best, *others = search(store, asked)
            assert best.memory.id == ids[found]
            assert all(other.score < best.score / 2 for other in others)


def test_texts_with_spaces_have_no_pairs(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        store.remember_many(
            [NewMemory(kind="task", content=one) for one in ("clear the cache", "naïve café, Ωmega, привет")]
        )
        assert store.connection.execute("SELECT count(*) FROM memory_pairs").fetchone()[0] == 0


def test_words_still_find_after_the_embedder_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path, embedder=HashingEmbedder(64)) as store:
        ids = store.remember_many([NewMemory(kind="task", content=text) for text in TEXTS])
    with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
        assert store.lacks_vectors()
        assert search(store, "clear the cache")[0].memory.id == ids[6]
        assert search(store, "登录")[0].memory.id == ids[0]
        fresh = store.remember(NewMemory(kind="task", content="the cache of the builder is cold"))
        assert {hit.memory.id for hit in search(store, "the cache")} >= {ids[6], fresh}
        before = [hit.memory.id for hit in search(store, "clear the cache", limit=3)]
        store.reembed()
        assert not store.lacks_vectors()
        assert search(store, "clear the cache", limit=3)[0].memory.id == before[0] == ids[6]
