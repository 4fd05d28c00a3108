"""What a call costs beyond the model: our client, our stack, litellm, the openai SDK; one instant server.

    python -m benchmarks.minds.overhead [--calls 200]

Also the budget book: reserve and settle pairs a second, beside the bare SQLite transactions they stand on.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hal9.budgets import BudgetStore, Kind, Limit, LimitPeriod, Spend
from hal9.minds import Endpoint, LiteLLMMind, Message, MindSettings, OpenAIMind, Price, Request, open_mind

RESULTS = Path(__file__).parents[1] / "results"
ASK = Request((Message("user", "Hello?"),), max_tokens=16)
ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
).encode()


class _Instant(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this, the small answer waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)


async def clients(url: str, calls: int, folder: Path) -> dict[str, float]:
    """Median milliseconds a call; the clients take turns, so that a busy moment falls on all of them."""
    import httpx
    import openai

    settings = MindSettings(environment={"OPENAI_API_KEY": "k"}, prices={"m": Price(1, 1)})
    limits = [Limit(kind="usd", scope="day", value=1e6), Limit(kind="tokens", scope="task", value=1e9)]
    messages: Any = [{"role": "user", "content": "Hello?"}]
    body = {"model": "m", "messages": messages, "max_tokens": 16}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())
        wire = await stack.enter_async_context(
            OpenAIMind(Endpoint(mind="m", base_url=url, model="m", key="k"))
        )
        book = stack.enter_context(BudgetStore(folder / "book.db", limits))
        whole = await stack.enter_async_context(open_mind(f"openai:{url}#m", settings=settings, budget=book))
        sdk = await stack.enter_async_context(openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0))
        hosted = await stack.enter_async_context(LiteLLMMind("openai/m", base_url=url, key="k"))
        turns: dict[str, Callable[[], Awaitable[Any]]] = {
            "bare httpx": lambda: http.post(f"{url}/chat/completions", json=body),
            "hal9 wire": lambda: wire.think(ASK),
            "hal9 whole stack, budgeted": lambda: whole.think(ASK),
            "openai SDK": lambda: sdk.chat.completions.create(model="m", messages=messages, max_tokens=16),
            "litellm (through hal9)": lambda: hosted.think(ASK),
        }
        times: dict[str, list[float]] = {name: [] for name in turns}
        for number in range(calls + 5):
            for name, call in turns.items():
                began = time.perf_counter()
                await call()
                if number >= 5:
                    times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) * 1000 for name, found in times.items()}


def books(rounds: int, folder: Path) -> dict[str, float]:
    """Pairs a second by the median of rounds of 20, taken in turns."""
    kinds: tuple[Kind, ...] = ("tokens", "usd")
    scopes: tuple[LimitPeriod, ...] = ("task", "hour", "day")
    limits = [Limit(kind=kind, scope=scope, value=1e9) for kind in kinds for scope in scopes]
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=NORMAL")
    raw.execute("CREATE TABLE calls (id TEXT PRIMARY KEY, tokens INTEGER)")
    ours, bare = [], []
    with BudgetStore(folder / "pairs.db", limits) as book:
        for turn in range(rounds):
            began = time.perf_counter()
            for number in range(20):
                held = book.reserve(f"{turn}-{number}", "t", tokens=10, usd=0.1)
                book.settle(held, Spend(tokens=5, usd=0.05))
            middle = time.perf_counter()
            for number in range(20):
                for statement in (
                    "INSERT INTO calls VALUES (?, 10)",
                    "UPDATE calls SET tokens = 5 WHERE id = ?",
                ):
                    raw.execute("BEGIN IMMEDIATE")
                    raw.execute(statement, (f"{turn}-{number}",))
                    raw.execute("COMMIT")
            ours.append(20 / (middle - began))
            bare.append(20 / (time.perf_counter() - middle))
    raw.close()
    return {
        "hal9 budget book, 6 limits": statistics.median(ours),
        "bare SQLite, 2 transactions": statistics.median(bare),
    }


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=100)
    chosen = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Instant)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        calls = asyncio.run(
            clients(f"http://127.0.0.1:{server.server_address[1]}/v1", chosen.calls, Path(scratch))
        )
        pairs = books(chosen.rounds, Path(scratch))
    server.shutdown()
    for name, milliseconds in calls.items():
        print(f"{name:28} {milliseconds:7.2f} ms a call   {milliseconds / calls['bare httpx']:5.2f} x httpx")
    for name, rate in pairs.items():
        print(f"{name:28} {rate:7.0f} reserve+settle a second")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "minds-overhead.json").write_text(
        json.dumps(
            {
                "at": datetime.now(UTC).isoformat(),
                "machine": platform.platform(),
                "cpus": os.cpu_count(),
                "load": os.getloadavg(),
                "python": platform.python_version(),
                "versions": {name: version(name) for name in ("httpx", "openai", "litellm")},
                "calls_ms": calls,
                "pairs_per_second": pairs,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
