"""Runs on disk: every question with its answer, cost and time, committed before the next one is asked."""

import fcntl
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hal9.database import Connection, atomic, open_database
from hal9.errors.holograph import RunBusy, RunNotFound, StoreUnusable
from hal9.holograph.queries.answerers import Asked
from hal9.holograph.questions import Answer, Question

__all__ = ["Counters", "RunRow", "RunStore"]


def _m001(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE runs (name TEXT PRIMARY KEY, created_at REAL NOT NULL, inputs TEXT NOT NULL,"
        " mind TEXT NOT NULL, status TEXT NOT NULL, elapsed REAL NOT NULL DEFAULT 0, result TEXT)"
    )
    connection.execute(
        "CREATE TABLE queries (run TEXT NOT NULL REFERENCES runs(name), seq INTEGER NOT NULL,"
        " key TEXT NOT NULL,"
        " kind TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, context TEXT NOT NULL,"
        " swapped INTEGER NOT NULL, status TEXT NOT NULL, prompt TEXT NOT NULL, reply TEXT NOT NULL,"
        " answer TEXT,"
        " prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL,"
        " seconds REAL NOT NULL,"
        " asked_at REAL NOT NULL, belief TEXT, PRIMARY KEY (run, seq), UNIQUE (run, key))"
    )
    connection.execute(
        "CREATE TABLE exchanges (mind TEXT NOT NULL, prompt TEXT NOT NULL, reply TEXT NOT NULL,"
        " parsed TEXT NOT NULL,"
        " PRIMARY KEY (mind, prompt))"
    )


@dataclass(frozen=True, slots=True)
class Counters:
    """How questions were served, and what they cost; `usd` is None when a price is unknown."""

    issued: int
    cached: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: inputs, state (running, paused, finished), seconds worked, and the result at the end."""

    name: str
    created_at: float
    inputs: dict[str, Any]
    mind: str
    status: str
    elapsed: float
    result: dict[str, Any] | None


class RunStore:
    """All runs of one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StoreUnusable: it cannot be written. DatabaseDamaged: it is not a sound database.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = open_database(path, [_m001])
        except (OSError, sqlite3.OperationalError) as error:
            raise StoreUnusable(store=str(path), detail=str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()

    @contextmanager
    def claim(self, run: str) -> Iterator[None]:
        """Keep other processes off a run; the lock dies with the process.

        Raises:
            RunBusy: another process holds it.
        """
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", run)
        lock = self.path.with_name(f"{self.path.name}.{safe}.lock")
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunBusy(run=run, lock=str(lock)) from None
            yield

    def names(self) -> tuple[str, ...]:
        """All runs, newest first."""
        rows = self._db.execute("SELECT name FROM runs ORDER BY created_at DESC, name DESC")
        return tuple(row["name"] for row in rows)

    def create(self, run: str, inputs: dict[str, Any], mind: str, now: float) -> None:
        """Start a run."""
        with atomic(self._db):
            self._db.execute(
                "INSERT INTO runs (name, created_at, inputs, mind, status) VALUES (?, ?, ?, ?, 'running')",
                (run, now, json.dumps(inputs, ensure_ascii=False), mind),
            )

    def get(self, run: str) -> RunRow:
        """Read a run.

        Raises:
            RunNotFound: there is none of that name.
        """
        row = self._db.execute("SELECT * FROM runs WHERE name = ?", (run,)).fetchone()
        if row is None:
            raise RunNotFound(run=run, store=str(self.path), known=self.names())
        result = json.loads(row["result"]) if row["result"] else None
        return RunRow(
            row["name"],
            row["created_at"],
            json.loads(row["inputs"]),
            row["mind"],
            row["status"],
            row["elapsed"],
            result,
        )

    def set_status(
        self, run: str, status: str, result: dict[str, Any] | None = None, *, elapsed: float = 0.0
    ) -> None:
        """Change a run's status, and its result when given; `elapsed` seconds are added to those worked."""
        with atomic(self._db):
            self._db.execute(
                "UPDATE runs SET status = ?, elapsed = elapsed + ? WHERE name = ?", (status, elapsed, run)
            )
            if result is not None:
                self._db.execute(
                    "UPDATE runs SET result = ? WHERE name = ?", (json.dumps(result, ensure_ascii=False), run)
                )

    def record(self, run: str, question: Question, asked: Asked, *, now: float, elapsed: float) -> int:
        """Append a query and add the seconds worked since the last one, in one transaction.

        Returns:
            Its number within the run, from 1.
        """
        answer = None
        if asked.answer is not None:
            a = asked.answer
            answer = json.dumps(
                {
                    "kind": a.kind,
                    "verdict": a.verdict,
                    "effect": a.effect,
                    "names": list(a.names),
                    "confidence": a.confidence,
                },
                ensure_ascii=False,
            )
        with atomic(self._db):
            last = self._db.execute(
                "SELECT COALESCE(MAX(seq), 0) FROM queries WHERE run = ?", (run,)
            ).fetchone()[0]
            self._db.execute(
                "INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    *(run, last + 1, question.key, question.kind, question.first, question.second),
                    *(
                        question.context,
                        int(question.swapped),
                        asked.status,
                        asked.prompt,
                        asked.reply,
                        answer,
                    ),
                    *(asked.prompt_tokens, asked.completion_tokens, asked.usd, asked.seconds, now),
                ),
            )
            self._db.execute("UPDATE runs SET elapsed = elapsed + ? WHERE name = ?", (elapsed, run))
        return int(last) + 1

    def note_belief(self, run: str, key: str, belief: dict[str, Any]) -> None:
        """Write beside a query what it changed."""
        with atomic(self._db):
            self._db.execute(
                "UPDATE queries SET belief = ? WHERE run = ? AND key = ?", (json.dumps(belief), run, key)
            )

    def recall(self, run: str, question: Question) -> tuple[bool, Answer | None]:
        """Whether a question was recorded in the run, and its answer (None when it failed)."""
        row = self._db.execute(
            "SELECT answer, reply FROM queries WHERE run = ? AND key = ?", (run, question.key)
        ).fetchone()
        if row is None:
            return False, None
        if row["answer"] is None:
            return True, None
        fields = json.loads(row["answer"])
        fields["names"] = tuple(fields["names"])
        return True, Answer(text=row["reply"], **fields)

    def queries(self, run: str) -> list[dict[str, Any]]:
        """All queries of a run in order, as dictionaries."""
        self.get(run)
        rows = self._db.execute("SELECT * FROM queries WHERE run = ? ORDER BY seq", (run,))
        found = []
        for row in rows:
            entry = dict(row)
            entry["answer"] = json.loads(entry["answer"]) if entry["answer"] else None
            entry["belief"] = json.loads(entry["belief"]) if entry["belief"] else None
            found.append(entry)
        return found

    def counters(self, run: str) -> Counters:
        """Totals over a run's queries."""
        row = self._db.execute(
            "SELECT SUM(status = 'issued'), SUM(status = 'cached'), SUM(status = 'failed'),"
            " SUM(prompt_tokens),"
            " SUM(completion_tokens), SUM(usd), SUM(usd IS NULL), SUM(seconds) FROM queries WHERE run = ?",
            (run,),
        ).fetchone()
        known = not row[6]
        issued, cached, failed, prompt_tokens, completion_tokens = (int(row[k] or 0) for k in range(5))
        usd = float(row[5] or 0.0) if known else None
        return Counters(issued, cached, failed, prompt_tokens, completion_tokens, usd, float(row[7] or 0.0))

    def cached_exchange(self, mind: str, prompt: str) -> tuple[str, Any] | None:
        """A mind's earlier reply to the very same prompt, in any run of this store."""
        row = self._db.execute(
            "SELECT reply, parsed FROM exchanges WHERE mind = ? AND prompt = ?", (mind, prompt)
        ).fetchone()
        return (row["reply"], json.loads(row["parsed"])) if row else None

    def keep_exchange(self, mind: str, prompt: str, reply: str, parsed: Any) -> None:
        """Remember a reply for other runs."""
        with atomic(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO exchanges VALUES (?, ?, ?, ?)",
                (mind, prompt, reply, json.dumps(parsed)),
            )
