"""Workspaces on their way between machines: lost and damaged frames, restarts, limits, conflicts."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hal9.bus.crew import BackgroundTasks
from hal9.bus.exchange import LARGEST_BODY, Exchange, Wire
from hal9.clock import SystemClock
from hal9.cluster.services.borrowing import WorkspaceBorrowing
from hal9.cluster.services.lending import WorkspaceLending
from hal9.errors.bus import BrokerUnreachable
from hal9.errors.workbench import WorkspaceAway, WorkspaceConflict
from hal9.journal import Journal, tasks
from hal9.journal.tasks import TaskRow
from hal9.settings import Settings
from hal9.signals import TaskPayload
from hal9.signals.labels import WORKSPACE_AT, WORKSPACE_IS
from hal9.workbench import Place, Snapshot, load_changes
from hal9.workbench.patches import find_changes
from hal9.workbench.travelling import identity_of


class Pair:
    """Two nodes: `daemon`, which has the workspace, and `far`, which works on it."""

    def __init__(self, tmp_path: Path, journal: Journal, settings: Settings) -> None:
        self.settings = settings
        self.tmp_path = tmp_path
        self.journal = journal
        self.frames = 0
        self.bytes = 0
        self.lose: Callable[[], bool] = lambda: False
        self.near = Exchange(self._wire("daemon"), clock=SystemClock())
        self.far = Exchange(self._wire("far"), clock=SystemClock())
        self.begin()
        self.borrowing = WorkspaceBorrowing(self.far, node="far", settings=lambda: self.settings)

    def begin(self) -> None:
        """The daemon starts, or starts anew: what it had packed is gone."""
        self.lending = WorkspaceLending(
            self.tmp_path / "travelling",
            self.tmp_path / "changes",
            self.journal,
            settings=lambda: self.settings,
            known=lambda node: node == "far",
        )
        self.lending.clear()
        self.near.answer = self.lending.answer

    def _wire(self, source: str) -> Wire:
        async def send(target: str, frame: bytes) -> None:
            self.frames += 1
            self.bytes += len(frame)
            if self.lose():
                return
            {"daemon": self.near, "far": self.far}[target].arrived(source, frame)

        return send


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "one.py").write_text("one = 1\n")
    (folder / "deep" / "er" / "two.bin").write_bytes(random.Random(1).randbytes(3 * LARGEST_BODY + 7))
    (folder / "deep" / "link").symlink_to("../one.py")
    (folder / "away").symlink_to("/etc/hostname")
    (folder / ".env").write_text("TOKEN=1\n")
    (folder / "naïve ü.txt").write_text("ü")
    return folder


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr("hal9.bus.exchange._ASK_AGAIN_SECONDS", 0.02)
    settings = Settings()
    async with Journal(tmp_path / "journal.db") as journal, BackgroundTasks() as crew:
        made = Pair(tmp_path, journal, settings)
        made.near.open(crew)
        made.far.open(crew)
        yield made


async def running(pair: Pair, workspace: Path, *, state: tasks.TaskState = "running") -> TaskPayload:
    payload = TaskPayload(
        objective="o", workspace=str(workspace), labels={WORKSPACE_AT: "daemon", WORKSPACE_IS: "elsewhere"}
    )
    row = TaskRow(
        id="t1",
        workload="neurons",
        payload=payload,
        state=state,
        created_at=1.0,
        deadline=1e12,
        started_at=1.0,
    )
    await pair.journal.write(lambda connection: tasks.insert_task(connection, row))
    return payload


def limited(pair: Pair, **values: object) -> None:
    pair.settings = pair.settings.model_copy(
        update={"workbench": pair.settings.workbench.model_copy(update=values)}
    )


def content(folder: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = (
            str(path.readlink()) if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        )
    return found


async def work(pair: Pair, task: TaskPayload, into: Path) -> Snapshot:
    """What a turn does with a fetched workspace; the caller accepts."""
    place = Place(into, pair.tmp_path / "copy", changes=pair.tmp_path / "kept")
    snapshot = await Snapshot(
        place,
        pair.settings.workbench,
        carrier=lambda kept: pair.borrowing.give_back(task, "t1", kept, "s1", carry=True),
    ).__aenter__()
    await snapshot.write("one.py", b"one = 2\n")
    await snapshot.write("new/three.py", b"three = 3\n")
    await snapshot.delete("deep/er/two.bin")
    return snapshot


async def test_what_arrives_is_what_was_there_without_its_secrets(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    await pair.borrowing.fetch(task, "t1", pair.tmp_path / "far" / "workspace")
    there = content(workspace)
    del there[".env"]
    assert content(pair.tmp_path / "far" / "workspace") == there
    assert [path.name for path in (pair.tmp_path / "far").iterdir()] == ["workspace"], "no archive stays"
    assert list((pair.tmp_path / "travelling" / "t1").iterdir()) == []


async def test_frames_that_get_lost_are_asked_for_again(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    chance = random.Random(7)
    pair.lose = lambda: chance.random() < 0.4
    into = pair.tmp_path / "far" / "workspace"
    await pair.borrowing.fetch(task, "t1", into)
    snapshot = await work(pair, task, into)
    await snapshot.accept("note")
    await snapshot.__aexit__(None, None, None)
    assert (workspace / "one.py").read_text() == "one = 2\n"
    assert (workspace / "new" / "three.py").read_text() == "three = 3\n"
    assert not (workspace / "deep" / "er" / "two.bin").exists()
    kept = find_changes(pair.tmp_path / "changes", "t1")
    assert (kept.carried, kept.kept.root, kept.kept.note) == ("all", str(workspace), "note")
    assert await pair.borrowing.was_carried(task, "t1", "s1")
    kept.take_back()
    assert (workspace / "deep" / "er" / "two.bin").stat().st_size == 3 * LARGEST_BODY + 7


async def test_a_fetch_that_was_cut_off_goes_on_where_it_was(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    pair.lose = lambda: pair.bytes > 2 * LARGEST_BODY
    limited(pair, travel_seconds=4.0)
    with pytest.raises(WorkspaceAway, match="'daemon'.*has not answered for 4 s"):
        await pair.borrowing.fetch(task, "t1", into)
    (part,) = (pair.tmp_path / "far").glob("*.part")
    before = part.stat().st_size
    assert before > 0
    pair.bytes, pair.lose = 0, lambda: False
    limited(pair, travel_seconds=60.0)
    pair.begin()
    await pair.borrowing.fetch(task, "t1", into)
    assert (into / "one.py").exists()
    assert pair.bytes < 4 * LARGEST_BODY - before, "what was there was not fetched again"


async def test_a_damaged_archive_is_fetched_anew(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    await pair.borrowing.fetch(task, "t1", into)
    opened, _ = await pair.far.ask("daemon", {"do": "open", "task": "t1"}, seconds=10)
    again = pair.tmp_path / "far" / "again"
    again.with_name(f"again-{opened['digest']}.part").write_bytes(b"x" * 1000)
    await pair.borrowing.fetch(task, "t1", again)
    assert content(again) == content(into)


async def test_a_daemon_that_starts_anew_packs_anew(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    restarted: list[int] = []

    def lose() -> bool:
        if pair.bytes > LARGEST_BODY and not restarted:
            restarted.append(1)
            pair.begin()
        return False

    pair.lose = lose
    await pair.borrowing.fetch(task, "t1", into)
    assert restarted
    assert (into / "one.py").exists()


async def test_a_workspace_that_was_changed_meanwhile_stays_as_it_is(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    await pair.borrowing.fetch(task, "t1", into)
    snapshot = await work(pair, task, into)
    (workspace / "one.py").write_text("somebody's\n")
    with pytest.raises(WorkspaceConflict, match=r"one\.py: it was changed meanwhile"):
        await snapshot.accept()
    await snapshot.__aexit__(None, None, None)
    assert (workspace / "one.py").read_text() == "somebody's\n"
    assert not (workspace / "new").exists()
    assert not await pair.borrowing.was_carried(task, "t1", "s1")
    assert find_changes(pair.tmp_path / "changes", "t1").carried == "none"


async def test_asked_twice_it_is_carried_over_once(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    await pair.borrowing.fetch(task, "t1", into)
    snapshot = await work(pair, task, into)
    kept = await snapshot.keep()
    await pair.borrowing.give_back(task, "t1", kept, "s1", carry=True)
    (workspace / "one.py").write_text("edited afterwards\n")
    await pair.borrowing.give_back(task, "t1", kept, "s1", carry=True)
    await snapshot.__aexit__(None, None, None)
    assert (workspace / "one.py").read_text() == "edited afterwards\n"


async def test_what_a_part_begins_with_comes_along(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace)
    into = pair.tmp_path / "far" / "workspace"
    await pair.borrowing.fetch(task, "t1", into)
    snapshot = await work(pair, task, into)
    kept = await snapshot.keep()
    await snapshot.__aexit__(None, None, None)
    await pair.borrowing.give_back(task, "t1", kept, "parts/first", carry=False)
    await pair.borrowing.fetch_changes(task, "t1", "parts/first", pair.tmp_path / "far" / "begins")
    paths = [change.path for change in load_changes(pair.tmp_path / "far" / "begins").changes]
    assert paths == [change.path for change in kept.changes]
    with pytest.raises(WorkspaceAway, match="No such file"):
        await pair.borrowing.fetch_changes(task, "t1", "parts/second", pair.tmp_path / "far" / "more")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"travel_mb": 0}, "packed it has more than 0 MB .workbench.travel_mb"),
        ({"snapshot_files": 2}, "workbench.snapshot_files"),
    ],
)
async def test_a_workspace_too_large_to_travel_says_so(
    pair: Pair, workspace: Path, values: dict[str, object], words: str
) -> None:
    task = await running(pair, workspace)
    limited(pair, **values)
    with pytest.raises(WorkspaceAway, match=words):
        await pair.borrowing.fetch(task, "t1", pair.tmp_path / "far" / "workspace")
    assert not (pair.tmp_path / "far" / "workspace").exists()


async def test_only_a_running_tasks_workspace_is_given_away(pair: Pair, workspace: Path) -> None:
    task = await running(pair, workspace, state="done")
    with pytest.raises(WorkspaceAway, match="does not run here"):
        await pair.borrowing.fetch(task, "t1", pair.tmp_path / "far" / "workspace")
    with pytest.raises(WorkspaceAway, match="does not run here"):
        await pair.borrowing.fetch(task, "../t1", pair.tmp_path / "far" / "workspace")
    said, _ = await pair.lending.answer("stranger", {"do": "open", "task": "t1"}, b"")
    assert "'stranger' may" in said["problem"]["text"]


@pytest.mark.parametrize(
    "question",
    [
        {"do": "dance", "task": "t1"},
        {"task": "t1"},
        {"do": "piece", "task": "t1", "digest": "../../etc/passwd", "at": 0},
        {"do": "piece", "task": "t1", "digest": "0" * 64, "at": "many"},
        {"do": "take", "task": "t1", "digest": "0" * 64, "name": "../up", "carry": True},
        {"do": "open", "task": "t1", "changes": "/etc"},
    ],
)
async def test_questions_that_make_no_sense_are_answered_with_a_problem(
    pair: Pair, workspace: Path, question: dict[str, object]
) -> None:
    await running(pair, workspace)
    said, body = await pair.lending.answer("far", question, b"")
    assert said["problem"]["text"]
    assert body == b""


async def test_a_folder_of_the_same_name_is_not_taken_for_the_workspace(pair: Pair, workspace: Path) -> None:
    here = TaskPayload(objective="o", workspace=str(workspace), labels={WORKSPACE_AT: "daemon"})
    assert await pair.borrowing.is_away(here), "another machine's, though there is one of its name"
    same = here.model_copy(update={"labels": {**here.labels, WORKSPACE_IS: identity_of(workspace)}})
    assert not await pair.borrowing.is_away(same)
    assert not await pair.borrowing.is_away(here.model_copy(update={"labels": {}}))
    own = here.model_copy(update={"labels": {WORKSPACE_AT: "far"}})
    assert not await pair.borrowing.is_away(own)


async def test_frames_that_cannot_be_read_are_dropped(pair: Pair) -> None:
    for frame in (
        b"",
        b"no newline",
        b"[]\n",
        b"{}\n",
        b'{"id": 1, "ask": 3}\n',
        b"\xff\n",
        b"{" * 100_000 + b"\n",
    ):
        pair.near.arrived("far", frame)

    async def gone(_node: str, _frame: bytes) -> None:
        raise BrokerUnreachable(address="mqtt://x", detail="not connected yet")

    lonely = Exchange(gone, clock=SystemClock())
    with pytest.raises(Exception, match="not connected yet"):
        await lonely.ask("daemon", {"do": "open"}, seconds=0.1)
    assert not lonely.waits
    await asyncio.sleep(0)
