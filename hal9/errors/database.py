"""Errors of database."""

from dataclasses import dataclass

from hal9.errors.base import ConfigError, DatabaseError, install_hint

__all__ = [
    "DatabaseAddressInvalid",
    "DatabaseDamaged",
    "DatabaseDriverMissing",
    "DatabaseRefused",
    "DatabaseTooNew",
    "DatabaseTooOld",
    "DatabaseUnreachable",
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


@dataclass(eq=False, kw_only=True)
class DatabaseDriverMissing(DatabaseError):
    """`state.url` names PostgreSQL and its driver is not installed."""

    detail: str

    def message(self) -> str:
        return (
            f"state.url needs the PostgreSQL driver, which is not installed ({self.detail}). "
            f"Run: {install_hint('postgresql')}"
        )


@dataclass(eq=False, kw_only=True)
class DatabaseAddressInvalid(ConfigError):
    """`state.url` is no address of a database."""

    url: str

    def message(self) -> str:
        return (
            f"state.url is {self.url!r}; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "or leave it empty for SQLite in the home."
        )


@dataclass(eq=False, kw_only=True)
class DatabaseUnreachable(DatabaseError):
    """Nobody answers at the database's address."""

    where: str
    detail: str

    def message(self) -> str:
        return (
            f"The database {self.where} does not answer ({self.detail}). Start PostgreSQL or mend state.url; "
            "nothing was changed."
        )


@dataclass(eq=False, kw_only=True)
class DatabaseRefused(DatabaseError):
    """The server is there and does not let us in."""

    where: str
    detail: str

    def message(self) -> str:
        return (
            f"The database {self.where} refuses us ({self.detail}). Check user, password and database in "
            "state.url; the user must own the database or may create schemas in it."
        )


@dataclass(eq=False, kw_only=True)
class DatabaseTooOld(DatabaseError):
    """The server is older than what we use."""

    where: str
    found: int
    needed: int

    def message(self) -> str:
        return f"The database {self.where} runs PostgreSQL {self.found}; HAL9 needs {self.needed} or newer."
