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
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hal9.limits import BudgetBook, Limit, Spend
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


async def _median_ms(call: Callable[[], Awaitable[Any]], calls: int) -> float:
    for _ in range(5):
        await call()
    times = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def clients(url: str, calls: int, folder: Path) -> dict[str, float]:
    """Median milliseconds a call, one after another."""
    import httpx
    import openai

    found: dict[str, float] = {}
    async with httpx.AsyncClient() as http:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 16}
        found["bare httpx"] = await _median_ms(lambda: http.post(f"{url}/chat/completions", json=body), calls)
    async with OpenAIMind(Endpoint(mind="m", base_url=url, model="m", key="k")) as wire:
        found["hal9 wire"] = await _median_ms(lambda: wire.think(ASK), calls)
    settings = MindSettings(environment={"OPENAI_API_KEY": "k"}, prices={"m": Price(1, 1)})
    limits = [Limit(kind="usd", scope="day", value=1e6), Limit(kind="tokens", scope="task", value=1e9)]
    with BudgetBook(folder / "book.db", limits) as book:
        async with open_mind(f"openai:{url}#m", settings=settings, budget=book) as whole:
            found["hal9 whole stack, budgeted"] = await _median_ms(lambda: whole.think(ASK), calls)
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as sdk:
        messages: Any = [{"role": "user", "content": "Hello?"}]
        found["openai SDK"] = await _median_ms(
            lambda: sdk.chat.completions.create(model="m", messages=messages, max_tokens=16), calls
        )
    async with LiteLLMMind("openai/m", base_url=url, key="k") as hosted:
        found["litellm (through hal9)"] = await _median_ms(lambda: hosted.think(ASK), calls)
    return found


def books(pairs: int, folder: Path) -> dict[str, float]:
    """Pairs a second."""
    limits = [
        Limit(kind=kind, scope=scope, value=1e12)
        for kind in ("tokens", "usd")
        for scope in ("task", "hour", "day")
    ]
    with BudgetBook(folder / "pairs.db", limits) as book:
        began = time.perf_counter()
        for number in range(pairs):
            held = book.reserve(str(number), "t", tokens=10, usd=0.1)
            book.settle(held, Spend(tokens=5, usd=0.05))
        ours = pairs / (time.perf_counter() - began)
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=NORMAL")
    raw.execute("CREATE TABLE calls (id TEXT PRIMARY KEY, tokens INTEGER)")
    began = time.perf_counter()
    for number in range(pairs):
        for statement in ("INSERT INTO calls VALUES (?, 10)", "UPDATE calls SET tokens = 5 WHERE id = ?"):
            raw.execute("BEGIN IMMEDIATE")
            raw.execute(statement, (str(number),))
            raw.execute("COMMIT")
    bare = pairs / (time.perf_counter() - began)
    raw.close()
    return {"hal9 budget book": ours, "bare SQLite, two transactions": bare}


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=2000)
    chosen = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Instant)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        calls = asyncio.run(
            clients(f"http://127.0.0.1:{server.server_address[1]}/v1", chosen.calls, Path(scratch))
        )
        pairs = books(chosen.pairs, Path(scratch))
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
