"""Budgets: reserved before a call, settled after it, in one database that all processes share.

The promise: what is spent and reserved together never passes a limit, as long as no call costs more than it
reserved; a call that does is recorded in full, and the next ones are refused. A process that dies between
reserving and settling leaves its reservation standing; it is later settled at the whole reserved amount,
unless the call is known not to have left yet.

Windows (hour, day) slide by the minute, and run on the book's own time: it moves with the machine's monotonic
clock while the machine is up, never backward, so that setting the wall clock frees no money. Over a reboot it
moves by the wall clock's difference, at least 0. On PostgreSQL it is the server's time.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, Self, get_args

from hal9.clock import Clock, SystemClock
from hal9.database import Connection, Migration, Place, Row, atomic, on_postgres, open_database
from hal9.errors.budgets import LimitExceeded, PriceUnknown, ReservationRepeated, ReservationUnknown
from hal9.processes import boot_id, owner_lives, process_owner

__all__ = ["MIGRATIONS", "BudgetStore", "Kind", "Limit", "LimitPeriod", "LimitUsage", "Reservation", "Spend"]

Kind = Literal["tokens", "usd", "seconds", "calls"]
LimitPeriod = Literal["task", "hour", "day"]

_WINDOW_SECONDS: dict[str, float] = {"hour": 3600.0, "day": 86400.0}
_KEEP_SECONDS = 2 * 86400.0
_TIME_KEPT_SECONDS = 30.0
_Look = Callable[[str, str | int], Row | None]
# Amounts are whole numbers in the file, so that sums are exact: tokens, calls, nano-dollars, milliseconds.
_UNITS: dict[str, int] = {"tokens": 1, "calls": 1, "usd": 1_000_000_000, "seconds": 1000}

_SUMS = (
    "SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(usd), 0) AS usd,"
    " coalesce(sum(seconds), 0) AS seconds, coalesce(sum(calls), 0) AS calls FROM "
)


def _add(table: str) -> str:
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _UNITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `value` of `kind` in `scope` (any one task, any 60 minutes, any 24 hours)."""

    kind: Kind
    scope: LimitPeriod
    value: float

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: unknown kind or scope, or a value that is negative or not finite.
        """
        if self.kind not in get_args(Kind) or self.scope not in get_args(LimitPeriod):
            raise ValueError(f"no such limit: {self.kind} per {self.scope}")
        if not (math.isfinite(self.value) and self.value >= 0):
            raise ValueError(f"a limit must be finite and at least 0, not {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What was used. `usd` None means that nobody knows the price."""

    tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    calls: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one call may use at most."""

    call_id: str
    task_id: str
    tokens: int
    usd: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUsage:
    """How one limit stands. `task_id` is set for limits per task."""

    limit: Limit
    spent: float
    reserved: float
    task_id: str | None = None


def _first_schema(connection: Connection) -> None:
    amounts = (
        "tokens INTEGER NOT NULL, usd INTEGER NOT NULL, seconds INTEGER NOT NULL, calls INTEGER NOT NULL"
    )
    connection.execute(
        "CREATE TABLE calls (call_id TEXT PRIMARY KEY, task_id TEXT NOT NULL, owner TEXT NOT NULL,"
        f" open INTEGER NOT NULL, price_known INTEGER NOT NULL, at REAL NOT NULL, {amounts}) STRICT"
    )
    if not on_postgres(connection):  # a number is no truth there; a later migration has the index for both
        connection.execute("CREATE INDEX calls_open ON calls (open) WHERE open")
    connection.execute("CREATE INDEX calls_at ON calls (at)")
    connection.execute(f"CREATE TABLE minutes (minute INTEGER PRIMARY KEY, {amounts}) STRICT")
    connection.execute(
        f"CREATE TABLE task_totals (task_id TEXT PRIMARY KEY, {amounts}, unpriced INTEGER NOT NULL) STRICT"
    )
    connection.execute(
        "CREATE TABLE task_limits (task_id TEXT NOT NULL, kind TEXT NOT NULL, value REAL NOT NULL,"
        " PRIMARY KEY (task_id, kind)) STRICT"
    )
    connection.execute(
        "CREATE TABLE book_time (id INTEGER PRIMARY KEY CHECK (id = 1), book REAL NOT NULL,"
        " wall REAL NOT NULL, boot TEXT NOT NULL, monotonic REAL NOT NULL) STRICT"
    )


def _sent_calls(connection: Connection) -> None:
    connection.execute("ALTER TABLE calls ADD COLUMN sent INTEGER NOT NULL DEFAULT 1")


def _open_calls(connection: Connection) -> None:
    connection.execute("DROP INDEX IF EXISTS calls_open")
    connection.execute("CREATE INDEX calls_open ON calls (task_id) WHERE open = 1")


MIGRATIONS: tuple[Migration, ...] = (_first_schema, _sent_calls, _open_calls)


class BudgetStore:
    """The accounts of one cluster. Any number of processes may have the same database open.

    Use it as a context manager, from one thread.
    """

    def __init__(
        self, path: Place | str, limits: Iterable[Limit] = (), *, clock: Clock | None = None
    ) -> None:
        """Open the book, settle what dead processes left open, forget calls no window needs any more."""
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._limits = tuple(limits)
        self._boot = boot_id()
        self._owner = process_owner(self._boot)
        self._connection = open_database(path, MIGRATIONS)
        self._server_time = clock is None and on_postgres(self._connection)
        if on_postgres(self._connection):
            # A process of another host cannot be looked up; its session with the server can.
            self._connection.hold(self._owner)
        self._kept_time: tuple[float, float] | None = None  # the book's, at which monotonic time
        self.recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; reservations of this process stay open until it ends."""
        self._connection.close()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits in force for every task; assign to change them."""
        return self._limits

    @limits.setter
    def limits(self, limits: Iterable[Limit]) -> None:
        self._limits = tuple(limits)

    def limit_task(self, task_id: str, limits: Iterable[Limit]) -> None:
        """Give one task limits of its own, beside the general ones; they survive restarts.

        Raises:
            ValueError: a limit whose scope is not `task`.
        """
        with atomic(self._connection) as connection:
            for limit in limits:
                if limit.scope != "task":
                    raise ValueError(f"a task's own limit has scope 'task', not {limit.scope!r}")
                connection.execute(
                    "INSERT INTO task_limits VALUES (?, ?, ?)"
                    " ON CONFLICT (task_id, kind) DO UPDATE SET value = excluded.value",
                    (task_id, limit.kind, limit.value),
                )

    def reserve(
        self,
        call_id: str,
        task_id: str,
        *,
        tokens: int,
        usd: float | None,
        seconds: float = 0.0,
        mind: str = "the model",
        sent: bool = True,
    ) -> Reservation:
        """Set aside the most that a call can cost, or refuse it.

        Args:
            call_id: unique for each attempt at a call.
            task_id: the task it is for.
            tokens: prompt and completion together.
            usd: dollars; None when nobody knows the price.
            seconds: wall time.
            mind: named in the error.
            sent: whether the call may leave at any time from now on; false when `mark_sent` will say so.

        Raises:
            LimitExceeded: with what is spent and reserved; nothing was changed.
            PriceUnknown: a usd limit applies and `usd` is None.
            ReservationRepeated: the call id was used before.
        """
        asked = (("tokens", tokens), ("usd", usd or 0.0), ("seconds", seconds), ("calls", 1))
        units = {kind: _units(kind, amount) for kind, amount in asked}
        with atomic(self._connection) as connection:
            now, look = self._tick(connection), _kept_look(connection)
            for limit in self._applying(connection, task_id):
                if limit.kind == "usd" and usd is None:
                    raise PriceUnknown(mind=mind)
                scale = _UNITS[limit.kind]
                spent, reserved = self._used(limit, task_id, now, look)
                if spent + reserved + units[limit.kind] > math.floor(round(limit.value * scale, 3)):
                    raise LimitExceeded(
                        kind=limit.kind,
                        scope=limit.scope,
                        spent=spent / scale,
                        reserved=reserved / scale,
                        asked=units[limit.kind] / scale,
                        limit=limit.value,
                    )
            amounts = (units["tokens"], units["usd"], units["seconds"], units["calls"])
            try:
                connection.execute(
                    "INSERT INTO calls (call_id, task_id, owner, open, price_known, at, tokens, usd, seconds,"
                    " calls, sent) VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)",
                    (call_id, task_id, self._owner, int(usd is not None), now, *amounts, int(sent)),
                )
            except sqlite3.IntegrityError as error:
                raise ReservationRepeated(call_id=call_id) from error
        return Reservation(call_id=call_id, task_id=task_id, tokens=tokens, usd=usd, seconds=seconds)

    def mark_sent(self, reservation: Reservation) -> None:
        """Note that the call leaves now: if this process dies, it counts as spent."""
        with atomic(self._connection) as connection:
            connection.execute("UPDATE calls SET sent = 1 WHERE call_id = ?", (reservation.call_id,))

    def settle(self, reservation: Reservation, spend: Spend) -> None:
        """Replace a reservation by what the call really cost; doing it again changes nothing.

        An unknown price is settled at the reserved dollars.

        Raises:
            ReservationUnknown: it was never reserved, or was released.
        """
        with atomic(self._connection) as connection:
            row = self._row(connection, reservation)
            if not row["open"]:
                return
            usd = int(row["usd"]) if spend.usd is None else _units("usd", spend.usd)
            known = spend.usd is not None or bool(row["price_known"])
            self._close(
                connection,
                reservation.call_id,
                (spend.tokens, usd, _units("seconds", spend.seconds), spend.calls),
                price_known=known,
            )

    def release(self, reservation: Reservation) -> None:
        """Take a reservation back: the call never reached the provider.

        Raises:
            ReservationUnknown: it was never reserved, or was released.
        """
        with atomic(self._connection) as connection:
            row = self._row(connection, reservation)
            if row["open"]:
                connection.execute("DELETE FROM calls WHERE call_id = ?", (reservation.call_id,))

    def recover(self) -> int:
        """Settle reservations of processes that are gone, at the reserved amounts; returns how many.

        Those of calls that never left are taken back. Runs when the book is opened.
        """
        settled = 0
        with atomic(self._connection) as connection:
            now = self._tick(connection)
            for row in connection.execute("SELECT * FROM calls WHERE open = 1").fetchall():
                if row["owner"] != self._owner and not self._lives(connection, row["owner"]):
                    if not row["sent"]:
                        connection.execute("DELETE FROM calls WHERE call_id = ?", (row["call_id"],))
                        continue
                    amounts = (row["tokens"], row["usd"], row["seconds"], row["calls"])
                    self._close(connection, row["call_id"], amounts, price_known=bool(row["price_known"]))
                    settled += 1
            connection.execute("DELETE FROM calls WHERE open = 0 AND at < ?", (now - _KEEP_SECONDS,))
            connection.execute("DELETE FROM minutes WHERE minute < ?", ((now - _KEEP_SECONDS) / 60,))
        return settled

    def spent(self, task_id: str) -> Spend:
        """What a task's settled calls cost. `usd` is None when the price of one of them is unknown."""
        row = self._connection.execute("SELECT * FROM task_totals WHERE task_id = ?", (task_id,)).fetchone()
        return _spend_of(row)

    def totals(self) -> Spend:
        """What all settled calls of the book cost."""
        row = self._connection.execute(
            "SELECT sum(tokens) AS tokens, sum(usd) AS usd, sum(seconds) AS seconds, sum(calls) AS calls,"
            " sum(unpriced) AS unpriced FROM task_totals HAVING count(*) > 0"
        ).fetchone()
        return _spend_of(row)

    def standings(self, task_id: str | None = None) -> tuple[LimitUsage, ...]:
        """How every limit stands; limits per task only when a task is named."""
        found = []
        with atomic(self._connection) as connection:
            now, look = self._tick(connection), _kept_look(connection)
            for limit in self._applying(connection, task_id or ""):
                if limit.scope == "task" and task_id is None:
                    continue
                spent, reserved = self._used(limit, task_id or "", now, look)
                scale = _UNITS[limit.kind]
                found.append(
                    LimitUsage(
                        limit=limit,
                        spent=spent / scale,
                        reserved=reserved / scale,
                        task_id=task_id if limit.scope == "task" else None,
                    )
                )
        return tuple(found)

    def _applying(self, connection: Connection, task_id: str) -> tuple[Limit, ...]:
        rows = connection.execute("SELECT kind, value FROM task_limits WHERE task_id = ?", (task_id,))
        own = tuple(Limit(kind=row["kind"], scope="task", value=row["value"]) for row in rows)
        return self._limits + own

    @staticmethod
    def _used(limit: Limit, task_id: str, now: float, look: _Look) -> tuple[int, int]:
        if limit.scope == "task":
            spent = look("SELECT * FROM task_totals WHERE task_id = ?", task_id)
            held = look(_SUMS + "calls WHERE open = 1 AND task_id = ?", task_id)
        else:
            oldest = math.floor((now - _WINDOW_SECONDS[limit.scope]) / 60)
            spent = look(_SUMS + "minutes WHERE minute >= ?", oldest)
            held = look(_SUMS + "calls WHERE open = ?", 1)
        return (spent[limit.kind] if spent is not None else 0), (held[limit.kind] if held is not None else 0)

    def _row(self, connection: Connection, reservation: Reservation) -> Row:
        row: Row | None = connection.execute(
            "SELECT * FROM calls WHERE call_id = ?", (reservation.call_id,)
        ).fetchone()
        if row is None:
            raise ReservationUnknown(call_id=reservation.call_id)
        return row

    def _close(
        self,
        connection: Connection,
        call_id: str,
        amounts: tuple[int, int, int, int],
        *,
        price_known: bool,
    ) -> None:
        now = self._tick(connection)
        connection.execute(
            "UPDATE calls SET open = 0, at = ?, price_known = ?, tokens = ?, usd = ?, seconds = ?, calls = ?"
            " WHERE call_id = ?",
            (now, int(price_known), *amounts, call_id),
        )
        connection.execute(
            "INSERT INTO minutes (minute, tokens, usd, seconds, calls) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
            " ON CONFLICT (minute) DO UPDATE SET " + _add("minutes"),
            (math.floor(now / 60), *amounts),
        )
        connection.execute(
            "INSERT INTO task_totals SELECT task_id, tokens, usd, seconds, calls, 1 - price_known"  # noqa: S608
            " FROM calls WHERE call_id = ? ON CONFLICT (task_id) DO UPDATE SET"
            " unpriced = task_totals.unpriced + excluded.unpriced, " + _add("task_totals"),
            (call_id,),
        )

    def _lives(self, connection: Connection, owner: str) -> bool:
        if on_postgres(connection):
            return connection.is_held(owner)
        return owner_lives(owner, self._boot)

    def _tick(self, connection: Connection) -> float:
        """Move the book's time on to now and return it; what the file knows is for other processes."""
        kept = self._kept_time
        if kept is not None and 0 <= (passed := self._clock.monotonic() - kept[1]) < _TIME_KEPT_SECONDS:
            return kept[0] + passed
        boot, wall, monotonic = self._boot, self._clock.now(), self._clock.monotonic()
        if self._server_time and on_postgres(connection):
            boot, wall = "server", connection.server_time()
            monotonic = wall
        row = connection.execute("SELECT * FROM book_time").fetchone()
        if row is None:
            book = 0.0
        elif row["boot"] == boot:
            book = row["book"] + max(0.0, monotonic - row["monotonic"])
        else:
            book = row["book"] + max(0.0, wall - row["wall"])
        connection.execute(
            "INSERT INTO book_time VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " book = excluded.book, wall = excluded.wall, boot = excluded.boot, monotonic = ?",
            (book, wall, boot, monotonic, monotonic),
        )
        if not self._server_time:
            self._kept_time = (float(book), monotonic)
        return float(book)


def _kept_look(connection: Connection) -> _Look:
    """One row of a statement with one value; what several limits ask for is read once."""
    return cache(lambda statement, value: connection.execute(statement, (value,)).fetchone())


def _units(kind: str, amount: float) -> int:
    """Whole units, rounded up."""
    if not (math.isfinite(amount) and amount >= 0):
        raise ValueError(f"an amount must be finite and at least 0, not {amount} {kind}")
    return math.ceil(round(amount * _UNITS[kind], 3))


def _spend_of(row: Row | None) -> Spend:
    if row is None:
        return Spend(calls=0)
    return Spend(
        tokens=row["tokens"],
        usd=None if row["unpriced"] else row["usd"] / _UNITS["usd"],
        seconds=row["seconds"] / _UNITS["seconds"],
        calls=row["calls"],
    )
