"""Command-line agents, with executables of our own in their place on PATH."""

import asyncio
import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from hal9.budgets import BudgetStore, Limit
from hal9.errors.budgets import LimitExceeded, PriceUnknown
from hal9.errors.minds import AgentFailed, AgentMissing, MindReplyInvalid, MindTimeout
from hal9.minds import (
    AGENTS,
    AgentMind,
    AgentSettings,
    Message,
    MindSettings,
    Price,
    Request,
    RetryPolicy,
    open_mind,
)
from tests.support.waiting import eventually

ASK = Request((Message("system", "Be brief."), Message("user", "Größe?")), timeout_seconds=60, repairs=0)

CLAUDE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "four",
    "total_cost_usd": 0.0125,
    "usage": {
        "input_tokens": 3,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 50,
        "output_tokens": 7,
    },
}
GEMINI = {
    "response": "four",
    "stats": {
        "models": {
            "pro": {"tokens": {"prompt": 10, "candidates": 4, "thoughts": 6, "cached": 2, "total": 20}},
            "flash": {"tokens": {"prompt": 5, "candidates": 1, "cached": 0, "total": 6}},
        }
    },
}
CODEX = [
    {"type": "thread.started", "thread_id": "x"},
    {"type": "item.completed", "item": {"type": "reasoning", "text": "hm"}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "three"}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "four"}},
    {"type": "turn.completed", "usage": {"input_tokens": 20, "cached_input_tokens": 8, "output_tokens": 9}},
]
OUTPUTS = {
    "claude": json.dumps(CLAUDE),
    "gemini": json.dumps(GEMINI, indent=1),
    "codex": "a line of noise\n" + "\n".join(json.dumps(event) for event in CODEX),
}


class Bench:
    """A folder on PATH with agents that do what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        self.note = folder / "note.json"

    def install(self, name: str, body: str) -> None:
        """`body` is Python run after the prompt was read; `prompt` and `output` are defined."""
        program = textwrap.dedent(
            f"""\
            #!{sys.executable}
            import json, os, pathlib, signal, subprocess, sys, time
            if sys.argv[1:] == ["--version"]:
                print("9.8.7 (fake)"); sys.exit()
            prompt = sys.stdin.read()
            note = pathlib.Path({str(self.note)!r})
            note.write_text(json.dumps({{"prompt": prompt, "argv": sys.argv[1:], "cwd": os.getcwd()}}))
            output = {OUTPUTS[name]!r}
            """
        ) + textwrap.dedent(body)
        path = self.folder / name
        path.write_text(program)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def mind(self, name: str, **settings: object) -> AgentMind:
        return AgentMind(AGENTS[name], AgentSettings(environment=self.environment, **settings))  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "bin"
    folder.mkdir()
    return Bench(folder)


@pytest.mark.parametrize(
    ("name", "prompt", "completion", "cached", "usd"),
    [("claude", 153, 7, 50, 0.0125), ("gemini", 15, 11, 2, None), ("codex", 20, 9, 8, None)],
)
async def test_an_agent_answers_and_its_cost_is_read(
    bench: Bench, name: str, prompt: int, completion: int, cached: int, usd: float | None
) -> None:
    bench.install(name, "print(output)")
    async with bench.mind(name, model="big") as mind:
        pieces: list[str] = []
        reply = await mind.think(ASK, on_token=pieces.append)
    assert reply.text == "four"
    assert pieces == ["four"]
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (prompt, completion, cached)
    assert usage.usd == usd
    assert usage.estimated is False
    assert mind.version == "9.8.7 (fake)"
    note = json.loads(bench.note.read_text())
    assert "Be brief." in note["prompt"]
    assert "Größe?" in note["prompt"]
    assert "big" in note["argv"]
    assert "Größe?" not in " ".join(note["argv"]), "prompts go by standard input: they may be long or secret"
    assert not Path(note["cwd"]).exists(), "it ran in a fresh folder, which is gone"


def test_codex_tells_what_the_whole_conversation_used() -> None:
    second = {
        "type": "turn.completed",
        "usage": {"input_tokens": 50, "cached_input_tokens": 9, "output_tokens": 12},
    }
    answer = AGENTS["codex"].read("\n".join(json.dumps(event) for event in (*CODEX, second)))
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (50, 12, 9)


async def test_a_schema_is_asked_for_and_validated(bench: Bench) -> None:
    bench.install("gemini", """print(json.dumps({"response": 'Sure:\\n```json\\n{"a": 5}\\n```'}))""")
    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}, "required": ["a"]}
    settings = MindSettings(agent=AgentSettings(environment=bench.environment))
    async with open_mind("agent:gemini", settings=settings) as mind:
        reply = await mind.think(Request((Message("user", "?"),), schema=schema))
    assert reply.parsed == {"a": 3}
    assert '"maximum":3' in json.loads(bench.note.read_text())["prompt"]
    assert reply.usage.estimated is True, "this fake told no tokens"


async def test_a_missing_agent_says_what_to_install(tmp_path: Path) -> None:
    mind = AgentMind(AGENTS["codex"], AgentSettings(environment={"PATH": str(tmp_path)}))
    with pytest.raises(AgentMissing, match="codex"):
        async with mind:
            pass


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("claude", "print('Invalid API key', file=sys.stderr); sys.exit(1)", "Invalid API key"),
        (
            "claude",
            "print(json.dumps({'is_error': True, 'result': 'Please run /login'})); sys.exit(1)",
            "/login",
        ),
        ("claude", "print(json.dumps({'subtype': 'error_max_turns'}))", "error_max_turns"),
        ("gemini", "print(json.dumps({'error': {'message': 'quota is used up'}})); sys.exit(1)", "quota"),
        (
            "codex",
            "print(json.dumps({'type': 'turn.failed', 'error': {'message': 'usage limit'}}))",
            "usage limit",
        ),
        ("codex", "os.kill(os.getpid(), signal.SIGSEGV)", "status -11"),
    ],
)
async def test_an_agents_failure_is_told_in_its_own_words(
    bench: Bench, name: str, body: str, told: str
) -> None:
    bench.install(name, body)
    async with bench.mind(name) as mind:
        with pytest.raises(AgentFailed, match=told):
            await mind.think(ASK)


@pytest.mark.parametrize("body", ["print('Hello! How can I help?')", "print('[]')", "pass", "print('{}')"])
@pytest.mark.parametrize("name", ["claude", "gemini", "codex"])
async def test_output_that_cannot_be_read_is_no_answer(bench: Bench, name: str, body: str) -> None:
    bench.install(name, body)
    async with bench.mind(name) as mind:
        with pytest.raises(MindReplyInvalid):
            await mind.think(ASK)


_LINGERS = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
note.write_text(json.dumps([os.getpid(), child.pid]))
"""


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state in "ZX"


async def _all_gone(bench: Bench) -> bool:
    pids = json.loads(bench.note.read_text())
    await eventually(lambda: all(_gone(pid) for pid in pids), "the whole group is gone")
    return True


@pytest.mark.parametrize("stubborn", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
async def test_when_time_is_over_the_whole_group_is_killed(bench: Bench, stubborn: str) -> None:
    bench.install("claude", stubborn + _LINGERS + "time.sleep(60)")
    async with bench.mind("claude") as mind:
        # The program sleeps for a minute: had it been waited for, it would have answered.
        with pytest.raises(MindTimeout):
            await mind.think(Request(ASK.messages, timeout_seconds=1.5))
    assert await _all_gone(bench)


async def test_a_cancelled_call_kills_the_group(bench: Bench) -> None:
    bench.install("codex", _LINGERS + "time.sleep(60)")
    async with bench.mind("codex") as mind:
        task = asyncio.ensure_future(mind.think(ASK))
        while not bench.note.exists() or not bench.note.read_text().startswith("["):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await _all_gone(bench)


async def test_an_agent_that_floods_its_output_is_stopped(bench: Bench) -> None:
    bench.install("gemini", "while True: sys.stdout.write('x' * 1_000_000)")
    async with bench.mind("gemini") as mind:
        with pytest.raises(AgentFailed, match="printed more"):
            await mind.think(ASK)


async def test_an_agent_that_does_not_read_its_prompt_still_answers(bench: Bench) -> None:
    bench.install("claude", "print(output)")
    program = (bench.folder / "claude").read_text().replace("sys.stdin.read()", "''")
    (bench.folder / "claude").write_text(program)
    async with bench.mind("claude") as mind:
        reply = await mind.think(Request((Message("user", "long " * 500_000),), timeout_seconds=20))
    assert reply.text == "four"


async def test_money_is_limited_by_what_the_agent_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.install("claude", "print(output)")
    with BudgetStore(tmp_path / "b.db", [Limit(kind="usd", scope="day", value=0.5)]) as book:
        for usd_per_call in (None, 0.4):
            agent = AgentSettings(environment=bench.environment, usd_per_call=usd_per_call)
            settings = MindSettings(agent=agent, retries=RetryPolicy(attempts=1))
            async with open_mind("agent:claude", settings=settings, budget=book) as mind:
                if usd_per_call is None:
                    with pytest.raises(PriceUnknown):
                        await mind.think(ASK)
                else:
                    await mind.think(ASK)
        assert book.totals().usd == 0.0125
    argv = json.loads(bench.note.read_text())["argv"]
    assert argv[argv.index("--max-budget-usd") + 1] == "0.4"


async def test_a_price_makes_an_agent_affordable_as_the_error_says(bench: Bench, tmp_path: Path) -> None:
    bench.install("claude", "print(output)")
    agent = AgentSettings(environment=bench.environment)
    with BudgetStore(tmp_path / "b.db", [Limit(kind="usd", scope="day", value=0.5)]) as book:
        for price, paid in ((Price(0.0, 0.0), 0.0), (Price(1.0, 10.0), 0.000223)):
            settings = MindSettings(agent=agent, prices={"agent:claude": price})
            async with open_mind("agent:claude", settings=settings, budget=book) as mind:
                reply = await mind.think(ASK)
            assert reply.usage.usd == pytest.approx(paid)


async def test_an_agent_gets_the_variables_that_are_named_for_it(bench: Bench) -> None:
    bench.environment |= {"MY_SERVER_KEY": "k", "ANOTHER_KEY": "k"}
    bench.install("codex", "note.write_text(' '.join(os.environ)); print(output)")
    async with bench.mind("codex", variables=("MY_SERVER_KEY",)) as mind:
        await mind.think(ASK)
    got = bench.note.read_text().split()
    assert "MY_SERVER_KEY" in got
    assert "ANOTHER_KEY" not in got


async def test_an_agent_that_tells_no_cost_is_charged_the_most_of_a_call(
    bench: Bench, tmp_path: Path
) -> None:
    bench.install("codex", "print(output)")
    agent = AgentSettings(environment=bench.environment, usd_per_call=0.2)
    with BudgetStore(tmp_path / "b.db", [Limit(kind="usd", scope="day", value=0.5)]) as book:
        async with open_mind("agent:codex", settings=MindSettings(agent=agent), budget=book) as mind:
            await mind.think(ASK)
            await mind.think(ASK)
            with pytest.raises(LimitExceeded):
                await mind.think(ASK)
        assert book.totals().usd == pytest.approx(0.4)
