"""What is kept on disk.

Extractions and per-file artifacts by content in SQLite, snapshots and whole artifacts as files.

Everything here can be thrown away at any time. A damaged database is replaced by an empty one with a notice;
a damaged, truncated or foreign file counts as absent. Several processes may use one cache at once.
"""

import mmap
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hal9.errors.ripmap import CacheUnusable
from hal9.ripmap.storage.record_codec import FORMAT

if TYPE_CHECKING:
    from hal9.database import Connection, Migration

__all__ = ["ContentStore", "read_sealed_file", "remove_stale", "usable_store", "write_sealed_file"]

_T = TypeVar("_T")
_BATCH = 400
_MAGIC = b"RIPMAP\x01\n"
_HEADER = len(_MAGIC) + 8 + 4
_FULL_CHECK = 8_000_000
_PAGE = 4096
_PROBES = 64


def _create(connection: "Connection") -> None:
    connection.execute("CREATE TABLE items (key TEXT PRIMARY KEY, payload BLOB NOT NULL)")


_MIGRATIONS: "tuple[Migration, ...]" = (_create,)


def usable_store(folder: Path, notify: Callable[[str], None]) -> "ContentStore | None":
    """The content store of a cache folder; None when it cannot be used, which is told."""
    try:
        return ContentStore(folder, notify)
    except CacheUnusable as error:
        notify(str(error))
        return None


class ContentStore:
    """Payloads by key in one SQLite file; `key` always holds everything that the payload depends on."""

    def __init__(self, folder: Path, notify: Callable[[str], None]) -> None:
        self._path = folder / "contents.sqlite"
        self._notify = notify
        self._connection = self._open()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def read(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The payloads that are there."""

        def select(connection: "Connection") -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for start in range(0, len(keys), _BATCH):
                batch = [f"{FORMAT}/{key}" for key in keys[start : start + _BATCH]]
                marks = ",".join("?" * len(batch))
                rows = connection.execute(f"SELECT key, payload FROM items WHERE key IN ({marks})", batch)  # noqa: S608 - only question marks are put in
                found.update((str(row[0])[len(FORMAT) + 1 :], bytes(row[1])) for row in rows)
            return found

        return self._guarded(select, {})

    def has(self, keys: Sequence[str]) -> set[str]:
        """Which of these have a payload."""

        def select(connection: "Connection") -> set[str]:
            found: set[str] = set()
            for start in range(0, len(keys), _BATCH):
                batch = [f"{FORMAT}/{key}" for key in keys[start : start + _BATCH]]
                marks = ",".join("?" * len(batch))
                rows = connection.execute(f"SELECT key FROM items WHERE key IN ({marks})", batch)  # noqa: S608 - only question marks are put in
                found.update(str(row[0])[len(FORMAT) + 1 :] for row in rows)
            return found

        return self._guarded(select, set())

    def write(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep payloads; a cache that cannot be written costs speed, not the result, and is told of."""
        from hal9.database import atomic  # noqa: PLC0415 - loaded with the store, not with the room

        rows = [(f"{FORMAT}/{key}", payload) for key, payload in items]

        def insert(connection: "Connection") -> None:
            with atomic(connection):
                connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", rows)

        self._guarded(insert, None)

    def keep_only(self, hashes: Collection[str]) -> None:
        """Drop what was made from other contents than these or by another version; its room is freed."""

        def sweep(connection: "Connection") -> None:
            keys = [str(row[0]) for row in connection.execute("SELECT key FROM items")]
            gone = [
                (key,) for key in keys if not key.startswith(f"{FORMAT}/") or _content_of(key) not in hashes
            ]
            with atomic(connection):
                connection.executemany("DELETE FROM items WHERE key = ?", gone)
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        from hal9.database import atomic  # noqa: PLC0415 - loaded with the store, not with the room

        self._guarded(sweep, None)

    def _guarded(self, action: "Callable[[Connection], _T]", otherwise: _T) -> _T:
        import sqlite3  # noqa: PLC0415 - a warm query opens no database

        try:
            return action(self._connection)
        except sqlite3.OperationalError as error:
            self._notify(f"the cache {self._path} cannot be used now ({error}); going on without it")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self._connection = self._rebuild(str(error))
        return otherwise

    def _open(self) -> "Connection":
        import sqlite3  # noqa: PLC0415

        from hal9.database import open_database  # noqa: PLC0415 - costs what a warm start can save
        from hal9.errors.database import DatabaseDamaged, DatabaseTooNew  # noqa: PLC0415

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self._path.parent):
                return open_database(self._path, _MIGRATIONS, check_same_thread=False)
        except (DatabaseDamaged, DatabaseTooNew) as error:
            detail = error.detail if isinstance(error, DatabaseDamaged) else "written by a newer version"
            return self._rebuild(detail)
        except (OSError, sqlite3.OperationalError) as error:
            detail = (isinstance(error, OSError) and error.strerror) or str(error)
            raise CacheUnusable(path=str(self._path.parent), detail=detail) from error

    def _rebuild(self, detail: str) -> "Connection":
        from hal9.database import open_database  # noqa: PLC0415

        self._notify(f"the cache {self._path} was damaged ({detail}) and has been rebuilt")
        with _locked(self._path.parent):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return open_database(self._path, _MIGRATIONS, check_same_thread=False)


def _content_of(key: str) -> str:
    """The content hash in a key: `x/LANGUAGE/HASH`, or `a/NAME/VERSION/HASH:PLACE`."""
    return key.rpartition("/")[2].partition(":")[0]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one process at a time opens or replaces the database (where the system has file locks)."""
    try:
        import fcntl  # noqa: PLC0415 - absent on Windows, where SQLite's own locks must do
    except ImportError:
        yield
        return
    with (folder / "contents.lock").open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_sealed_file(path: Path, payload: bytes | memoryview) -> bool:
    """Write atomically; False when the disk does not let us (full, read-only)."""
    import tempfile  # noqa: PLC0415 - a warm query writes nothing

    view = memoryview(payload)
    header = _MAGIC + len(view).to_bytes(8, "little") + _checksum(view).to_bytes(4, "little")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    except OSError:
        return False
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(header)
            out.write(view)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        return False
    return True


def read_sealed_file(path: Path) -> memoryview | None:
    """The payload, mapped into memory; None when the file is absent, truncated or altered."""
    try:
        with path.open("rb") as handle:
            mapped = memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return None
    payload = mapped[_HEADER:]
    if mapped[: len(_MAGIC)] != _MAGIC or len(mapped) < _HEADER:
        return None
    length = int.from_bytes(mapped[len(_MAGIC) : len(_MAGIC) + 8], "little")
    seal = int.from_bytes(mapped[len(_MAGIC) + 8 : _HEADER], "little")
    if length != len(payload) or _checksum(payload) != seal:
        return None
    return payload


def _checksum(payload: memoryview) -> int:
    """CRC-32 of everything, or of evenly spread pages where everything would cost more than it protects."""
    if len(payload) <= _FULL_CHECK:
        return zlib.crc32(payload)
    value = zlib.crc32(payload[: 16 * _PAGE])
    step = len(payload) // _PROBES
    for start in range(0, len(payload) - _PAGE, step):
        value = zlib.crc32(payload[start : start + _PAGE], value)
    return zlib.crc32(payload[-16 * _PAGE :], value)


def remove_stale(folder: Path, prefix: str, *, keep: int) -> None:
    """Leave only the `keep` newest files whose name starts with `prefix`."""
    found: list[tuple[float, Path]] = []
    try:
        found.extend(
            (path.stat().st_mtime, path) for path in folder.iterdir() if path.name.startswith(prefix)
        )
    except OSError:
        # Another process tidies at the same time; what it leaves is tidied next time.
        return
    for _, path in sorted(found, reverse=True)[keep:]:
        path.unlink(missing_ok=True)
