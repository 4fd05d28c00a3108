"""The local model: a real server process, a real model where it is in the cache."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hal9.errors.minds import (
    LocalMemoryShort,
    LocalStartFailed,
    MindClosed,
    MindContextExceeded,
    MindTimeout,
    MindUnreachable,
    RuntimeMissing,
)
from hal9.minds import (
    LocalMind,
    LocalSettings,
    Message,
    MindSettings,
    Request,
    RetryPolicy,
    find_model,
    is_installed,
    open_mind,
    running_servers,
)
from hal9.minds.local.server_handle import acquire, release
from hal9.minds.local.system_resources import available_memory, free_cores, usable_cores
from tests.minds.conftest import LOCAL_MODEL

pytestmark = pytest.mark.local_model

SMALL = LocalSettings(threads=1, context_tokens=2048, parallel=2)
ASK = Request((Message("user", "Count from one to five in words."),), max_tokens=40, temperature=0.0, seed=1)
LONG = Request((Message("user", "Write a very long story about a river."),), max_tokens=1500, seed=1)


@pytest.fixture(scope="module", autouse=True)
def _one_server_for_most_tests() -> Iterator[None]:
    """Keeps the shared server alive between tests, which saves loading the model for each."""
    model = find_model(LOCAL_MODEL)
    if not is_installed(model):
        yield
        return
    server = acquire("tests", model.path, SMALL)
    try:
        yield
    finally:
        release(model.path, SMALL, server)


async def _until_gone(pid: int) -> None:
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"process {pid} is still there")


async def test_it_answers_with_tokens_a_shape_and_its_cost(local_model: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "colour": {"type": "string", "maxLength": 20},
            "count": {"type": "integer", "maximum": 9},
        },
        "required": ["colour", "count"],
    }
    async with open_mind("local", settings=MindSettings(local=SMALL)) as mind:
        pieces: list[str] = []
        plain = await mind.think(ASK, on_token=pieces.append)
        assert "three" in plain.text.lower()
        assert "".join(pieces) == plain.text
        assert len(pieces) > 3
        assert plain.usage.usd == 0
        assert plain.usage.prompt_tokens > 10
        assert plain.usage.completion_tokens > 3

        ask = Request(
            (Message("user", "Name a colour and a count, as JSON."),), schema=schema, max_tokens=60, seed=1
        )
        shaped = await mind.think(ask)
        assert set(shaped.parsed) == {"colour", "count"}
        assert shaped.parsed["count"] <= 9

        chosen = await mind.think(Request(ASK.messages, grammar='root ::= "yes" | "no"', max_tokens=20))
        assert chosen.text in {"yes", "no"}

        cut = await mind.think(Request(ASK.messages, max_tokens=3))
        assert cut.stop_reason == "length"
        assert cut.usage.completion_tokens == 3


async def test_the_prefix_is_computed_once_and_the_seed_decides(local_model: Path) -> None:
    system = Message("system", "You are a careful engineer. " * 30)
    async with LocalMind(SMALL) as mind:
        texts = []
        for _ in range(2):
            warm = Request((system, Message("user", "Name a river.")), max_tokens=8, temperature=0.9, seed=7)
            reply = await mind.think(warm)
            texts.append(reply.text)
        assert texts[0] == texts[1]
        other = await mind.think(Request((system, Message("user", "Name a city.")), max_tokens=4))
        assert other.usage.cached_tokens > 150, "a new question after the same instructions"


async def test_quotes_are_exact(local_model: Path) -> None:
    async with LocalMind(SMALL) as mind:
        quote = await mind.quote(ASK)
        reply = await mind.think(ASK)
    assert quote.tokens == reply.usage.prompt_tokens + ASK.max_tokens
    assert quote.usd == 0


async def test_minds_of_one_process_share_one_server(local_model: Path) -> None:
    before = running_servers()
    own = LocalSettings(threads=1, context_tokens=512, parallel=2)
    async with LocalMind(own) as one:
        await one.warm()
        async with LocalMind(own) as two:
            replies = await asyncio.gather(one.think(ASK), two.think(ASK))
            assert replies[0].text == replies[1].text
            assert one.server_pid == two.server_pid
            assert set(running_servers()) - set(before) == {(str(local_model), one.server_pid)}
        assert one.server_pid is not None, "the first mind still needs it"
        pid = one.server_pid
    assert running_servers() == before
    await _until_gone(pid)
    with pytest.raises(MindClosed):
        await one.think(ASK)


async def test_a_server_killed_in_the_middle_is_started_anew(local_model: Path) -> None:
    async with LocalMind(SMALL) as mind:
        started = asyncio.Event()
        task = asyncio.ensure_future(mind.think(LONG, on_token=lambda _piece: started.set()))
        await started.wait()
        pid = mind.server_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(MindUnreachable, match="killed by signal 9"):
            await task
        assert "five" in (await mind.think(ASK)).text.lower()
        assert mind.server_pid not in {None, pid}


async def test_the_whole_stack_hides_the_kill(local_model: Path) -> None:
    settings = MindSettings(local=SMALL, retries=RetryPolicy(first_wait_seconds=0.01))
    async with LocalMind(SMALL) as watcher, open_mind("local", settings=settings) as mind:
        started = asyncio.Event()
        task = asyncio.ensure_future(mind.think(ASK, on_token=lambda _piece: started.set()))
        await started.wait()
        assert watcher.server_pid is not None
        os.kill(watcher.server_pid, signal.SIGKILL)
        assert "five" in (await task).text.lower()


async def test_a_timeout_ends_the_computing_too(local_model: Path) -> None:
    async with LocalMind(LocalSettings(threads=1, context_tokens=2048, parallel=1)) as mind:
        await mind.warm()
        # A schema that cannot be met early, else a quick machine may be done in time.
        schema = {
            "type": "object",
            "properties": {"n": {"type": "array", "items": {"type": "string"}, "minItems": 600}},
            "required": ["n"],
            "additionalProperties": False,
        }
        with pytest.raises(MindTimeout):
            await mind.think(Request(LONG.messages, max_tokens=1500, timeout_seconds=1.0, schema=schema))
        # With room for one request only, this would wait for the long story's end: minutes of the processor.
        before = _processor_seconds(mind)
        await mind.think(Request(ASK.messages, max_tokens=2, timeout_seconds=200))
        assert _processor_seconds(mind) - before < 10


def _processor_seconds(mind: LocalMind) -> float:
    """What the model's process has used, whatever else runs."""
    fields = Path(f"/proc/{mind.server_pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _long_prompt(salt: str) -> Request:
    words = " ".join(f"{salt}{number}" for number in range(250))
    return Request((Message("user", words),), max_tokens=1, temperature=0.0, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_a_question_given_up_while_its_prompt_is_read_blocks_nobody(local_model: Path) -> None:
    async with LocalMind(LocalSettings(threads=1, context_tokens=2048, parallel=1)) as mind:
        await mind.warm()
        short = Request((Message("user", "Say yes."),), max_tokens=1, temperature=0.0, seed=1)
        begun = time.monotonic()
        await mind.think(_long_prompt("alone"))
        whole = time.monotonic() - begun
        begun = time.monotonic()
        await mind.think(short)
        alone = time.monotonic() - begun
        given_up = asyncio.create_task(mind.think(_long_prompt("other")))
        await asyncio.sleep(whole / 10)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        begun = time.monotonic()
        await mind.think(short)
        # Read in one piece, nine tenths of the prompt would still stand before it.
        assert time.monotonic() - begun - alone < whole / 2


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_one_answer_goes_on_while_another_prompt_is_read(local_model: Path) -> None:
    seen: list[float] = []
    async with LocalMind(SMALL) as mind:
        await mind.warm()
        telling = asyncio.create_task(mind.think(LONG, on_token=lambda _piece: seen.append(time.monotonic())))
        while len(seen) < 3:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        await mind.think(_long_prompt("beside"))
        ended = time.monotonic()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    within = [begun, *(one for one in seen if begun < one < ended), ended]
    assert max(after - before for before, after in itertools.pairwise(within)) < (ended - begun) / 2


async def test_a_prompt_too_long_says_how_long(local_model: Path) -> None:
    async with LocalMind(SMALL) as mind:
        with pytest.raises(MindContextExceeded) as refused:
            await mind.think(Request((Message("user", "word " * 5000),)))
    assert refused.value.context_tokens == 2048
    assert refused.value.prompt_tokens is not None
    assert refused.value.prompt_tokens > 5000


async def test_strangers_are_turned_away(local_model: Path) -> None:
    async with LocalMind(SMALL) as mind:
        await mind.warm()
        (address,) = mind._clients
        assert address.url.startswith("http://127.0.0.1:")
        async with httpx.AsyncClient(timeout=60.0) as stranger:
            answer = await stranger.post(address.url + "/v1/chat/completions", json={"messages": []})
        assert answer.status_code == 401
        assert mind.server_pid is not None
        command = Path(f"/proc/{mind.server_pid}/cmdline").read_bytes()
        assert address.key.encode() not in command


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_the_server_dies_with_its_parent(local_model: Path, how: signal.Signals) -> None:
    code = textwrap.dedent("""
        import asyncio
        from hal9.minds import find_model, is_installed, LocalMind, LocalSettings
        async def main():
            async with LocalMind(LocalSettings(threads=1, context_tokens=2048)) as mind:
                await mind.warm()
                print(mind.server_pid, flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(await asyncio.to_thread(parent.stdout.readline))
        parent.send_signal(how)
    await _until_gone(child)


async def test_too_little_memory_says_so(local_model: Path) -> None:
    for limit in (450_000_000, 1_000_000_000):
        tight = LocalSettings(threads=1, memory_limit_bytes=limit)
        async with LocalMind(tight) as mind:
            with pytest.raises(LocalMemoryShort, match="smaller model"):
                await mind.think(ASK)


async def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="pip install 'hal9-cluster[local]'")
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(os.urandom(4096))
    async with LocalMind(LocalSettings(model=str(bad))) as mind:
        with pytest.raises(LocalStartFailed, match="GGUF"):
            await mind.think(ASK)


async def test_a_memory_shortage_is_found_before_loading(
    local_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.minds.local.server_handle.available_memory", lambda: 100_000_000)
    async with LocalMind(LocalSettings(threads=1)) as mind:
        with pytest.raises(LocalMemoryShort, match=r"0\.1 GB are free"):
            await mind.think(ASK)
        assert mind.server_pid is None


def _server_process(environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "hal9.minds.local.server_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def test_the_child_says_when_its_runtime_is_missing(tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('not here')\n")
    with _server_process({"PYTHONPATH": str(tmp_path)}) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # Its input stays open: closing it is the order to end.
        process.stdin.write(json.dumps({"parent": os.getpid()}) + "\n")
        process.stdin.flush()
        output = process.stdout.readline()
    assert json.loads(output) == {"failed": "runtime", "detail": "not here"}


async def test_a_runtime_that_does_not_import_is_told_with_its_extra(
    local_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with LocalMind(LocalSettings(threads=1)) as mind:
        with pytest.raises(RuntimeMissing, match=r"hal9-cluster\[local\]"):
            await mind.think(ASK)


def test_a_child_of_nobody_ends_at_once() -> None:
    with _server_process() as process:
        process.communicate(json.dumps({"parent": 1}) + "\n", timeout=120)
    assert process.returncode == 0


def test_the_machine_is_measured(tmp_path: Path) -> None:
    assert 1 <= free_cores(0.05) <= usable_cores()
    memory = available_memory()
    assert memory is None or memory > 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    assert available_memory(tmp_path / "proc", tmp_path) == 4_096_000
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2500000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert available_memory(tmp_path / "proc", tmp_path) == 600_000
    assert available_memory(tmp_path / "nowhere") is None
