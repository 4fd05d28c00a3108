"""The plain file of what holds: most tool calls are answered out of it, and it never outlives a write."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hal9.hooks.held import HELD, Held, read_held, write_held
from hal9.hooks.quick import answer_call
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.memory import MemoryStore
from hal9.tools.action import command_action

GUARD = "when: {program: git, subcommand: push, flag: '--force*'}\neffect: require\nsay: Never force a push."


def body(command: str) -> bytes:
    tool = {"tool_name": "Bash", "tool_input": {"command": command}}
    return json.dumps({**tool, "cwd": "/w", "session_id": "s"}).encode()


def guarded(state: Path, text: str) -> int:
    with MemoryStore(state / "memory.db") as store:
        book = GuardStore(store)
        number = book.add(parse_guard(text), workspace="*", source="user", cause=text)
        book.accept(number, [], cause=text)
    return number


def asked(state: Path, command: str) -> str:
    said = answer_call(state, "claude-code", "PreToolUse", body(command))
    return str(said.get("hookSpecificOutput", {}).get("permissionDecision", ""))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / ".hal9"
    made.mkdir()
    guarded(made, GUARD)
    return made


def test_a_call_that_nothing_stops_needs_no_database(state: Path) -> None:
    assert asked(state, "ls") == ""
    assert read_held(state) is not None
    program = (
        "import sys; from hal9.__main__ import main; main(); "
        "print([m for m in ('sqlite3', 'hal9.memory.store.store') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--home", str(state.parent), "hook", "PreToolUse"],
        input=body("ls -la").decode(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines() == ["{}", "[]"]


def test_what_a_guard_stops_is_stopped_and_counted_in_the_memory(state: Path) -> None:
    asked(state, "ls")
    assert asked(state, "git push --force") == "deny"
    with MemoryStore(state / "memory.db") as store:
        assert GuardStore(store).get(1).fired == 1


def test_after_any_write_the_file_is_stale_and_made_anew(state: Path) -> None:
    asked(state, "ls")
    guarded(state, GUARD.replace("push", "reset").replace("--force*", "--hard"))
    assert read_held(state) is None
    assert asked(state, "git reset --hard") == "deny", "a new guard holds at once"
    assert asked(state, "ls") == ""
    held = read_held(state)
    assert held is not None
    assert len(held.guards) == 2
    with MemoryStore(state / "memory.db") as store:
        GuardStore(store).withdraw(2, cause="t")
        assert read_held(state) is None, "while the other process still has it open, too"
    assert asked(state, "git reset --hard") == ""


@pytest.mark.parametrize("damage", [b"", b"1 0\n{}", b"2 5\n{}", b"nothing", b"1 x\n"])
def test_a_damaged_file_is_not_believed(state: Path, damage: bytes) -> None:
    asked(state, "ls")
    path = state / "hooks" / HELD
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:-5])
    assert read_held(state) is None
    assert asked(state, "git push --force") == "deny"
    assert path.read_bytes() != damage


def test_a_write_while_the_file_is_made_leaves_none(state: Path) -> None:
    opened: list[MemoryStore] = []

    def open_and_write() -> MemoryStore:
        guarded(state, GUARD.replace("push", "clean"))
        opened.append(MemoryStore(state / "memory.db"))
        return opened[-1]

    assert write_held(state, open_and_write) is False
    assert not (state / "hooks" / HELD).exists()


def test_where_failures_are_foretold_the_memory_is_asked() -> None:
    held = Held((), frozenset({"here"}))
    assert held.may_stop(command_action("pytest"), "here")
    assert not held.may_stop(command_action("pytest"), "elsewhere")
    assert Held((), frozenset({"*"})).may_stop(command_action("pytest"), "elsewhere")
