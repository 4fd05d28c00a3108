"""Files of agents' programs become runs: every format, each run once, secrets masked, bad input told."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.ingest import RunFileUnreadable, RunFormatUnknown
from hal9.ingest import ReadReport, Run, mask_secrets, read_runs
from hal9.learning.runs.run_miner import RunMiner


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def only(path: Path) -> Run:
    (run,) = read_runs([path])
    return run


def test_a_trajectory_of_mini_swe_agent(tmp_path: Path) -> None:
    path = tmp_path / "django__django-1.traj.json"
    say = "THOUGHT: look.\n\n```bash\npytest -q\n```"
    twice = "```bash\nls\n```\n```bash\ncat x\n```"
    path.write_text(
        json.dumps(
            {
                "info": {"exit_status": "Submitted"},
                "instance_id": "django__django-1",
                "messages": [
                    {"role": "system", "content": "You are"},
                    {"role": "user", "content": "Mend it"},
                    {"role": "assistant", "content": say},
                    {
                        "role": "user",
                        "content": "<returncode>127</returncode>\n<output>\nbash: pytest: command not found\n</output>",
                    },
                    {"role": "assistant", "content": twice},
                    {"role": "user", "content": "Please always provide EXACTLY ONE action, found 2 actions."},
                ],
            },
            indent=2,
        ),
        encoding="utf-8",
    )
    run = only(path)
    assert (run.repo, run.task, run.agent) == ("django/django", "Mend it", "mini-swe-agent")
    first, second = run.steps
    assert (first.command, first.exit_code, first.executed) == ("pytest -q", 127, True)
    assert "command not found" in first.output
    assert (second.exit_code, second.executed) == (None, False)


def test_a_session_of_claude_code(tmp_path: Path) -> None:
    common = {"sessionId": "s1", "cwd": "/home/me/shop"}

    def result(key: str, content: Any, *, error: bool = False) -> dict[str, Any]:
        part = {"type": "tool_result", "tool_use_id": key, "content": content, "is_error": error}
        return {**common, "type": "user", "message": {"role": "user", "content": [part]}}

    def call(key: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
        part = {"type": "tool_use", "id": key, "name": name, "input": given}
        return {**common, "type": "assistant", "message": {"role": "assistant", "content": [part]}}

    path = lines(
        tmp_path / "s1.jsonl",
        {"type": "summary", "summary": "x", "leafUuid": "y"},
        {**common, "type": "user", "message": {"role": "user", "content": "add a report"}},
        call("a", "Bash", {"command": "npm test", "description": "run"}),
        result("a", "Exit code 1\nnpm ERR! missing script: test", error=True),
        call("b", "Write", {"file_path": "/home/me/shop/a.py", "content": "x = 1\n"}),
        result("b", [{"type": "text", "text": "File created"}]),
        call("c", "Bash", {"command": "rm -rf /"}),
        result("c", "The user doesn't want to proceed with this tool use.", error=True),
    )
    run = only(path)
    assert (run.id, run.repo, run.task) == ("s1", "/home/me/shop", "add a report")
    shell, written, refused = run.steps
    assert (shell.command, shell.exit_code) == ("npm test", 1)
    assert (written.tool, written.path, written.text, written.exit_code) == (
        "Write", "/home/me/shop/a.py", "x = 1\n", 0,
    )  # fmt: skip
    assert (refused.executed, refused.exit_code) == (False, None)


def test_a_session_of_codex(tmp_path: Path) -> None:
    def item(**payload: Any) -> dict[str, Any]:
        return {"timestamp": "2025-11-01T00:00:00Z", "type": "response_item", "payload": payload}

    arguments = json.dumps({"command": ["bash", "-lc", "cargo test"], "workdir": "/w"})
    path = lines(
        tmp_path / "rollout-1.jsonl",
        {"timestamp": "t", "type": "session_meta", "payload": {"id": "c1", "cwd": "/w"}},
        item(type="message", role="user", content=[{"type": "input_text", "text": "<environment_context>…"}]),
        item(type="message", role="user", content=[{"type": "input_text", "text": "fix it"}]),
        item(type="function_call", name="shell", arguments=arguments, call_id="1"),
        item(
            type="function_call_output",
            call_id="1",
            output=json.dumps({"output": "error[E0425]: no x", "metadata": {"exit_code": 101}}),
        ),
        item(type="function_call", name="exec_command", arguments='{"cmd": "ls"}', call_id="2"),
        item(
            type="function_call_output",
            call_id="2",
            output="Wall time: 0.1\nProcess exited with code 0\nOutput:\na",
        ),
    )
    run = only(path)
    assert (run.id, run.task, run.root) == ("c1", "fix it", "/w")
    assert [(one.command, one.exit_code) for one in run.steps] == [("cargo test", 101), ("ls", 0)]


def test_events_of_openhands(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    events = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": "do it"}},
        {"id": 1, "source": "agent", "action": "run", "args": {"command": "make"}},
        {
            "id": 2, "source": "agent", "observation": "run", "cause": 1, "content": "make: *** No rule",
            "extras": {"metadata": {"exit_code": 2}},
        },
        {"id": 3, "source": "agent", "action": "write", "args": {"path": "/workspace/a", "content": "t"}},
        {"id": 4, "source": "agent", "observation": "write", "cause": 3, "content": "ok", "extras": {}},
    ]  # fmt: skip
    path.write_text(json.dumps(events), encoding="utf-8")
    run = only(path)
    assert run.task == "do it"
    assert [(one.command, one.exit_code, one.path) for one in run.steps] == [
        ("make", 2, ""), ("", 0, "/workspace/a"),
    ]  # fmt: skip


def test_plain_lines_in_any_order_and_whole_runs(tmp_path: Path) -> None:
    plain = lines(
        tmp_path / "plain.jsonl",
        {"run": "r", "repo": "a/b", "step": 1, "command": "two", "exit": 0, "output": ""},
        {"run": "r", "repo": "a/b", "step": 0, "command": "one", "exit": 1, "output": "x"},
    )
    assert [one.command for one in only(plain).steps] == ["one", "two"]
    whole = tmp_path / "whole.jsonl.gz"
    record = {
        "instance_id": "a__b-1",
        "repo": "a/b",
        "steps": [{"command": "ls", "returncode": 0, "output": ""}],
    }
    with gzip.open(whole, "wt", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")
    assert only(whole).repo == "a/b"


def test_each_run_is_read_once_and_a_cut_line_is_counted(tmp_path: Path) -> None:
    record = {"run": "r", "step": 0, "command": "ls", "exit": 0, "output": ""}
    first = lines(tmp_path / "a.jsonl", record)
    second = lines(tmp_path / "b.jsonl", record)
    second.write_text(second.read_text() + '{"run": "r2", "command": "l')
    known: set[str] = set()
    report = ReadReport()
    assert len(list(read_runs([first, tmp_path], known=known, report=report))) == 1
    assert (report.known, report.bad_lines) == (2, 1)
    assert list(read_runs([tmp_path], known=known)) == []


@pytest.mark.parametrize("text", ["", "hello\n", "[]", '{"a": 1}\n', "\x00\x01"])
def test_what_is_no_run_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((RunFormatUnknown, RunFileUnreadable), match=r"x\.jsonl"):
        list(read_runs([path]))
    with pytest.raises(RunFileUnreadable, match="missing"):
        list(read_runs([tmp_path / "missing.jsonl"]))


def test_secrets_are_masked_and_code_is_kept(tmp_path: Path) -> None:
    key = "sk-" + "a1" * 12
    path = lines(
        tmp_path / "x.jsonl",
        {
            "run": "r",
            "command": f"curl -H 'Authorization: Bearer {key}'",
            "exit": 0,
            "output": f"TOKEN={key}",
        },
    )
    step = only(path).steps[0]
    assert key not in step.command + step.output
    assert "curl" in step.command
    assert mask_secrets("password: hunter2hunter2") == "password: <secret>"
    assert mask_secrets("postgres://me:hunter2@db/x") == "postgres://me:<secret>@db/x"
    for code in ("token = os.environ['T']", "max_tokens = 12", "def tokenize(text): pass", "password = None"):
        assert mask_secrets(code) == code
    once = mask_secrets(f"api_key='{key}' and ghp_{'x' * 30}")
    assert mask_secrets(once) == once
    assert key not in once


def session(path: Path, name: str, *calls: tuple[str, str, int | None]) -> Path:
    """A session file of Claude Code: (id, command, exit code or None when nothing came back yet)."""
    rows: list[Any] = []
    for key, command, code in calls:
        call = {"type": "tool_use", "id": key, "name": "Bash", "input": {"command": command}}
        rows.append({"type": "assistant", "sessionId": name, "cwd": "/w", "message": {"content": [call]}})
        if code is not None:
            text = "fine" if code == 0 else f"Exit code {code}\nsh: {command}: command not found"
            result = {"type": "tool_result", "tool_use_id": key, "content": text, "is_error": code != 0}
            rows.append({"type": "user", "sessionId": name, "cwd": "/w", "message": {"content": [result]}})
    return lines(path, *rows)


def test_what_a_session_had_when_it_was_read_before_teaches_nothing_again(tmp_path: Path) -> None:
    known: set[str] = set()
    path = tmp_path / "one.jsonl"
    session(path, "s", ("t1", "gti status", 127), ("t2", "git status", 0), ("t3", "make", None))
    (first,) = read_runs([path], known=known)
    assert (len(first.steps), first.known_steps) == (3, frozenset())

    # Gone on with: the call that was under way has its answer now.
    session(path, "s", ("t1", "gti status", 127), ("t2", "git status", 0), ("t3", "make", 2), ("t4", "ls", 0))
    report = ReadReport()
    (grown,) = read_runs([path], known=known, report=report)
    assert (grown.known_steps, report.steps) == (frozenset({0, 1}), 2)
    learned = [(one.step.command, one.failure is not None) for one in RunMiner().read(grown)]
    assert learned == [("make", True), ("ls", False)]


def test_a_fork_of_a_session_teaches_only_what_is_its_own(tmp_path: Path) -> None:
    common = [("t1", "gti status", 127), ("t2", "git status", 0)]
    files = [
        session(tmp_path / "a.jsonl", "a", *common, ("t3", "make", 2)),
        session(tmp_path / "b.jsonl", "b", *common, ("t4", "ninja", 1)),
        session(tmp_path / "c.jsonl", "c", *common),
    ]
    report = ReadReport()
    first, second = read_runs(files, report=report)
    assert (first.known_steps, second.known_steps) == (frozenset(), frozenset({0, 1}))
    assert (report.runs, report.steps, report.known) == (2, 4, 1), "the third has nothing of its own"
