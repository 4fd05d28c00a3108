"""A task that fails in a later part leaves the workspace as it was before its first part."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hal9.neurons.dividing.splitting import failed_result
from hal9.neurons.turn import Turn
from hal9.neurons.workspaces import change_folder, without_earlier_parts
from hal9.settings import WorkbenchSettings
from hal9.signals import Tally
from hal9.workbench import Place, Snapshot


async def _part(workspace: Path, state: Path, name: str, script: str, *, accept: bool) -> None:
    place = Place(workspace, state / name, changes=change_folder(state / "changes", "task", name))
    async with Snapshot(place, WorkbenchSettings(isolation="none")) as snapshot:
        assert (await snapshot.run(script)).ok
        await (snapshot.accept() if accept else snapshot.keep())
        await snapshot.discard()


async def test_earlier_parts_are_taken_back(tmp_path: Path) -> None:
    workspace, state = tmp_path / "w", tmp_path / "state"
    workspace.mkdir()
    (workspace / "a").write_text("old\n")
    turn = cast(
        Turn,
        SimpleNamespace(
            task=SimpleNamespace(workspace=str(workspace)),
            services=SimpleNamespace(changes=state / "changes"),
            signal=SimpleNamespace(task_id="task"),
        ),
    )
    failed: Any = failed_result("check_failed", "the check did not pass", neuron="n", tally=Tally())
    assert await without_earlier_parts(turn, failed) == failed
    await _part(workspace, state, "1", "echo one > a; echo new > b", accept=True)
    await _part(workspace, state, "2", "echo two >> a", accept=True)
    await _part(workspace, state, "3", "echo three > a", accept=False)
    assert await without_earlier_parts(turn, failed) == failed
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"a": "old\n"}


async def test_what_a_person_changed_meanwhile_is_said_and_stays(tmp_path: Path) -> None:
    workspace, state = tmp_path / "w", tmp_path / "state"
    workspace.mkdir()
    turn = cast(
        Turn,
        SimpleNamespace(
            task=SimpleNamespace(workspace=str(workspace)),
            services=SimpleNamespace(changes=state / "changes"),
            signal=SimpleNamespace(task_id="task"),
        ),
    )
    await _part(workspace, state, "1", "echo one > a; echo one > b", accept=True)
    (workspace / "a").write_text("mine\n")
    failed = failed_result("check_failed", "the check did not pass", neuron="n", tally=Tally())
    result = await without_earlier_parts(turn, failed)
    assert result.error is not None
    assert "a: it was changed meanwhile" in result.error.message
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"a": "mine\n", "b": "one\n"}
