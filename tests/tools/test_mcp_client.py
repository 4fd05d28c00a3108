"""Tools of MCP servers, against a real server over both transports: calls, refusals, deaths, allow-lists."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from hal9.minds import checked_calls
from hal9.minds.protocol import ToolCall
from hal9.settings import McpServerSettings
from hal9.signals.tracing import CURRENT_TRACEPARENT, traceparent_of
from hal9.tools.mcp_client import McpServers, tool_name
from tests.support.waiting import eventually_now

pytest.importorskip("mcp", reason="pip install 'hal9-cluster[mcp]'")
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[2]


def stdio(**more: Any) -> McpServerSettings:
    given = {"command": sys.executable, "args": ["-m", "tests.tools.mcp_fake"], "folder": str(ROOT), **more}
    return McpServerSettings.model_validate(given)


@pytest.fixture
def address() -> Iterator[str]:
    """A server over streamable HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tools.mcp_fake", str(port)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:

        def listening() -> bool:
            assert process.poll() is None, "the server ended"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually_now(listening, "the server listens")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


async def test_over_stdio_tools_are_offered_called_and_survive_a_death() -> None:
    async with McpServers({"fake": stdio(env={"TOKEN": "t0"})}) as servers:
        assert servers.problems() == {}
        tools = {tool.name: tool for tool in servers.for_neuron("l2-implementer")}
        assert {"fake__add", "fake__dies", "fake__fails"} <= set(tools)
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in tools)
        add = tools["fake__add"]
        assert add.spec.description == "Add two numbers."
        assert (add.permission, tools["fake__fails"].permission) == ("read", "run")
        assert add.describe({"a": 1}).tool == "fake.add"
        (wrong,) = checked_calls([ToolCall("1", "fake__add", {"a": "x", "b": 1})], [add.spec])
        assert "do not fit" in wrong.problem
        assert (await add.run(a=2, b=3)).text == "5"
        assert (await tools["fake__variable"].run(name="TOKEN")).text == "t0"
        failed = await tools["fake__fails"].run()
        assert (failed.ok, "the moon is in the way" in failed.text) == (False, True)
        dead = await tools["fake__dies"].run()
        assert not dead.ok
        assert "fake" in dead.text
        assert (await add.run(a=2, b=2)).text == "4", "the next call started it anew"
        (odd,) = (tool for name, tool in tools.items() if "odd" in name)
        assert (await odd.run()).text == "odd"


async def test_a_key_of_ours_does_not_reach_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    async with McpServers({"fake": stdio()}) as servers:
        assert (await servers.call("fake", "variable", {"name": "OPENAI_API_KEY"})).text == "(not set)"


async def test_the_trace_of_the_turn_goes_along() -> None:
    async with McpServers({"fake": stdio()}) as servers:
        assert (await servers.call("fake", "traced", {})).text == "None"
        traceparent = traceparent_of("ab" * 16, "a turn")
        CURRENT_TRACEPARENT.set(traceparent)
        assert (await servers.call("fake", "traced", {})).text == traceparent


async def test_a_call_that_takes_too_long_is_told_and_the_server_lives_on() -> None:
    async with McpServers({"fake": stdio(timeout_seconds=0.5)}) as servers:
        slow = await servers.call("fake", "sleeps", {})
        assert not slow.ok
        assert "no answer within 0.5 s" in slow.text
        assert (await servers.call("fake", "add", {"a": 1, "b": 1})).ok


async def test_over_http_with_headers(address: str) -> None:
    settings = McpServerSettings(url=address, headers={"Authorization": "Bearer x"})
    async with McpServers({"far": settings}) as servers:
        assert servers.problems() == {}
        assert (await servers.call("far", "add", {"a": 20, "b": 3})).text == "23"
        assert not (await servers.call("far", "nothing", {})).ok


async def test_lists_say_who_may_have_what() -> None:
    settings = stdio(tools=["add"], neurons=["l2-implementer"])
    async with McpServers({"fake": settings}) as servers:
        assert [tool.name for tool in servers.for_neuron("l2-implementer")] == ["fake__add"]
        assert servers.for_neuron("l4-strategist") == ()


@pytest.mark.parametrize(
    "settings",
    [
        McpServerSettings(command="/no/such/program", start_seconds=20),
        McpServerSettings(command=sys.executable, args=["-c", "print('hello')"], start_seconds=20),
        McpServerSettings(
            command=sys.executable, args=["-c", "import time; time.sleep(60)"], start_seconds=1
        ),
        McpServerSettings(url="http://127.0.0.1:9/mcp", start_seconds=20),
    ],
    ids=["missing", "no server", "silent", "nobody there"],
)
async def test_a_server_that_does_not_start_is_an_error_of_its_tools(settings: McpServerSettings) -> None:
    async with McpServers({"bad": settings, "good": stdio()}) as servers:
        assert set(servers.problems()) == {"bad"}
        assert servers.problems()["bad"]
        told = await servers.call("bad", "x", {})
        assert not told.ok
        assert "cannot be reached" in told.text
        assert (await servers.call("good", "add", {"a": 1, "b": 1})).ok


async def test_nothing_is_left_when_it_closes() -> None:
    async with McpServers({"fake": stdio()}) as servers:
        assert (await servers.call("fake", "add", {"a": 1, "b": 1})).ok
        assert [child for child in psutil.Process().children(recursive=True) if _is_ours(child)]
    assert [child for child in psutil.Process().children(recursive=True) if _is_ours(child)] == []


def _is_ours(process: psutil.Process) -> bool:
    try:
        return "tests.tools.mcp_fake" in process.cmdline()
    except psutil.Error:
        return False


def test_names_fit_providers_and_differ() -> None:
    assert tool_name("git", "git_log") == "git__git_log"
    long = tool_name("s", "x" * 80)
    assert len(long) == 64
    assert long != tool_name("s", "x" * 81)
    assert tool_name("s", "a.b") != tool_name("s", "a b")


def test_a_server_has_a_command_or_an_address() -> None:
    for wrong in ({}, {"command": "x", "url": "http://x"}, {"url": "ftp://x"}):
        with pytest.raises(ValidationError):
            McpServerSettings.model_validate(wrong)


def test_a_server_that_is_gone_stands_in_doctor() -> None:
    from hal9.cli.cluster.doctor import _daemon

    said = {"state": "ready", "pid": 1, "broker": "b", "tool_servers": {"docs": "connection refused"}}
    (found,) = [finding for finding in _daemon(said) if finding.what == "tool server"]
    assert found.state == "problem"
    assert found.text.startswith("docs: connection refused")
