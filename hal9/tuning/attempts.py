"""One answer to one task under one prompt, bought once and kept: a resumed run pays for nothing twice."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from hal9.clock import Clock, SystemClock
from hal9.database import Connection, atomic, open_database
from hal9.errors.base import Hal9Error, LimitError
from hal9.errors.tuning import TuningRunDiffers
from hal9.minds.protocol import Message, Mind, Request, Usage
from hal9.promptgram import Promptgram
from hal9.tuning.scoring import Scorer
from hal9.tuning.tasks import TuningTask

__all__ = ["Answer", "Answerer", "Attempt", "AttemptSource", "Attempts", "MindAnswerer", "RunStore"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and what it cost."""

    text: str
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An answer with its score and what was said about it."""

    task: str
    answer: str
    score: float
    feedback: str

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong with it."""
        return self.score >= 1.0


class AttemptSource(Protocol):
    """Where a search gets its measurements: a mind that does tasks, or whole runs of something else."""

    @property
    def calls(self) -> int:
        """Measurements so far."""
        ...

    async def run(self, promptgram: Promptgram, tasks: Sequence[TuningTask], draw: int) -> list[Attempt]:
        """Measure each task once under a prompt; `draw` numbers the repetition."""
        ...


class Answerer(Protocol):
    """Does a task under a prompt."""

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        """Answer once; `draw` numbers repeated answers, and fixes their random seed."""
        ...


@dataclass(slots=True)
class MindAnswerer:
    """Asks a mind as a neuron with this prompt would.

    Attributes:
        mind: it.
        compose: from a prompt and a task to the messages.
        temperature, max_tokens, timeout_seconds: the neuron's own.
        task_id: what the calls are charged to.
        seed: of the whole run.
    """

    mind: Mind
    compose: Callable[[Promptgram, TuningTask], tuple[Message, ...]]
    temperature: float = 0.0
    max_tokens: int = 1024
    timeout_seconds: float = 180.0
    task_id: str = "tune"
    seed: int = 0

    async def answer(self, promptgram: Promptgram, task: TuningTask, *, draw: int) -> Answer:
        digest = hashlib.sha256(f"{self.seed}/{task.name}/{draw}".encode()).digest()
        reply = await self.mind.think(
            Request(
                self.compose(promptgram, task),
                temperature=self.temperature,
                max_tokens=self.max_tokens,
                # The same for both sides of a comparison: what differs is the prompt.
                seed=int.from_bytes(digest[:4]),
                # With a warm cache a model answers differently, and one side is warm more often.
                reuse_prompt=False,
                timeout_seconds=self.timeout_seconds,
                metadata={"task_id": self.task_id},
            )
        )
        return Answer(reply.text, reply.usage)


def _schema(connection: Connection) -> None:
    connection.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
    connection.execute(
        "CREATE TABLE kept (key TEXT PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL,"
        " at REAL NOT NULL) STRICT"
    )


class RunStore:
    """What a run has bought, in one SQLite file: answers and proposals by what they were asked for.

    Args:
        path: the file.
        facts: what must be the same when a run goes on; name to JSON value.
        clock: time.

    Raises:
        TuningRunDiffers: the run was begun with other facts.
        DatabaseDamaged, DatabaseTooNew: see `open_database`.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = open_database(path, (_schema,))
        with atomic(self._connection) as connection:
            for name, value in facts.items():
                text = json.dumps(value, sort_keys=True)
                row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
                if row is not None and row[0] != text:
                    raise TuningRunDiffers(run=path.parent.name, what=name)
                connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, text))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def get(self, key: str) -> Any:
        """What was kept under a key; None when nothing was."""
        row = self._connection.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, kind: str, value: Any) -> None:
        """Keep a value; it is on disk when this returns."""
        with atomic(self._connection) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
                (key, kind, json.dumps(value, ensure_ascii=True), self._clock.now()),
            )

    def values(self, kind: str) -> list[Any]:
        """All values of a kind, oldest first."""
        rows = self._connection.execute("SELECT value FROM kept WHERE kind = ? ORDER BY rowid", (kind,))
        return [json.loads(row[0]) for row in rows]


class Attempts:
    """Buys attempts, keeps them, counts them.

    Attributes:
        calls: task calls of this run so far, those of earlier sittings included.
        fresh: those that were really made in this sitting.
    """

    def __init__(self, answerer: Answerer, scorer: Scorer, store: RunStore, *, concurrency: int = 4) -> None:
        self._answerer = answerer
        self._scorer = scorer
        self._store = store
        self._slots = asyncio.Semaphore(max(1, concurrency))
        self.usage = Usage(calls=0)
        self.calls = 0
        self.fresh = 0

    async def run(self, promptgram: Promptgram, tasks: Sequence[TuningTask], draw: int) -> list[Attempt]:
        """Answer each task once under a prompt; `draw` numbers the repetition.

        Raises:
            MindError, LimitError, WorkbenchError: what was answered so far is kept.
        """
        if not tasks:
            return []
        try:
            async with asyncio.TaskGroup() as group:
                made = [
                    group.create_task(self._one(promptgram, task, draw), name=f"tune {task.name}")
                    for task in tasks
                ]
        except BaseExceptionGroup as failures:
            # Calls under way at once fail for one reason, most often the same; it is told as one error.
            if (known := failures.subgroup(LimitError) or failures.subgroup(Hal9Error)) is not None:
                raise _first(known) from None
            raise
        return [one.result() for one in made]

    async def _one(self, promptgram: Promptgram, task: TuningTask, draw: int) -> Attempt:
        # What the model reads decides, not the version: an undone edit finds its old answers.
        key = f"attempt/{_text_hash(promptgram)}/{task.name}/{draw}"
        kept = self._store.get(key)
        if kept is not None:
            self.calls += 1
            self.usage += Usage(**kept.pop("usage"))
            return Attempt(**kept)
        async with self._slots:
            answer = await self._answerer.answer(promptgram, task, draw=draw)
            scored = await self._scorer.score(task, answer.text, draw=draw)
        attempt = Attempt(task.name, answer.text, scored.score, scored.feedback)
        self._store.put(key, "attempt", {**asdict(attempt), "usage": asdict(answer.usage)})
        self.usage += answer.usage
        self.calls += 1
        self.fresh += 1
        return attempt


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _text_hash(promptgram: Promptgram) -> str:
    return hashlib.sha256(promptgram.render().encode()).hexdigest()[:16]
