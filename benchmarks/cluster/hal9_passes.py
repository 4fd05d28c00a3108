"""One side: passes L4 -> L3 -> L2 and back through a running HAL9 daemon, everything journaled."""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path


async def main(passes: int, concurrency: int, everything: bool) -> None:
    os.environ["HAL9_MODEL"] = "scripted:benchmarks.cluster.hal9_passes:instant"
    from hal9.cluster import Daemon, init_home
    from hal9.cluster.submission import new_task
    from hal9.signals import TaskPayload

    with tempfile.TemporaryDirectory() as folder:
        home = init_home(Path(folder) / "home")
        text = home.settings_file.read_text().replace("concurrent_turns: 4 ", "concurrent_turns: 64 ")
        if everything:
            text = text.replace("everything: false ", "everything: true ")
        home.settings_file.write_text(text)
        async with Daemon(home) as daemon:
            latencies: list[float] = []

            async def one(number: int) -> None:
                begun = time.perf_counter()
                task = new_task(TaskPayload(objective=f"pass {number}"), now=time.time(), timeout_seconds=600)
                await daemon.scheduler.submit(task)
                done = await daemon.scheduler.wait(task.id)
                if done.state != "done":
                    raise SystemExit(f"pass {number} ended as {done.state}: {done.result}")
                latencies.append(time.perf_counter() - begun)

            async def worker(numbers: asyncio.Queue[int]) -> None:
                while not numbers.empty():
                    await one(numbers.get_nowait())

            async def run(count: int) -> float:
                numbers: asyncio.Queue[int] = asyncio.Queue()
                for number in range(count):
                    numbers.put_nowait(number)
                begun = time.perf_counter()
                await asyncio.gather(*(worker(numbers) for _ in range(concurrency)))
                return time.perf_counter() - begun

            await run(min(50, passes))
            latencies.clear()
            seconds = await run(passes)
    print(json.dumps({"seconds": seconds, "rate": passes / seconds, "latencies": latencies}))


def instant(request: object) -> str:
    """The instant mind: an answer that costs no time."""
    return "done"


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), "everything" in sys.argv[3:]))
