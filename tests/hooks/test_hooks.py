"""Hooks of other agents: their events, our answers, their settings; and nothing ever stops them by accident."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hal9.cli.app import cli, run
from hal9.errors.hooks import HookSettingsUnreadable
from hal9.hooks.events import AGENTS, Agent, read_event
from hal9.hooks.install import FILES, install, remove
from hal9.hooks.mcp_server import MemoryService, make_server
from hal9.hooks.session import answer_hook
from hal9.learning.rules.taught import teach
from hal9.memory import EVERYWHERE, MemoryScope, MemoryStore, repository_of

NO_PYTEST = "bash: pytest: command not found"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryStore]:
    with MemoryStore(tmp_path / "memory.db") as opened:
        yield opened


def bash(folder: Path, event: str, command: str, session: str, **more: Any) -> dict[str, Any]:
    return {
        "hook_event_name": event, "session_id": session, "cwd": str(folder), "tool_name": "Bash",
        "tool_input": {"command": command}, **more,
    }  # fmt: skip


def call(
    store: MemoryStore, tmp_path: Path, body: dict[str, Any], agent: Agent = "claude-code"
) -> dict[str, Any]:
    return answer_hook(store, tmp_path / "hooks", agent, str(body["hook_event_name"]), body)


def teach_no_pytest(store: MemoryStore, tmp_path: Path) -> None:
    for number in range(5):
        session = f"s{number}"
        before = call(store, tmp_path, bash(tmp_path, "PreToolUse", "pytest -q", session))
        if not before:
            result = {"stdout": "", "stderr": NO_PYTEST, "exit_code": 127}
            call(store, tmp_path, bash(tmp_path, "PostToolUse", "pytest -q", session, tool_response=result))


def test_an_agent_is_stopped_once_where_earlier_sessions_failed(store: MemoryStore, tmp_path: Path) -> None:
    teach_no_pytest(store, tmp_path)
    told = call(store, tmp_path, bash(tmp_path, "PreToolUse", "pytest tests/", "new"))
    decision = told["hookSpecificOutput"]
    assert (decision["hookEventName"], decision["permissionDecision"]) == ("PreToolUse", "deny")
    assert NO_PYTEST in decision["permissionDecisionReason"]
    assert call(store, tmp_path, bash(tmp_path, "PreToolUse", "pytest tests/", "new")) == {}, "insisted on"
    assert call(store, tmp_path, bash(tmp_path, "PreToolUse", "ls", "new")) == {}
    assert call(store, tmp_path, bash(tmp_path / "other", "PreToolUse", "pytest", "new2")) == {}, (
        "another folder"
    )


def test_each_agent_is_answered_in_its_own_words(store: MemoryStore, tmp_path: Path) -> None:
    teach_no_pytest(store, tmp_path)
    gemini = {**bash(tmp_path, "BeforeTool", "pytest a", "g"), "tool_name": "run_shell_command"}
    assert call(store, tmp_path, gemini, "gemini-cli")["decision"] == "deny"
    cursor = {
        "hook_event_name": "beforeShellExecution", "conversation_id": "c", "command": "pytest a",
        "workspace_roots": [str(tmp_path)],
    }  # fmt: skip
    assert call(store, tmp_path, {**cursor, "cwd": str(tmp_path)}, "cursor")["permission"] == "deny"
    assert call(store, tmp_path, {**cursor, "command": "ls"}, "cursor") == {"permission": "allow"}
    codex = {**bash(tmp_path, "PreToolUse", "", "x"), "tool_name": "shell"}
    codex["tool_input"] = {"command": ["bash", "-lc", "pytest a"]}
    assert call(store, tmp_path, codex, "codex")["hookSpecificOutput"]["permissionDecision"] == "deny"


def test_rules_are_told_at_the_start_and_with_a_prompt(store: MemoryStore, tmp_path: Path) -> None:
    identity = repository_of(str(tmp_path)).identity
    number, said = teach(
        store, "we always use type hints", MemoryScope(identity, place=EVERYWHERE), cause="t"
    )
    assert number is not None
    assert "holds for: the whole project" in said[0]
    start = {"hook_event_name": "SessionStart", "session_id": "s", "cwd": str(tmp_path), "source": "startup"}
    assert "type hints" in call(store, tmp_path, start)["hookSpecificOutput"]["additionalContext"]
    prompt = {
        "hook_event_name": "UserPromptSubmit",
        "session_id": "s",
        "cwd": str(tmp_path),
        "prompt": "Add a.py",
    }
    assert "type hints" in call(store, tmp_path, prompt)["hookSpecificOutput"]["additionalContext"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"hook_event_name": "Nonsense"}, {"hook_event_name": "PreToolUse"},
        {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": None},
        {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": ["a", 1, None]}},
        {"hook_event_name": "PostToolUse", "tool_name": "Write", "tool_input": {"file_path": "/x"}, "tool_response": 3},
        {"hook_event_name": "PreToolUse", "tool_name": "mcp__x__y", "tool_input": {"a": [1]}, "cwd": 5},
    ],
)  # fmt: skip
def test_odd_events_are_let_through(store: MemoryStore, tmp_path: Path, body: dict[str, Any]) -> None:
    for agent in AGENTS:
        told = answer_hook(store, tmp_path / "hooks", agent, "PreToolUse", body)
        assert told in ({}, {"permission": "allow"})


def test_the_command_fails_open_with_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    assert run(cli, ["init", str(tmp_path / "home")]) == 0
    state = tmp_path / "home" / ".hal9"
    state.mkdir(exist_ok=True)
    (state / "memory.db").write_bytes(b"this is no database" * 100)
    runner = CliRunner()
    body = json.dumps(bash(tmp_path, "PreToolUse", "ls", "s"))
    for text in (body, "", "{", "[]", "null"):
        done = runner.invoke(cli, ["--home", str(tmp_path / "home"), "hook", "PreToolUse"], input=text)
        assert (done.exit_code, json.loads(done.stdout)) == (0, {})
    assert "hook PreToolUse" in (state / "hooks.log").read_text()


@pytest.mark.parametrize("agent", AGENTS)
def test_a_hook_is_entered_once_and_taken_out_without_a_trace(tmp_path: Path, agent: Agent) -> None:
    path = tmp_path / FILES[agent]
    path.parent.mkdir(parents=True)
    event = "beforeShellExecution" if agent == "cursor" else "PreToolUse"
    other: dict[str, Any] = {"command": "mine"} if agent == "cursor" else {"hooks": [{"command": "mine"}]}
    before = {"model": "x", "hooks": {event: [other]}}
    path.write_text(json.dumps(before))
    for _ in range(2):
        install(agent, tmp_path, program="hal9", home=tmp_path / "my home")
    text = path.read_text()
    assert text.count(f" hook {event} ") == (1 if event != "PreToolUse" or agent != "gemini-cli" else 0)
    assert "'" in text, "a home with a space is quoted"
    remove(agent, tmp_path)
    left = json.loads(path.read_text())
    left.pop("version", None)
    assert left == before


def test_settings_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILES["claude-code"]
    path.parent.mkdir()
    for text in ("{", "[]", '{"hooks": []}', '{"hooks": {"PreToolUse": "x"}}'):
        path.write_text(text)
        with pytest.raises(HookSettingsUnreadable, match="left as it is"):
            install("claude-code", tmp_path, program="hal9", home=tmp_path)
        assert path.read_text() == text


async def test_the_mcp_server_recalls_remembers_and_learns(store: MemoryStore, tmp_path: Path) -> None:
    from mcp import Client

    server = make_server(MemoryService(store))
    async with Client(server) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names == {"recall", "report_outcome", "remember", "rules", "explain"}

        async def ask(tool: str, **given: Any) -> Any:
            result = await client.call_tool(tool, given)
            assert not result.is_error, result
            return result.structured_content

        kept = await ask(
            "remember", rule="amounts are Decimal", holds_for="src/billing", folder=str(tmp_path)
        )
        assert kept["rule"] == 1
        found = await ask("recall", task="mend src/billing/a.py", folder=str(tmp_path))
        assert [one["rule"] for one in found["rules"]] == ["amounts are Decimal."]
        assert (await ask("recall", task="mend src/other/a.py", folder=str(tmp_path)))["rules"] == []
        told = await ask(
            "report_outcome", command="pytest", exit_code=127, output=NO_PYTEST, folder=str(tmp_path)
        )
        assert told["recorded"] is True
        assert (await ask("explain", rule_id=1))["holds_for"] == "src/billing/**"
        wrong = await client.call_tool("explain", {"rule_id": 9})
        assert wrong.is_error


def test_events_without_their_name_are_known_by_the_hooks() -> None:
    event = read_event("beforeShellExecution", {"command": "ls", "workspace_roots": ["/w"]})
    assert (event.moment, event.folder) == ("before", "/w")


def test_rules_and_memories_are_given_seen_moved_and_taken_back_by_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, project = str(tmp_path / "home"), tmp_path / "project"
    project.mkdir()
    (project / "AGENTS.md").write_text("Be brief.\n")
    monkeypatch.chdir(project)
    assert run(cli, ["init", home]) == 0

    def hal9(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(cli, ["--home", home, *words])
        done = capsys.readouterr()
        return code, done.out + done.err

    assert "holds for: src/billing/**" in hal9("remember", "amounts are Decimal", "--for", "src/billing")[1]
    assert hal9("remember", "falsch")[0] == 1
    shown = hal9("rules", "--for", "src/billing/a.py")[1]
    assert "amounts are Decimal" in shown
    assert "AGENTS.md" in shown
    assert "amounts are Decimal" not in hal9("rules", "--for", "docs/x.md")[1]
    assert "holds for the whole project now" in hal9("rules", "set", "1", "--for", "project")[1]
    assert hal9("rules", "test", "1", "mend docs/x.md")[0] == 0
    assert hal9("rules", "export", "--agents-md", "AGENTS.md")[0] == 0
    assert hal9("rules", "export", "--agents-md", "AGENTS.md")[0] == 0
    text = (project / "AGENTS.md").read_text()
    assert text.startswith("Be brief.\n")
    assert text.count("- amounts are Decimal.") == 1
    assert "the whole project (acceptance)" in hal9("remember", "run the linter before you finish")[1]
    assert "run the linter" in hal9("rules", "--for", "src/billing/a.py")[1]
    assert hal9("rules", "test", "2", "mend docs/x.md")[0] == 0
    assert hal9("forget", "2")[0] == 0
    assert hal9("forget", "1")[0] == 0
    assert "AGENTS.md: read before each task there" in hal9("rules")[1]
    assert hal9("rules", "set", "9", "--for", "x")[0] == 1
    assert hal9("memory", "forget", "99")[0] == 1
    assert hal9("memory", "forget", "1")[0] == 0


def test_learning_from_files_can_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, file = str(tmp_path / "home"), tmp_path / "runs.jsonl"
    rows = [
        {"run": f"{number}", "repo": "a/b", "step": 0, "command": "pytest", "exit": 127, "output": NO_PYTEST}
        for number in range(5)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(cli, ["init", home]) == 0
    capsys.readouterr()
    for runs, known in ((5, 0), (0, 5)):
        assert run(cli, ["--home", home, "learn", str(file), "-q", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["runs"], told["known_before"]) == (runs, known)
