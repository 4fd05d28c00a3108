"""A run's memory on disk: versioned, append-only, whole after a kill at any moment.

The file is one JSON document. Every entry carries the hash of itself and the entry before it, so that a
changed past is noticed; every append replaces the file by a complete, synced copy of itself plus one entry.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from hal9.errors.trainer import ScratchpadInvalid
from hal9.trainer.record.episodes import entry_problem

__all__ = ["SCHEMA_VERSION", "RunLog", "write_json"]

SCHEMA_VERSION = 1
_START = "0" * 16


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole: old or new, never half."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


class RunLog:
    """The ordered record of a run; entries are added and never changed.

    Attributes:
        header: schema version, kind of run, settings; fixed when the run begins.
        entries: the record so far.
    """

    def __init__(self, path: Path, header: dict[str, Any], entries: list[dict[str, Any]]) -> None:
        self.path = path
        self.header = header
        self.entries = entries

    @classmethod
    def create(cls, path: Path, kind: str, settings: Mapping[str, Any]) -> Self:
        """Begin a record; the file exists from here on."""
        made = cls(path, {"schema_version": SCHEMA_VERSION, "kind": kind, "settings": dict(settings)}, [])
        made._write()
        return made

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record.

        Raises:
            ScratchpadInvalid: it is missing, no JSON, of another schema version, or its chain is broken.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            header = {key: item for key, item in value.items() if key != "episodes"}
            entries = value["episodes"]
            version = value["schema_version"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ScratchpadInvalid(path=str(path), detail=f"unreadable ({error})") from error
        if version != SCHEMA_VERSION:
            raise ScratchpadInvalid(
                path=str(path), detail=f"schema version {version!r}, this program reads {SCHEMA_VERSION}"
            )
        before = _START
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or entry.get("hash") != _hash(before, entry):
                raise ScratchpadInvalid(path=str(path), detail=f"episode {number} was altered")
            if problem := entry_problem(str(header.get("kind", "")), entry):
                raise ScratchpadInvalid(path=str(path), detail=f"episode {number} is none ({problem})")
            before = entry["hash"]
        return cls(path, header, entries)

    @property
    def kind(self) -> str:
        """What kind of run this is: inner, strategy or outer."""
        return str(self.header["kind"])

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with."""
        return dict(self.header["settings"])

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add an entry; when this returns it is on disk."""
        before = self.entries[-1]["hash"] if self.entries else _START
        # A trip through JSON first: what is hashed is what a reader will see.
        made: dict[str, Any] = json.loads(json.dumps(dict(entry), allow_nan=False))
        made["hash"] = _hash(before, made)
        self.entries.append(made)
        self._write()
        return made

    def _write(self) -> None:
        write_json(self.path, {**self.header, "episodes": self.entries})


def _hash(before: str, entry: Mapping[str, Any]) -> str:
    facts = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256((before + json.dumps(facts, sort_keys=True)).encode()).hexdigest()[:16]


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a run's folder; the kernel lets go of it when the process dies.

    Raises:
        ScratchpadInvalid: another process is writing this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ScratchpadInvalid(path=str(folder), detail="another process is writing this run") from error
        yield
