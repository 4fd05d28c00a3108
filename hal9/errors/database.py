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
    "StateMoveDiffers",
    "StateMoveFailed",
    "StateSourceMissing",
    "StateTargetTaken",
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


@dataclass(eq=False, kw_only=True)
class StateSourceMissing(DatabaseError):
    """There is no journal to move."""

    where: str

    def message(self) -> str:
        return (
            f"There is no journal at {self.where}, so there is nothing to move. Check the source's address."
        )


@dataclass(eq=False, kw_only=True)
class StateTargetTaken(DatabaseError):
    """The place to move to holds something already."""

    where: str

    def message(self) -> str:
        return (
            f"{self.where} holds rows that this move has not put there; nothing was changed. "
            "Move into an empty database (or drop that schema), or give the cluster another name."
        )


@dataclass(eq=False, kw_only=True)
class StateMoveFailed(DatabaseError):
    """A batch of rows cannot be stored in the target."""

    table: str
    first: str
    detail: str

    def message(self) -> str:
        return (
            f"The rows of {self.table} from {self.first} on cannot be stored in the target ({self.detail}). "
            "The source is unchanged; the same command goes on there once that is mended."
        )


@dataclass(eq=False, kw_only=True)
class StateMoveDiffers(DatabaseError):
    """A row in the target is not the row of the source."""

    table: str
    key: str

    def message(self) -> str:
        return (
            f"The row {self.key} of {self.table} differs between source and target: something wrote meanwhile. "
            "Stop every daemon, empty the target and move again; the source is unchanged."
        )
