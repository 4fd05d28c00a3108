"""What runs taught, in the memory file: read row by row when asked for, written in one transaction."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from hal9.ingest import Run
from hal9.learning.runs.advice import AdviceMiner, CauseRecord
from hal9.learning.runs.guard_miner import CellCount, Evidence, GuardMiner
from hal9.learning.runs.remedies import LevelCount, RemedyMiner, Typed
from hal9.learning.runs.run_miner import RunMiner
from hal9.memory import MemoryStore

__all__ = ["RunStore", "StoredCounts"]

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")
_JOIN = "\x1f"


class StoredCounts(Generic[KeyT, ValueT]):
    """A mapping over a table: rows are read once, when first asked for, and written by `changed`."""

    def __init__(self, read: Callable[[KeyT], ValueT | None]) -> None:
        self._read = read
        self._known: dict[KeyT, ValueT | None] = {}
        self._changed: set[KeyT] = set()

    def get(self, key: KeyT) -> ValueT | None:
        """The value, or None."""
        if key not in self._known:
            self._known[key] = self._read(key)
        return self._known[key]

    def setdefault(self, key: KeyT, default: ValueT) -> ValueT:
        """The value, stored as `default` when there is none; it counts as changed."""
        known = self.get(key)
        if known is None:
            known = self._known[key] = default
        self._changed.add(key)
        return known

    def take_changed(self) -> list[tuple[KeyT, ValueT]]:
        """What was changed since the last call."""
        found = [(key, value) for key in self._changed if (value := self._known[key]) is not None]
        self._changed.clear()
        return found

    def forget(self) -> None:
        """Read everything anew: another process may have written. Nothing may be waiting to be written."""
        self._known.clear()


class RunStore:
    """A miner over the memory file. Not safe for threads; what it writes is one transaction per call."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self._evidence: StoredCounts[tuple[str, str, str], Evidence] = StoredCounts(self._read_evidence)
        self._cells: StoredCounts[tuple[str, ...], CellCount] = StoredCounts(self._read_cell)
        self._levels: StoredCounts[tuple[str, ...], LevelCount] = StoredCounts(self._read_level)
        self.miner = RunMiner(
            guards=GuardMiner(known=self._evidence, cells=self._cells),
            remedies=RemedyMiner(levels=self._levels),
            advice=AdviceMiner(read=self._read_causes),
        )

    def known_runs(self) -> set[str]:
        """Fingerprints of runs, and marks of their steps, that were read."""
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT fingerprint FROM runs_read UNION ALL SELECT mark FROM run_steps_read"
            )
            return {str(row[0]) for row in rows}

    def save(self, runs: Sequence[Run] = ()) -> None:
        """Write what changed, and that these runs were read: both or neither."""
        from hal9.ingest.reading import fingerprint, step_marks  # noqa: PLC0415 - hooks read no logs

        evidence = self._evidence.take_changed()
        cells, levels = self._cells.take_changed(), self._levels.take_changed()
        causes = self.miner.advice.take_changed()
        with self.store.writing() as tables:
            connection = tables.conn
            connection.executemany(
                "INSERT INTO guard_evidence (repo, kind, value, blamed, well, lines) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (repo, kind, value) DO UPDATE SET "
                "blamed = excluded.blamed, well = excluded.well, lines = excluded.lines",
                [(*key, one.blamed, one.well, json.dumps(one.lines)) for key, one in evidence],
            )
            connection.executemany(
                'INSERT INTO guard_cells (cell, "right", cases, repos) VALUES (?, ?, ?, ?) '
                'ON CONFLICT (cell) DO UPDATE SET "right" = excluded."right", '
                "cases = excluded.cases, repos = excluded.repos",
                [
                    (_JOIN.join(key), one.right, one.cases, json.dumps(sorted(one.repos)))
                    for key, one in cells
                ],
            )
            connection.executemany(
                "INSERT INTO remedy_levels (level, cases, helped) VALUES (?, ?, ?) "
                "ON CONFLICT (level) DO UPDATE SET cases = excluded.cases, helped = excluded.helped",
                [(_JOIN.join(key), one.cases, _helped(one)) for key, one in levels],
            )
            connection.executemany(
                "INSERT INTO run_causes (repo, cause, content) VALUES (?, ?, ?) "
                "ON CONFLICT (repo, cause) DO UPDATE SET content = excluded.content",
                [(repo, _JOIN.join(cause), json.dumps(one.as_json())) for repo, cause, one in causes],
            )
            now = self.store.clock.now()
            connection.executemany(
                "INSERT OR IGNORE INTO runs_read (fingerprint, at, repo, agent, steps) "
                "VALUES (?, ?, ?, ?, ?)",
                [(fingerprint(run), now, run.repo, run.agent, len(run.steps)) for run in runs],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO run_steps_read (mark) VALUES (?)",
                [(mark,) for run in runs for mark in step_marks(run).values()],
            )

    def refresh(self) -> None:
        """See what other processes have written."""
        self._evidence.forget()
        self._cells.forget()
        self._levels.forget()
        self.miner.advice.forget()

    def _row(self, sql: str, values: Iterable[Any]) -> Any:
        with self.store.reading() as connection:
            return connection.execute(sql, tuple(values)).fetchone()

    def _read_evidence(self, key: tuple[str, str, str]) -> Evidence | None:
        row = self._row(
            "SELECT blamed, well, lines FROM guard_evidence WHERE repo = ? AND kind = ? AND value = ?", key
        )
        return None if row is None else Evidence(int(row[0]), int(row[1]), json.loads(row[2]))

    def _read_cell(self, key: tuple[str, ...]) -> CellCount | None:
        row = self._row('SELECT "right", cases, repos FROM guard_cells WHERE cell = ?', [_JOIN.join(key)])
        return None if row is None else CellCount(int(row[0]), int(row[1]), set(json.loads(row[2])))

    def _read_level(self, key: tuple[str, ...]) -> LevelCount | None:
        row = self._row("SELECT cases, helped FROM remedy_levels WHERE level = ?", [_JOIN.join(key)])
        if row is None:
            return None
        helped = {Typed(program, argument): count for program, argument, count in json.loads(row[1])}
        return LevelCount(int(row[0]), helped)

    def _read_causes(self, repo: str) -> dict[tuple[str, ...], CauseRecord]:
        with self.store.reading() as connection:
            rows = connection.execute(
                "SELECT cause, content FROM run_causes WHERE repo = ?", (repo,)
            ).fetchall()
        return {tuple(row["cause"].split(_JOIN)): CauseRecord.of(json.loads(row["content"])) for row in rows}


def _helped(level: LevelCount) -> str:
    return json.dumps([[action.program, action.argument, count] for action, count in level.helped.items()])
