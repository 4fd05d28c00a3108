"""Who may do what over HTTP: one token per client, with scopes, stored as a hash."""

import hashlib
import hmac
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from hal9.clock import Clock
from hal9.database import Connection, Migration, atomic, open_database
from hal9.errors.api import IdempotencyMismatch, TokenNameTaken, TokenUnknown

__all__ = ["SCOPES", "Token", "TokenScope", "TokenStore"]

TokenScope = Literal["read", "submit", "feedback", "approve", "admin"]
SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)
_PREFIX = "hal9_"
_KEYS_KEPT_SECONDS = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; the secret itself is not. `expires_at` in epoch seconds, None: never."""

    id: str
    name: str
    scopes: tuple[TokenScope, ...]
    created_at: float
    expires_at: float | None = None
    hidden: bool = False

    def allows(self, scope: TokenScope) -> bool:
        """Whether it is good for something; admin is good for everything."""
        return scope in self.scopes or "admin" in self.scopes


def _m001(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, "
        "scopes TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL, "
        "hidden INTEGER NOT NULL DEFAULT 0) STRICT"
    )
    connection.execute(
        "CREATE TABLE idempotency (token TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, "
        "task_id TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (token, key)) STRICT, WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE codes (hash TEXT PRIMARY KEY, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID"
    )


_MIGRATIONS: tuple[Migration, ...] = (_m001,)


def _hash(secret: str) -> str:
    # Secrets are 256 random bits: nothing to guess, so a plain digest is as good as a slow one.
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenStore:
    """The tokens of a home, in a file of their own; use it with `with`, from any thread.

    Args:
        path: the file.
        clock: time.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Token, str]] = {}
        self._version: int | None = None

    def __enter__(self) -> Self:
        self._connection = open_database(self._path, _MIGRATIONS, check_same_thread=False)
        self._path.chmod(0o600)
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def create(
        self,
        name: str,
        scopes: tuple[TokenScope, ...],
        *,
        lifetime_seconds: float | None = None,
        hidden: bool = False,
    ) -> tuple[Token, str]:
        """A new token and its text, which is shown once and stored nowhere.

        Raises:
            TokenNameTaken: there is one of that name.
        """
        now = self._clock.now()
        token = Token(
            id=secrets.token_hex(6),
            name=name,
            scopes=scopes,
            created_at=now,
            expires_at=None if lifetime_seconds is None else now + lifetime_seconds,
            hidden=hidden,
        )
        secret = secrets.token_urlsafe(32)
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM tokens WHERE expires_at IS NOT NULL AND expires_at < ?", (now - 86400.0,)
            )
            try:
                connection.execute(
                    "INSERT INTO tokens (id, name, hash, scopes, created_at, expires_at, hidden) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (token.id, name, _hash(secret), " ".join(scopes), now, token.expires_at, int(hidden)),
                )
            except sqlite3.IntegrityError:
                raise TokenNameTaken(name=name) from None
            self._version = None
        return token, f"{_PREFIX}{token.id}_{secret}"

    def all(self, *, hidden: bool = False) -> list[Token]:
        """Tokens in the order they were made; sessions of browsers are hidden ones."""
        with self._lock:
            rows = self._open().execute("SELECT * FROM tokens ORDER BY created_at").fetchall()
        return [_token(row) for row in rows if hidden or not row["hidden"]]

    def revoke(self, name: str) -> None:
        """End a token.

        Raises:
            TokenUnknown: there is none of that name.
        """
        with self._writing() as connection:
            if connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount == 0:
                raise TokenUnknown(name=name)
            self._version = None

    def check(self, text: str) -> Token | None:
        """The token for a text, or None when it is wrong, revoked or expired."""
        if not text.startswith(_PREFIX) or len(text) > 200:
            return None
        name, _, secret = text.removeprefix(_PREFIX).partition("_")
        found = self._current().get(name)
        # Compared in any case, so that a wrong id takes as long as a wrong secret.
        right = hmac.compare_digest(_hash(secret), found[1] if found else _hash(""))
        if not right or found is None:
            return None
        token = found[0]
        if token.expires_at is not None and token.expires_at <= self._clock.now():
            return None
        return token

    # --- keys that make a repeated submit harmless --------------------------------------------------

    def claim(self, token: str, key: str, fingerprint: str, task_id: str) -> str:
        """The id of the task that belongs to an idempotency key: the one given, or the one of the first try.

        Raises:
            IdempotencyMismatch: the key was used for another request.
        """
        now = self._clock.now()
        with self._writing() as connection:
            connection.execute("DELETE FROM idempotency WHERE at < ?", (now - _KEYS_KEPT_SECONDS,))
            connection.execute(
                "INSERT OR IGNORE INTO idempotency (token, key, fingerprint, task_id, at) "
                "VALUES (?, ?, ?, ?, ?)",
                (token, key, fingerprint, task_id, now),
            )
            row = connection.execute(
                "SELECT fingerprint, task_id FROM idempotency WHERE token = ? AND key = ?", (token, key)
            ).fetchone()
        if row["fingerprint"] != fingerprint:
            raise IdempotencyMismatch(key=key)
        return str(row["task_id"])

    # --- one-time codes that let a browser in --------------------------------------------------------

    def new_code(self, *, lifetime_seconds: float = 300.0) -> str:
        """A code that is good for one login."""
        code = secrets.token_urlsafe(24)
        now = self._clock.now()
        with self._writing() as connection:
            connection.execute("DELETE FROM codes WHERE expires_at < ?", (now,))
            connection.execute("INSERT INTO codes VALUES (?, ?)", (_hash(code), now + lifetime_seconds))
        return code

    def use_code(self, code: str) -> bool:
        """Whether a code is good; it is not any more afterwards."""
        with self._writing() as connection:
            done = connection.execute(
                "DELETE FROM codes WHERE hash = ? AND expires_at >= ?", (_hash(code), self._clock.now())
            )
        return done.rowcount == 1

    # --- the file --------------------------------------------------------------------------------

    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("use the token store inside `with`")
        return self._connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, atomic(self._open()) as connection:
            yield connection

    def _current(self) -> dict[str, tuple[Token, str]]:
        """All tokens with their hashes; read anew only after somebody else has written."""
        with self._lock:
            connection = self._open()
            version = int(connection.execute("PRAGMA data_version").fetchone()[0])
            if version != self._version:
                rows = connection.execute("SELECT * FROM tokens").fetchall()
                self._known = {row["id"]: (_token(row), row["hash"]) for row in rows}
                self._version = version
            return self._known


def _token(row: Any) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        scopes=tuple(one for one in SCOPES if one in row["scopes"].split()),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        hidden=bool(row["hidden"]),
    )
