"""Agents that act: in the copy, in the sandbox, with their own login and nobody else's; their events are steps."""

import json
import os
import stat
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.minds import AgentFailed
from hal9.minds import AGENTS, AgentMind, AgentSettings, Message, Request
from hal9.settings import WorkbenchSettings
from hal9.tools.agent_place import SnapshotWorkplace
from hal9.workbench import Place, Snapshot

ASK = (Message("system", "Be brief."), Message("user", "Make a.txt say new, and check it."))

# The events of claude 2.1.332, codex 0.171.0 and gemini 0.61.0, with their fields that matter here.
EVENTS: dict[str, list[dict[str, Any]]] = {
    "claude": [
        {"type": "system", "subtype": "init", "session_id": "s", "model": "m", "tools": ["Bash", "Edit"]},
        {"type": "assistant", "message": {"role": "assistant", "content": [
            {"type": "text", "text": "I edit it."},
            {"type": "tool_use", "id": "t1", "name": "Edit", "input": {"file_path": "a.txt", "old_string": "old", "new_string": "new"}}]}},
        {"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "edited"}]}]}},
        {"type": "assistant", "message": {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "false"}}]}},
        {"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t2", "content": "Exit code 1", "is_error": True}]}},
        {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "total_cost_usd": 0.02, "num_turns": 3,
         "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 0, "output_tokens": 40}},
    ],
    "codex": [
        {"type": "thread.started", "thread_id": "x"},
        {"type": "turn.started"},
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "item.completed", "item": {"id": "i0", "type": "agent_message", "text": "I edit it."}},
        {"type": "item.completed", "item": {"id": "i1", "type": "file_change", "changes": [{"path": "a.txt", "kind": "update"}], "status": "completed"}},
        {"type": "item.completed", "item": {"id": "i2", "type": "command_execution", "command": "false", "aggregated_output": "Exit code 1", "exit_code": 1, "status": "failed"}},
        {"type": "item.completed", "item": {"id": "i3", "type": "agent_message", "text": "Done."}},
        {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 90, "output_tokens": 40}},
    ],
    "gemini": [
        {"type": "init", "session_id": "s", "model": "m"},
        {"type": "message", "role": "user", "content": "…"},
        {"type": "message", "role": "assistant", "content": "I edit it.", "delta": True},
        {"type": "tool_use", "tool_name": "replace", "tool_id": "1", "parameters": {"file_path": "a.txt"}},
        {"type": "tool_result", "tool_id": "1", "status": "success", "output": "edited"},
        {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "2", "parameters": {"command": "false"}},
        {"type": "tool_result", "tool_id": "2", "status": "error", "error": {"type": "x", "message": "Exit code 1"}},
        {"type": "message", "role": "assistant", "content": "Do", "delta": True},
        {"type": "message", "role": "assistant", "content": "ne.", "delta": True},
        {"type": "result", "status": "success", "stats": {"total_tokens": 140, "input_tokens": 100, "output_tokens": 25, "cached": 90}},
    ],
}  # fmt: skip
HOMES = {"claude": ".claude", "codex": ".codex", "gemini": ".gemini"}
KEYS = {"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}


class World:
    """A home folder with a login, a secret beside it, a program of each agent's name, and a workspace."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.tools, self.workspace = folder / "home", folder / "tools" / "bin", folder / "work"
        for place in (self.home, self.tools, self.workspace):
            place.mkdir(parents=True)
        (self.home / ".ssh").mkdir()
        (self.home / ".ssh" / "id").write_text("secret")
        for name in HOMES.values():
            (self.home / name).mkdir()
            (self.home / name / "login.json").write_text("{}")
        (self.workspace / "a.txt").write_text("old\n")
        self.state = folder / "state"
        monkeypatch.setenv("HOME", str(self.home))
        self.environment = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "HOME": str(self.home),
            **dict.fromkeys(KEYS.values(), "key"),
            "DEPLOY_TOKEN": "other",
        }

    def install(self, name: str, body: str = "", events: list[dict[str, Any]] | None = None) -> AgentMind:
        program = textwrap.dedent(
            f"""\
            #!{sys.executable} -I
            import json, os, pathlib, sys
            if sys.argv[1:] == ["--version"]:
                print("9.8.7 (fake)"); sys.exit()
            prompt = sys.stdin.read()
            home = pathlib.Path(os.environ["HOME"])
            seen = dict(argv=sys.argv[1:], cwd=os.getcwd(), names=sorted(os.environ),
                        login=(home / {HOMES[name]!r} / "login.json").exists(), secret=(home / ".ssh" / "id").exists())
            (home / {HOMES[name]!r} / "seen.json").write_text(json.dumps(seen))
            """
        ) + textwrap.dedent(body or 'pathlib.Path("a.txt").write_text("new\\n")\n')
        for event in EVENTS[name] if events is None else events:
            program += f"print({json.dumps(event)!r})\n"
        path = self.tools / name
        path.write_text(program)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return AgentMind(AGENTS[name], AgentSettings(environment=self.environment, usd_per_call=0.5))

    def seen(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / HOMES[name] / "seen.json").read_text())
        return found

    def snapshot(self, isolation: str) -> Snapshot:
        place = Place(workspace=self.workspace, folder=self.state)
        return Snapshot(place, WorkbenchSettings(isolation=isolation))  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.mark.parametrize("isolation", [pytest.param("bubblewrap", marks=pytest.mark.bubblewrap), "none"])
@pytest.mark.parametrize("name", list(AGENTS))
async def test_an_agent_works_in_the_copy(world: World, name: str, isolation: str) -> None:
    mind = world.install(name)
    async with world.snapshot(isolation) as snapshot, mind:
        request = Request(ASK, workplace=SnapshotWorkplace(snapshot), timeout_seconds=60)
        quote = await mind.quote(request)
        reply = await mind.think(request)
        changes = await snapshot.changes()
    assert reply.text == "Done."
    assert (world.workspace / "a.txt").read_text() == "old\n", "nothing is carried over before it is judged"
    assert [(change.path, change.action) for change in changes] == [("a.txt", "modified")]
    done = [act for act in reply.acts if act.kind != "words"]
    assert [act.kind for act in done] == ["edit", "command"]
    assert done[1].arguments == {"command": "false"}
    assert (done[0].ok, done[1].ok) == (True, False)
    assert "Exit code 1" in done[1].outcome
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (100, 40, 90)
    assert quote.tokens > usage.prompt_tokens + usage.completion_tokens
    assert quote.usd == 0.5
    # Who tells no cost and has no price is charged the most of a call.
    assert usage.usd == (0.02 if name == "claude" else 0.5)
    seen = world.seen(name)
    assert KEYS[name] in seen["names"]
    assert "DEPLOY_TOKEN" not in seen["names"]
    assert not {KEYS[other] for other in KEYS if other != name} & set(seen["names"])
    free = {
        "claude": "bypassPermissions",
        "codex": "--dangerously-bypass-approvals-and-sandbox",
        "gemini": "yolo",
    }
    assert (free[name] in seen["argv"]) is (isolation == "bubblewrap"), "free only inside our sandbox"
    if isolation == "bubblewrap":
        assert seen["login"]
        assert not seen["secret"]
        assert seen["cwd"] == str(world.workspace)


@pytest.mark.bubblewrap
async def test_an_agent_cannot_write_outside(world: World) -> None:
    outside = world.home / "outside.txt"
    body = f"""
    for place in ({str(outside)!r}, "/etc/outside"):
        try:
            pathlib.Path(place).write_text("x")
        except OSError:
            pass
    """
    mind = world.install("codex", body)
    async with world.snapshot("bubblewrap") as snapshot, mind:
        await mind.think(Request(ASK, workplace=SnapshotWorkplace(snapshot), timeout_seconds=60))
    assert not outside.exists()
    assert not Path("/etc/outside").exists()


async def test_what_a_failed_agent_cost_is_in_its_error(world: World) -> None:
    failed = {"type": "result", "subtype": "error_max_budget_usd", "is_error": True, "errors": ["budget is used up"],
              "total_cost_usd": 0.5, "usage": {"input_tokens": 100, "output_tokens": 40}}  # fmt: skip
    mind = world.install("claude", events=[*EVENTS["claude"][:-1], failed])
    async with world.snapshot("none") as snapshot, mind:
        with pytest.raises(AgentFailed, match="error_max_budget_usd|budget is used up") as told:
            await mind.think(Request(ASK, workplace=SnapshotWorkplace(snapshot), timeout_seconds=60))
    assert (told.value.usage.usd, told.value.usage.prompt_tokens) == (0.5, 100)


async def test_the_array_that_claude_prints_with_verbose_is_read(world: World) -> None:
    mind = world.install("claude", events=[])
    path = world.tools / "claude"
    path.write_text(path.read_text() + f"print({json.dumps(EVENTS['claude'])!r})\n")
    async with mind:
        reply = await mind.think(Request(ASK, timeout_seconds=60))
    assert reply.text == "Done."
