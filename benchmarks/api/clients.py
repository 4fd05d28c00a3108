"""The clients' side: passes in Python or over HTTP, event streams, open pages; prints figures as JSON."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx


async def timed(one: Callable[[int], Awaitable[None]], passes: int, concurrency: int) -> None:
    numbers = iter(range(passes))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    print(json.dumps({"rate": passes / (time.perf_counter() - begun)}))


async def python(home: str, passes: int, concurrency: int) -> None:
    from hal9.cluster import connect

    async with connect(home) as cluster:

        async def one(number: int) -> None:
            task = await cluster.wait(await cluster.submit(f"pass {number}"))
            if task.state != "done":
                raise SystemExit(f"pass {number} ended as {task.state}")

        await timed(one, passes, concurrency)


async def http(client: httpx.AsyncClient, passes: int, concurrency: int) -> None:
    async def one(number: int) -> None:
        accepted = await client.post("/v1/tasks", json={"objective": f"pass {number}"})
        task_id = accepted.json()["id"]
        async with client.stream("GET", f"/v1/tasks/{task_id}/events") as response:
            async for _ in response.aiter_lines():
                pass
        found = (await client.get(f"/v1/tasks/{task_id}")).json()
        if found["state"] != "done":
            raise SystemExit(f"pass {number} ended as {found['state']}")

    await timed(one, passes, concurrency)


async def streams(client: httpx.AsyncClient, count: int, pid: int) -> None:
    from benchmarks.api.__main__ import resident

    opened, told, wanted = 0, 0, ""
    everybody = asyncio.Event()

    async def listen() -> None:
        nonlocal opened, told
        async with client.stream("GET", "/v1/events") as response:
            async for line in response.aiter_lines():
                if line.startswith("retry"):
                    opened += 1
                    if opened == count:
                        everybody.set()
                if wanted and wanted in line and '"done"' in line:
                    told += 1
                    return

    listeners = [asyncio.create_task(listen()) for _ in range(count)]
    await asyncio.wait_for(everybody.wait(), 120)
    held = resident(pid)
    begun = time.perf_counter()
    wanted = (await client.post("/v1/tasks", json={"objective": "the last event"})).json()["id"]
    await asyncio.wait_for(asyncio.gather(*listeners), 120)
    seconds = time.perf_counter() - begun
    print(json.dumps({"opened": opened, "told": told, "seconds": seconds, "resident": held}))


async def watchers(client: httpx.AsyncClient, count: int, path: str) -> None:
    """Do what so many open pages do: follow the changes, fetch the part that changes after each; until ended."""
    fetched, opened = 0, 0

    async def watch() -> None:
        nonlocal fetched, opened
        async with client.stream("GET", "/ui/changes?seen=") as response:
            async for line in response.aiter_lines():
                if line.startswith("retry"):
                    opened += 1
                    if opened == count:
                        print("watching", flush=True)
                elif line.startswith("event: changed"):
                    answer = await client.get(path, headers={"X-Part": "main"})
                    if answer.status_code != 200:
                        raise SystemExit(f"{path} answers {answer.status_code}")
                    fetched += 1

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(watch()) for _ in range(count)]
    await asyncio.wait([asyncio.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    print(json.dumps({"fetched": fetched}), flush=True)


async def main(what: str, url: str, token: str, home: str, first: int, second: int) -> None:
    limits = httpx.Limits(max_connections=5000, max_keepalive_connections=200)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as client:
        if what == "python":
            await python(home, first, second)
        elif what == "http":
            await http(client, first, second)
        elif what == "watchers":
            await watchers(client, first, "/")
        else:
            await streams(client, first, second)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    what, url, token, home, first, second = sys.argv[1:7]
    asyncio.run(main(what, url, token, home, int(first), int(second)))
