"""Errors of journal."""

from dataclasses import dataclass

from hal9.errors.base import ConfigError, DatabaseError

__all__ = [
    "JournalClosed",
    "JournalInUse",
    "JournalIncomplete",
    "JournalUnwritable",
    "UnknownFailpoint",
]


@dataclass(eq=False, kw_only=True)
class JournalUnwritable(DatabaseError):
    """Nothing can be made durable at the moment: disk full, I/O error, read-only."""

    path: str
    detail: str

    def message(self) -> str:
        remedy = (
            "start it again"
            if self.detail.startswith("PostgreSQL")
            else "free disk space or repair the file system"
        )
        return (
            f"The journal {self.path} cannot be written ({self.detail}). Nothing of this step was recorded; "
            f"{remedy}, work continues by itself."
        )


@dataclass(eq=False, kw_only=True)
class JournalInUse(DatabaseError):
    """Another process works with this journal."""

    path: str

    def message(self) -> str:
        return f"The journal {self.path} belongs to another running process. Stop it, or use another home."


@dataclass(eq=False, kw_only=True)
class JournalIncomplete(DatabaseError):
    """The journal holds less than was accepted: it was cut, replaced by an older copy, or lost its log."""

    path: str
    missing: str

    def message(self) -> str:
        return (
            f"The journal {self.path} has lost something: {self.missing}. Restore it, with its -wal file, from where "
            "it went; or go on without what is lost: `hal9 up --accept-loss`."
        )


@dataclass(eq=False, kw_only=True)
class JournalClosed(DatabaseError):
    """Used before it was opened or after it was closed."""

    path: str

    def message(self) -> str:
        return f"The journal {self.path} is not open. Use it inside `async with Journal(...)`."


@dataclass(eq=False, kw_only=True)
class UnknownFailpoint(ConfigError):
    """HAL9_FAILPOINT names a point that does not exist."""

    name: str
    known: tuple[str, ...]

    def message(self) -> str:
        return f"HAL9_FAILPOINT names {self.name!r}; known are {', '.join(self.known)}."
