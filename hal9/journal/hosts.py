"""Which hosts work on a shared journal, and who of them does what only one may do.

A host says again and again that it lives, with an end of its own choosing on the server's clock. What it held
is free when that end has passed. Functions take the connection of a running transaction (or a reader).
"""

from dataclasses import dataclass

from hal9.database import Connection

__all__ = [
    "HostRow",
    "ask_to_drain",
    "beat",
    "forget_host",
    "list_hosts",
    "living",
    "m008_hosts",
    "take_lead",
]

_LEADER = "leader"


def m008_hosts(connection: Connection) -> None:
    """Hosts and leases; times are seconds since the epoch on the server's clock."""
    connection.execute(
        """
        CREATE TABLE hosts (
            boot_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            home TEXT NOT NULL,
            started_at REAL NOT NULL,
            seen_at REAL NOT NULL,
            until REAL NOT NULL,
            draining INTEGER NOT NULL DEFAULT 0,
            running INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """
    )
    connection.execute(
        "CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) STRICT"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One daemon. Times are the server's; `leads` says that it does what only one may do."""

    boot_id: str
    name: str
    home: str
    started_at: float
    seen_at: float
    until: float
    draining: bool
    running: int
    leads: bool


def beat(connection: Connection, host: HostRow, *, now: float) -> tuple[bool, list[str]]:
    """Say that a host lives.

    Returns:
        Whether it is asked to drain, and the boot ids of hosts that have gone silent and are now forgotten.
    """
    connection.execute(
        "INSERT INTO hosts (boot_id, name, home, started_at, seen_at, until, running) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (boot_id) DO UPDATE SET seen_at = excluded.seen_at, "
        "until = excluded.until, running = excluded.running",
        (host.boot_id, host.name, host.home, now, now, host.until, host.running),
    )
    gone = [
        str(row[0])
        for row in connection.execute("DELETE FROM hosts WHERE until < ? RETURNING boot_id", (now,))
    ]
    row = connection.execute("SELECT draining FROM hosts WHERE boot_id = ?", (host.boot_id,)).fetchone()
    return bool(row[0]), gone


def take_lead(connection: Connection, boot_id: str, *, now: float, until: float, wanted: bool) -> bool:
    """Be, or stay, the one who leads, when nobody else does; not `wanted` gives it away."""
    if not wanted:
        connection.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (_LEADER, boot_id))
        return False
    done = connection.execute(
        "INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "holder = excluded.holder, until = excluded.until WHERE leases.holder = excluded.holder "
        "OR leases.until < ?",
        (_LEADER, boot_id, until, now),
    )
    return done.rowcount == 1


def forget_host(connection: Connection, boot_id: str) -> None:
    """A host ends in order: what it held is free at once."""
    connection.execute("DELETE FROM hosts WHERE boot_id = ?", (boot_id,))
    connection.execute("DELETE FROM leases WHERE holder = ?", (boot_id,))


def ask_to_drain(connection: Connection, name: str, *, drain: bool) -> int:
    """Ask the hosts of a name to take up nothing new, or to work again; returns how many there are."""
    done = connection.execute("UPDATE hosts SET draining = ? WHERE name = ?", (int(drain), name))
    return done.rowcount


def living(connection: Connection) -> list[str]:
    """Boot ids of all hosts that have not been forgotten."""
    return [str(row[0]) for row in connection.execute("SELECT boot_id FROM hosts")]


def list_hosts(connection: Connection) -> list[HostRow]:
    """All hosts that have not been forgotten, oldest first."""
    rows = connection.execute(
        "SELECT h.*, CASE WHEN l.holder IS NULL THEN 0 ELSE 1 END AS leads FROM hosts h "
        "LEFT JOIN leases l ON l.holder = h.boot_id AND l.name = ? ORDER BY h.started_at, h.boot_id",
        (_LEADER,),
    )
    return [
        HostRow(
            boot_id=row["boot_id"],
            name=row["name"],
            home=row["home"],
            started_at=row["started_at"],
            seen_at=row["seen_at"],
            until=row["until"],
            draining=bool(row["draining"]),
            running=row["running"],
            leads=bool(row["leads"]),
        )
        for row in rows
    ]
