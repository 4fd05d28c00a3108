"""The snapshot of a tree: what a warm start reads instead of walking and extracting."""

import marshal
from array import array
from dataclasses import dataclass
from pathlib import Path

from hal9.ripmap.files.discovery import Tree
from hal9.ripmap.index.entries import Entry
from hal9.ripmap.storage.cache import read_sealed_file, write_sealed_file
from hal9.ripmap.storage.record_codec import FORMAT

__all__ = ["Snapshot", "load_snapshot", "save_snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every entry of a tree with the stamps it was read under; columns run in parallel."""

    tree: Tree
    hashes: list[str]
    languages: list[str]
    roles: list[int]
    statuses: list[str]
    lines: list[int]
    fingerprint: str

    @classmethod
    def of(cls, tree: Tree, entries: list[Entry], fingerprint: str) -> "Snapshot":
        """Columns of `entries`, which stand in the order of `tree.paths`."""
        signatures = tuple(entry.signature for entry in entries)
        settled = Tree(tree.paths, signatures, tree.folders, tree.watched, tree.binary)
        return cls(
            settled,
            [entry.content_hash for entry in entries],
            [entry.language for entry in entries],
            [entry.roles for entry in entries],
            [entry.status for entry in entries],
            [entry.lines for entry in entries],
            fingerprint,
        )

    def entry(self, file_index: int) -> Entry:
        """One row."""
        return Entry(
            self.tree.paths[file_index],
            self.tree.signatures[file_index],
            self.hashes[file_index],
            self.languages[file_index],
            self.roles[file_index],
            self.statuses[file_index],  # type: ignore[arg-type]  # written from the same closed set
            self.lines[file_index],
        )


def save_snapshot(path: Path, snapshot: Snapshot) -> bool:
    """Write it; False when the disk does not let us."""
    tree = snapshot.tree
    stamps = array("q", [number for signature in tree.signatures for number in signature])
    names: dict[str, str] = {}
    columns = (
        FORMAT,
        "\0".join(tree.paths).encode("utf-8", "surrogateescape"),
        stamps.tobytes(),
        tree.folders,
        tree.watched,
        "\0".join(tree.binary).encode("utf-8", "surrogateescape"),
        "\0".join(snapshot.hashes).encode("ascii"),
        [names.setdefault(name, name) for name in snapshot.languages],
        array("i", snapshot.roles).tobytes(),
        [names.setdefault(name, name) for name in snapshot.statuses],
        array("i", snapshot.lines).tobytes(),
        snapshot.fingerprint,
    )
    return write_sealed_file(path, marshal.dumps(columns))


def _paths(joined: bytes) -> tuple[str, ...]:
    return tuple(joined.decode("utf-8", "surrogateescape").split("\0")) if joined else ()


def load_snapshot(path: Path) -> Snapshot | None:
    """Read it; None when there is none, or it is damaged or of another version."""
    data = read_sealed_file(path)
    if data is None:
        return None
    columns = marshal.loads(data)  # noqa: S302 - our own file, checked against its seal
    if columns[0] != FORMAT:
        return None
    _, paths, stamps, folders, watched, binary, hashes, languages, roles, statuses, lines, fingerprint = (
        columns
    )
    numbers = array("q")
    numbers.frombytes(stamps)
    flat = numbers.tolist()
    signatures = tuple(zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], strict=True))
    names = _paths(paths)
    role_numbers, line_numbers = array("i"), array("i")
    role_numbers.frombytes(roles)
    line_numbers.frombytes(lines)
    return Snapshot(
        Tree(names, signatures, folders, watched, _paths(binary)),
        hashes.decode("ascii").split("\0") if hashes else [],
        languages,
        role_numbers.tolist(),
        statuses,
        line_numbers.tolist(),
        fingerprint,
    )
