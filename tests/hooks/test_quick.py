"""The short way of a hook call: what it answers, and what it does not load."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hal9.hooks.client import hook_call
from hal9.hooks.quick import answer_call
from hal9.learning.guards.guard_form import parse_guard
from hal9.learning.guards.guard_store import GuardStore
from hal9.memory import MemoryStore

GUARD = "when: {program: git, subcommand: push, flag: '--force*'}\neffect: require\nsay: Never force a push."
PUSH = {"tool_name": "Bash", "tool_input": {"command": "git push --force"}, "cwd": "/w", "session_id": "s"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".hal9").mkdir()
    with MemoryStore(tmp_path / ".hal9" / "memory.db") as store:
        book = GuardStore(store)
        book.accept(book.add(parse_guard(GUARD), workspace="*", source="user", cause="t"), [], cause="t")
    return tmp_path


def test_a_call_is_answered_without_the_heavy_libraries(home: Path) -> None:
    program = (
        "import sys; from hal9.__main__ import main; main(); "
        "print([m for m in ('click', 'numpy', 'pydantic', 'yaml', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--home", str(home), "hook", "PreToolUse", "--agent", "claude-code"],
        input=json.dumps(PUSH),
        capture_output=True,
        text=True,
        check=True,
    )
    answer, loaded = done.stdout.strip().splitlines()
    assert json.loads(answer)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert loaded == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["hook"], ["hook", "--help"], ["hook", "X", "--agent", "unknown"], ["run", "hook"], ["hook", "X", "Y"]],
)
def test_what_is_no_plain_call_is_left_to_the_command_line(arguments: list[str]) -> None:
    assert hook_call(arguments) is False


@pytest.mark.parametrize("text", ["", "no json", "[1]", "{}", '{"tool_name": 7, "tool_input": []}', "\x00"])
def test_odd_input_lets_the_agent_go_on(home: Path, text: str) -> None:
    assert answer_call(home / ".hal9", "claude-code", "PreToolUse", text.encode()) == {}


def test_a_damaged_memory_lets_the_agent_go_on_and_is_logged(home: Path) -> None:
    (home / ".hal9" / "memory.db").write_bytes(b"not a database at all" * 100)
    answer = answer_call(home / ".hal9", "claude-code", "PreToolUse", json.dumps(PUSH).encode())
    assert answer == {}
    assert "PreToolUse" in (home / ".hal9" / "hooks.log").read_text()
