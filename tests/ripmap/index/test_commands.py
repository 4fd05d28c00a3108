"""The command line and the MCP server, as real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import eventually_now

from .conftest import write_files

RIPMAP = [sys.executable, "-m", "hal9.ripmap"]
TASK = "the cart has no items when I checkout"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RIPMAP_CACHE_DIR": str(tmp_path / "cache"),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def ripmap(shop: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*RIPMAP, *arguments],
            capture_output=True,
            text=True,
            cwd=shop,
            env=environment,
            input=stdin,
            timeout=60,
        )

    return run


def test_an_empty_map_says_so_and_json_is_asked_for_as_everywhere(
    ripmap: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    said = ripmap(str(tmp_path / "empty"), "--json")
    assert json.loads(said.stdout)["files"] == []
    assert "has no file that counts" in said.stderr
    assert json.loads(ripmap(".", "--task", TASK, "--json").stdout)["files"]


def test_a_task_of_everyday_words_and_one_of_unknown_words(ripmap: Callable[..., Any], shop: Path) -> None:
    write_files(shop, {"add.py": "def add(a, b):\n    return a + b\n"})
    assert ripmap(".", "--task", "add", "--format", "paths").stdout.split()[0] == "add.py"
    unknown = ripmap(".", "--task", "zzzz qqqq", "--format", "paths")
    assert "shop/cart.py" in unknown.stdout
    assert "nothing in the task speaks for a file" in unknown.stderr


def test_a_cache_that_cannot_be_written_is_told_and_the_map_is_drawn(
    ripmap: Callable[..., Any], tmp_path: Path
) -> None:
    """As in a container or a job whose home is read-only."""
    (tmp_path / "file").write_text("")
    said = ripmap(".", "--task", TASK, "--format", "paths", "--cache-dir", str(tmp_path / "file" / "below"))
    assert said.returncode == 0, said.stderr
    assert said.stdout.split()[0] == "shop/cart.py"
    assert said.stderr.count("The cache folder") == 1


def test_without_git_the_map_says_so_in_words(
    shop: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (shop / ".git").mkdir(exist_ok=True)
    (shop / ".git" / "HEAD").write_text(40 * "1" + "\n")
    said = subprocess.run(
        [*RIPMAP, ".", "--task", TASK, "--format", "paths"],
        capture_output=True, text=True, cwd=shop, env=environment | {"PATH": str(tmp_path / "bin")}, timeout=60,
    )  # fmt: skip
    assert said.stdout.split()[0] == "shop/cart.py"
    assert "there is no git on PATH" in said.stderr
    assert "Errno" not in said.stderr


def test_map_formats(ripmap: Callable[..., Any], shop: Path, environment: dict[str, str]) -> None:
    plain = ripmap(".", "--task", TASK, "--why", "--stats", "--tokens", "500")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.startswith("shop/cart.py")
    assert "7 files: 7 read now" in plain.stderr
    assert "\x1b" not in plain.stdout
    found = json.loads(ripmap(str(shop), "--task", "-", "--format", "json", stdin=TASK).stdout)
    assert found["files"][0]["path"] == "shop/cart.py"
    assert (
        ripmap("--task", TASK, "--format", "paths", "--ext", "py", "--limit", "1").stdout == "shop/cart.py\n"
    )
    assert "### `shop/cart.py`" in ripmap("--task", TASK, "--format", "md", "--no-git", "--no-cache").stdout
    for terminal in ("xterm-256color", "dumb"):
        environment["TERM"] = terminal
        assert "\x1b[" in ripmap("--task", TASK, "--color").stdout
    (shop.parent / "task.txt").write_text(TASK)
    assert ripmap("--task-file", str(shop.parent / "task.txt")).stdout.startswith("shop/cart.py")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 1, "no such folder"),
        (["--tokens", "0"], 2, "--tokens"),
        (["--tokens", "5"], 1, "at least 48 tokens"),
        (["--format", "xml"], 2, "xml"),
        (["--task", "a", "--task-file", "b"], 2, "exclude each other"),
        (["--task-file", "nowhere.txt"], 2, "nowhere.txt"),
        (["--params", "nowhere.json"], 2, "nowhere.json"),
        (["--tokenizer", "nowhere.json"], 1, "nowhere.json"),
        (["explain", "Nothing.here", "--task", "x"], 1, "Nothing.here"),
        (["explain", "shop/cart.py", "--root", "nowhere"], 1, "no such folder"),
        (["eval", "nowhere"], 2, "nowhere"),
    ],
)
def test_mistakes_are_named_without_a_traceback(
    ripmap: Callable[..., Any], arguments: list[str], code: int, text: str
) -> None:
    done = ripmap(*arguments)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_explain_index_and_params(ripmap: Callable[..., Any]) -> None:
    assert "shop/cart.py: rank 1" in ripmap("explain", "Cart.checkout", "--task", TASK).stdout
    assert "7 files" in ripmap("index", ".").stderr
    assert "pagerank_alpha" in ripmap("params").stdout
    assert "properties" in json.loads(ripmap("params", "--schema").stdout)


def test_closed_pipe_is_quiet(shop: Path, environment: dict[str, str]) -> None:
    running = subprocess.Popen(
        [*RIPMAP, ".", "--task", TASK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=shop,
        env=environment,
    )
    assert running.stdout is not None
    running.stdout.close()
    _, errors = running.communicate(timeout=120)
    assert b"Traceback" not in errors


@pytest.fixture
def watching(shop: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*RIPMAP, "index", ".", "--watch"], stderr=subprocess.PIPE, text=True, cwd=shop, env=environment
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "watching" in line:
            break
    yield process
    process.terminate()
    process.communicate(timeout=120)


def test_a_watching_process_answers_and_follows(
    ripmap: Callable[..., Any], shop: Path, watching: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    alone = subprocess.run(
        [*RIPMAP, ".", "--task", TASK], capture_output=True, text=True, cwd=shop, timeout=60,
        env={**environment, "RIPMAP_NO_WARM": "1"},
    )  # fmt: skip
    assert ripmap(".", "--task", TASK).stdout == alone.stdout
    assert ripmap(".", "--tokens", "5").returncode == 1
    assert "another process" in ripmap("index", ".", "--watch").stderr
    write_files(shop, {"shop/invoice.py": "class Invoice:\n    def send_by_post(self): ...\n"})
    eventually_now(
        lambda: "shop/invoice.py" in ripmap(".", "--task", "send_by_post of Invoice").stdout,
        "the new file is found",
    )
    watching.terminate()
    watching.wait(timeout=120)
    assert ripmap(".", "--task", TASK).stdout.startswith("shop/")


async def test_mcp_server(shop: Path, environment: dict[str, str]) -> None:
    mcp = pytest.importorskip("mcp")
    parameters = mcp.StdioServerParameters(
        command=sys.executable, args=["-m", "hal9.ripmap", "serve", "--root", str(shop)], env=environment
    )
    async with mcp.Client(parameters) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"rank", "map", "explain", "symbol"}
        assert all(tool.description for tool in tools.values())
        ranked = (await client.call_tool("rank", {"task": TASK, "limit": 2})).structured_content
        assert ranked["files"][0]["path"] == "shop/cart.py"
        assert len(ranked["files"]) <= 2
        drawn = await client.call_tool("map", {"task": TASK, "tokens": 300})
        assert drawn.content[0].text.startswith("shop/cart.py")
        told = await client.call_tool("explain", {"target": "Cart.checkout", "task": TASK})
        assert "symbol rank" in told.content[0].text
        found = (await client.call_tool("symbol", {"name": "Cart.checkout"})).structured_content
        assert "return total" in found["definitions"][0]["source"]
        for arguments, text in (
            ({"repository": "/etc"}, "outside the allowed roots"),
            ({"repository": "../"}, "outside the allowed roots"),
            ({"repository": "nowhere"}, "no such folder"),
            ({"repository": "README.md"}, "not a folder"),
            ({"tokens": 3}, "at least 48"),
        ):
            refused = await client.call_tool("map", arguments)
            assert refused.is_error
            assert text in refused.content[0].text
        misspelt = await client.call_tool("rank", {"task": TASK, "limits": 2})
        assert misspelt.is_error
        assert "limits" in misspelt.content[0].text

        unknown = await client.call_tool("symbol", {"name": "Nothing"})
        assert "no definition called" in unknown.content[0].text


def test_mcp_answers_what_was_asked_before_its_input_ended(shop: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("mcp")
    client = {"name": "test", "version": "1"}
    start = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": start},
        {"method": "notifications/initialized"},
        *(
            {
                "id": 2 + number,
                "method": "tools/call",
                "params": {"name": "rank", "arguments": {"task": TASK}},
            }
            for number in range(3)
        ),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "hal9.ripmap", "serve", "--root", str(shop)],
        input="".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages),
        capture_output=True, text=True, env=environment, check=True, timeout=120,
    )  # fmt: skip
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == {1, 2, 3, 4}
    assert answers[4]["structuredContent"]["files"][0]["path"] == "shop/cart.py"


def test_explain_takes_the_repository_as_an_argument(shop: Path, environment: dict[str, str]) -> None:
    def explain(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "hal9.ripmap", "explain", "shop/cart.py", *arguments, "--task", TASK]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert explain(str(shop)).stdout == explain("--root", str(shop)).stdout != ""
    twice = explain(str(shop), "--root", str(shop))
    assert twice.returncode == 2
    assert "once" in twice.stderr


def test_rerank_asks_what_is_installed(ripmap: Callable[..., Any]) -> None:
    plain = ripmap(".", "--task", TASK, "--format", "paths").stdout
    again = ripmap(".", "--task", TASK, "--format", "paths", "--rerank", "hashing")
    assert again.returncode == 0, again.stderr
    assert sorted(again.stdout.splitlines()) == sorted(plain.splitlines())
    unknown = ripmap(".", "--task", TASK, "--rerank", "no-such-mind")
    assert unknown.returncode != 0
    assert "no-such-mind" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_preset_of_the_repository_applies_its_heuristics_and_warns(
    ripmap: Callable[..., Any], shop: Path
) -> None:
    folder = shop / ".ripmap" / "presets"
    folder.mkdir(parents=True)
    (folder / "ours.json").write_text(
        json.dumps(
            {
                "description": "documents first",
                "heuristics": [
                    {
                        "when": [["files", ">", 0]],
                        "set": {"role_docs": 1.0, "focus_decay": 0.8},
                        "because": "x",
                    }
                ],
                "warnings": [{"when": [["focus_decay", ">", 0.7]], "text": "focus reaches far"}],
            }
        )
    )
    found = ripmap(".", "--task", TASK, "--preset", "ours", "--format", "paths")
    assert found.returncode == 0, found.stderr
    assert "ripmap: focus reaches far" in found.stderr
    missing = ripmap(".", "--task", TASK, "--preset", "theirs")
    assert missing.returncode != 0
    assert "ours" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("exlpain", "shop/cart.py"), "did you mean `ripmap explain shop/cart.py`?"),
        ((".", "the cart is empty"), "ripmap . --task 'the cart is empty'"),
    ],
)
def test_what_was_probably_meant_is_told(
    ripmap: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], hint: str
) -> None:
    refused = ripmap(*arguments)
    assert (refused.returncode, hint in refused.stderr, refused.stdout) == (2, True, "")
