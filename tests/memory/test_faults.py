"""What happens when the disk, the file or the process fails."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal9.errors.database import DatabaseDamaged
from hal9.errors.memory import MemoryUnwritable
from hal9.memory import MemoryStore, NewMemory, audit, search
from hal9.memory.embedding.hashing import HashingEmbedder

WRITER = """
import sys
from hal9.memory import MemoryStore, NewMemory, NewRule, RuleStore, MemoryScope
from hal9.memory.embedding.hashing import HashingEmbedder
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
    print("ready", flush=True)
    book = RuleStore(store)
    for number in range(count):
        # Both or neither: the pair is what a kill must not tear apart.
        with store.writing():
            store.remember(NewMemory(kind="task", content=f"{name} {number}"))
            rule = f"{name} {number}"
            book.propose(NewRule(rule=rule, scope=MemoryScope("", "m"), source="user", trusted_by="u"))
        print(number, flush=True)
"""


def fill(path: Path, count: int = 300) -> None:
    with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
        store.remember_many(
            [
                NewMemory(kind="task", content=f"memory number {number} " + "text " * 20)
                for number in range(count)
            ]
        )
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def start(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_kill_9_in_the_middle_of_writing_tears_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    confirmed = 0
    for attempt in range(3):
        writer = start(path, f"run{attempt}", 100_000)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        last = -1
        until = time.monotonic() + 0.3 + 0.1 * attempt
        while time.monotonic() < until:
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        writer.wait()
        writer.stdout.close()
        # A line cut short by the kill confirms nothing.
        confirmed += max([last, *(int(line) for line in rest[:-1])]) + 1
    with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
        memories = store.count()
        pairs = store.connection.execute("SELECT count(*) FROM mitigations").fetchone()[0]
        assert memories == pairs
        assert confirmed <= memories <= confirmed + 3
        assert audit(store).sound
        assert search(store, "run0 0", mode="words")


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    writers = [start(path, f"process{number}", 60) for number in range(2)]
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        assert out.endswith("59\n")
    with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
        assert store.count() == 120
        assert audit(store).sound


def everything(path: Path) -> list[tuple[object, ...]]:
    with MemoryStore(path) as store:
        return [tuple(row) for row in store.connection.execute("SELECT * FROM memories ORDER BY id")]


def flip(path: Path, place: int, length: int = 16) -> bytes:
    data = bytearray(path.read_bytes())
    for offset in range(place, place + length):
        data[offset] ^= 0xFF
    path.write_bytes(bytes(data))
    return bytes(data)


def noticed(path: Path) -> bool:
    try:
        with MemoryStore(path, embedder=HashingEmbedder(32)) as store:
            return not audit(store).sound
    except (DatabaseDamaged, MemoryUnwritable):
        return True


@pytest.mark.parametrize("what", ["header", "content", "vector"])
def test_flipped_bytes_where_it_matters_are_noticed(tmp_path: Path, what: str) -> None:
    path = tmp_path / "memory.db"
    fill(path)
    with MemoryStore(path) as store:
        vector = store.connection.execute("SELECT embedding FROM memories WHERE id = 77").fetchone()[0]
    places = {
        "header": 0,
        "content": path.read_bytes().index(b"memory number 77 text"),
        "vector": path.read_bytes().index(vector),
    }
    damaged = flip(path, places[what])
    assert noticed(path)
    assert path.read_bytes() == damaged


def test_flipped_bytes_anywhere_are_noticed_or_change_no_memory(tmp_path: Path) -> None:
    path, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    fill(path, 60)
    before = everything(path)
    size = path.stat().st_size
    seen = 0
    for place in range(512, size - 64, size // 23):
        for side in ("-wal", "-shm"):
            copy.with_name(copy.name + side).unlink(missing_ok=True)
        shutil.copy(path, copy)
        flip(copy, place)
        if noticed(copy):
            seen += 1
        else:
            assert everything(copy) == before
    assert seen > 0


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to look like one" * 100])
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(content)
    if content:
        with pytest.raises(DatabaseDamaged, match="damaged"), MemoryStore(path):
            pass
        assert path.read_bytes() == content
    else:
        with MemoryStore(path) as store:
            assert store.count() == 0


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    fill(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert noticed(path)


def test_a_full_disk_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    fill(path, 50)
    program = """
import resource, signal, sys
from hal9.errors.memory import MemoryUnwritable
from hal9.memory import MemoryStore, NewMemory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with MemoryStore(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        for number in range(10_000):
            store.remember(NewMemory(kind="task", content=f"more {number} " + "x" * 2_000))
    except MemoryUnwritable as error:
        print(number, "refused:", error)
        print("still readable:", store.count())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    refused, readable = ran.stdout.splitlines()
    assert "Check the disk's space" in refused
    written = int(refused.split()[0])
    assert readable == f"still readable: {50 + written}"
    with MemoryStore(path) as store:
        assert store.count() == 50 + written
        assert audit(store).integrity == "ok"


def test_sqlite_reports_full_as_unwritable(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path) as store:
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(MemoryUnwritable, match="full"):
            store.remember_many([NewMemory(kind="task", content="x" * 5_000)] * 20)
        assert store.count() == 0
        store.connection.execute("PRAGMA max_page_count=100000")
        store.remember(NewMemory(kind="task", content="fits now"))


@pytest.fixture
def someone_else() -> Iterator[Path]:
    """A folder and a file that belong to root, seen by another user (root itself ignores permissions)."""
    folder = Path(tempfile.mkdtemp(prefix="hal9-readonly-"))
    path = folder / "memory.db"
    fill(path, 5)
    # Without WAL, a reader needs no side files.
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    path.chmod(0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield path
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_read_only_file_says_what_to_do(someone_else: Path) -> None:
    before = someone_else.read_bytes()
    with pytest.raises(MemoryUnwritable, match="permissions") as caught, MemoryStore(someone_else):
        pass
    assert str(someone_else) in str(caught.value)
    assert someone_else.read_bytes() == before


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnwritable, match="unable to open"), MemoryStore(tmp_path / "no" / "memory.db"):
        pass


def test_a_lock_held_too_long_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryStore(path) as holder, MemoryStore(path, busy_timeout_ms=50) as waiter:
        with holder.writing(), pytest.raises(MemoryUnwritable, match="locked"):
            waiter.remember(NewMemory(kind="task", content="x"))
        waiter.remember(NewMemory(kind="task", content="x"))
        assert holder.count() == 1
