"""Our own journal read as runs, and folders of other agents' runs known by their repository."""

import json
import sqlite3
from pathlib import Path

import pytest

from hal9.database import Connection
from hal9.errors.ingest import RunFileUnreadable
from hal9.ingest import ReadReport, read_runs
from hal9.journal import Journal
from hal9.journal.tasks import insert_task
from hal9.signals import StepRecord, new_id
from tests.learning.world import finished


async def journal_with_a_task(folder: Path) -> Path:
    path = folder / "journal.db"
    task = finished("mend it", check=None)
    step = StepRecord(
        id=new_id(now=1.0),
        task_id=task.id,
        signal_id="s",
        neuron="l2",
        layer=2,
        kind="tool",
        started_at=1.0,
        ended_at=2.0,
        promptgram_version=1,
        promptgram_hash="h",
        tool="shell",
        arguments={"command": "pytest -q --token=sk-abcdefghijklmnopqrstuvwxyz123456"},
        exit_code=1,
        observation="ModuleNotFoundError: No module named 'pytest'",
    )
    thought = step.model_copy(update={"id": new_id(now=3.0), "kind": "think", "arguments": {}, "tool": ""})

    def keep(connection: Connection) -> None:
        insert_task(connection, task)
        for one in (step, thought):
            connection.execute(
                "INSERT INTO steps (id, task_id, signal_id, neuron, body) VALUES (?, ?, 's', 'l2', ?)",
                (one.id, task.id, one.model_dump_json()),
            )

    async with Journal(path) as journal:
        await journal.write(keep)
    return path


async def test_our_own_journal_is_read(tmp_path: Path) -> None:
    await journal_with_a_task(tmp_path)
    report = ReadReport()
    runs = list(read_runs([tmp_path], report=report))
    assert [(run.agent, run.task, len(run.steps)) for run in runs] == [("hal9", "mend it", 1)]
    assert runs[0].steps[0].exit_code == 1
    assert "sk-abcdef" not in runs[0].steps[0].command
    assert report.formats == {"hal9": 1}
    known: set[str] = set()
    list(read_runs([tmp_path], known=known))
    assert list(read_runs([tmp_path], known=known)) == []


def test_another_database_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE x (a)")
    with pytest.raises(RunFileUnreadable, match=r"other\.db.*no journal"):
        list(read_runs([path]))


def test_a_run_that_tells_its_folder_belongs_to_the_folders_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text('[remote "origin"]\n\turl = git@example.org:team/shop.git\n')
    rows = [{"run": "1", "repo": str(tmp_path), "step": 1, "command": "ls", "exit": 0, "output": ""}]
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert [run.repo for run in read_runs([file])] == ["example.org/team/shop"]
