"""Errors of database."""

from dataclasses import dataclass

from hal9.errors.base import DatabaseError

__all__ = [
    "DatabaseDamaged",
    "DatabaseTooNew",
]


@dataclass(eq=False, kw_only=True)
class DatabaseTooNew(DatabaseError):
    """The file was written by a newer HAL9."""

    path: str
    found: int
    known: int

    def message(self) -> str:
        return (
            f"{self.path} has schema version {self.found}, this HAL9 knows up to {self.known}. "
            "Upgrade HAL9, or use another home; nothing was changed."
        )


@dataclass(eq=False, kw_only=True)
class DatabaseDamaged(DatabaseError):
    """SQLite says the file is not a sound database."""

    path: str
    detail: str

    def message(self) -> str:
        return (
            f"{self.path} is damaged ({self.detail}). Move it aside and restore a copy; "
            "HAL9 never overwrites it by itself."
        )
