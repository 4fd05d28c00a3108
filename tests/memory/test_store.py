import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal9.clock import ManualClock
from hal9.database import on_postgres
from hal9.errors.memory import MemoryClosed, MemoryInvalid, MemoryMissing
from hal9.memory import MemoryScope, MemoryStore, NewMemory, SearchFilter, search
from hal9.memory.embedding.hashing import HashingEmbedder

any_text = st.text(max_size=80) | st.text(alphabet="\x00\ud800\udfff\"'*():^-\\ abAND", max_size=40)


def test_a_memory_comes_back_as_it_was_stored(store: MemoryStore) -> None:
    new = NewMemory(
        kind="error",
        content="KeyError: 'x'",
        neuron="l2-python",
        layer=2,
        scope=MemoryScope("home", "ledger", "*"),
        importance=0.7,
        task_id="t1",
        source="detector",
        meta={"b": 1, "a": [2]},
    )
    one = store.get(store.remember(new))
    assert (one.content, one.kind, one.neuron, one.layer, one.scope) == (
        new.content,
        new.kind,
        new.neuron,
        new.layer,
        new.scope,
    )
    assert one.meta == {"a": [2], "b": 1}
    assert (one.importance, one.task_id, one.source) == (0.7, "t1", "detector")
    assert one.created == one.accessed == store.clock.now()
    assert one.embedding_model == "hashing-v1-256"


def test_many_are_stored_together_or_not_at_all(store: MemoryStore) -> None:
    good = NewMemory(kind="task", content="fine")
    with pytest.raises(MemoryInvalid, match="importance"):
        store.remember_many([good, NewMemory(kind="task", content="bad", importance=1.5)])
    assert store.count() == 0


def test_an_error_inside_a_write_undoes_all_of_it(store: MemoryStore) -> None:
    def half() -> None:
        with store.writing():
            store.remember(NewMemory(kind="task", content="one"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert store.count() == 0


def test_unknown_kind_is_refused(store: MemoryStore) -> None:
    with pytest.raises(MemoryInvalid, match="kind"):
        store.remember(NewMemory(kind="gossip", content="x"))  # type: ignore[arg-type]


def test_missing_memories_are_named(store: MemoryStore) -> None:
    for call in (
        lambda: store.get(7),
        lambda: store.record_outcome(7, "helped"),
    ):
        with pytest.raises(MemoryMissing, match="memory 7"):
            call()


def test_use_outside_with_says_so(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "memory.db")
    with pytest.raises(MemoryClosed):
        store.count()
    with store:
        assert store.count() == 0
    with pytest.raises(MemoryClosed):
        store.count()


def test_outcomes_are_counted_per_memory(store: MemoryStore) -> None:
    one = store.remember(NewMemory(kind="learning", content="x"))
    for outcome in ("helped", "helped", "failed", "hurt", "neutral"):
        store.record_outcome(one, outcome)
    found = store.get(one)
    assert (found.helped, found.hurt, found.neutral) == (2, 2, 1)


def test_quarantine_hides_and_release_shows(store: MemoryStore) -> None:
    one = store.remember(NewMemory(kind="learning", content="poisoned rule"))
    assert store.quarantine([one], "test") == 1
    assert store.quarantine([one], "again") == 0
    assert store.get(one).quarantine_reason == "test"
    for mode in ("words", "vectors", "fused"):
        assert search(store, "poisoned rule", mode=mode) == []
    found = search(store, "poisoned rule", mode="words", where=SearchFilter(quarantined=True))
    assert [hit.memory.id for hit in found] == [one]
    assert store.release([one]) == 1
    assert [hit.memory.id for hit in search(store, "poisoned rule", mode="vectors")] == [one]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=any_text, workspace=any_text, module=any_text, family=any_text, neuron=any_text)
def test_any_text_can_be_stored_and_found_by_its_scope(
    store: MemoryStore, content: str, workspace: str, module: str, family: str, neuron: str
) -> None:
    scope = MemoryScope(workspace, module, family)
    one = store.remember(NewMemory(kind="task", content=content, neuron=neuron, scope=scope))
    assert store.get(one).scope == scope.cleaned()
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id FROM memories WHERE workspace = ? AND module = ? AND task_family = ?",
            (scope.cleaned().workspace, scope.cleaned().module, scope.cleaned().task_family),
        ).fetchall()
    assert one in {row["id"] for row in rows}
    store.forget([one])
    with store.reading() as connection:
        if not on_postgres(connection):
            connection.execute("INSERT INTO memories_fts(memories_fts) VALUES ('integrity-check')")


def test_the_full_text_index_follows_deletes_and_content_updates(store: MemoryStore) -> None:
    one, two = store.remember_many(
        [NewMemory(kind="task", content="alpha"), NewMemory(kind="task", content="beta")]
    )
    store.forget([one])
    with store.writing() as tables:
        tables.table("memories").update(two, {"content": "gamma"})
    assert search(store, "alpha beta", mode="words") == []
    assert [hit.memory.id for hit in search(store, "gamma", mode="words")] == [two]


def test_threads_share_one_store(store: MemoryStore) -> None:
    def work(name: str) -> None:
        for index in range(10):
            one = store.remember(NewMemory(kind="task", content=f"{name} {index}"))
            assert search(store, f"{name} {index}", limit=3)
            store.record_outcome(one, "helped")

    threads = [threading.Thread(target=work, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 40
    assert all(one.helped == 1 for one in store.get_many(range(1, 41)))


async def test_an_event_loop_calls_it_through_threads(store: MemoryStore) -> None:
    ids = await asyncio.gather(
        *(asyncio.to_thread(store.remember, NewMemory(kind="task", content=f"t{n}")) for n in range(8))
    )
    assert len(set(ids)) == 8


def test_reembedding_on_a_change_of_model(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path, embedder=HashingEmbedder(32), clock=ManualClock()) as store:
        ids = store.remember_many([NewMemory(kind="task", content=f"number {n}") for n in range(150)])
    with MemoryStore(path, embedder=HashingEmbedder(48)) as store:
        assert store.stale_vectors() == 150
        assert search(store, "number 7", mode="vectors") == []
        assert store.reembed() == 150
        assert (store.stale_vectors(), store.reembed()) == (0, 0)
        hits = search(store, "number 7", mode="vectors", limit=1)
        assert hits[0].memory.id == ids[7]
        row = store.connection.execute("SELECT embedding, embedding_dim FROM memories").fetchone()
        assert row["embedding_dim"] == 48
        assert np.frombuffer(row["embedding"], dtype="<f4").shape == (48,)


def test_without_an_embedder_words_still_find(tmp_path: Path) -> None:
    with MemoryStore(tmp_path / "memory.db") as store:
        one = store.remember(NewMemory(kind="task", content="pump pressure"))
        assert store.get(one).embedding_model is None
        assert [hit.memory.id for hit in search(store, "pressure")] == [one]
        assert (store.stale_vectors(), store.reembed()) == (0, 0)
        with pytest.raises(MemoryInvalid, match="embedder"):
            search(store, "pressure", mode="vectors")
