"""A long queue: what submitting, looking and working cost beside many queued tasks; what an idle daemon costs.

Usage: python -m benchmarks.scale.queue [--tasks 100000] [--seconds 20]. Tasks are submitted to a home whose daemon
is down, a thousand first and then the rest; the commands are timed by their calls in an empty home and in the full
one, in turn. Then the daemon comes up, with an instant mind, and works for some seconds beside the queue.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.report import table, write
from hal9.cluster import Cluster, Home, connect, init_home
from hal9.database import beside
from tests.support.daemons import daemon_process, wait_ready

_AT_ONCE = 16
_LOOKS = 15
_MIND = "scripted:benchmarks.cluster.hal9_passes:instant"
_MB = 1024 * 1024


async def submit_many(cluster: Cluster, count: int) -> float:
    """Submit tasks, some at once; returns tasks per second."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            await cluster.submit(f"say {number}")

    begun = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(_AT_ONCE)))
    return count / (time.perf_counter() - begun)


async def look_costs(empty: Cluster, full: Cluster) -> dict[str, float]:
    """Times of the reading calls in the full home over those in the empty one, medians of paired runs."""
    await submit_many(empty, 20)  # as many as are listed

    async def status(cluster: Cluster) -> None:
        await cluster.status()

    async def tasks(cluster: Cluster) -> None:
        await cluster.tasks(limit=20)

    async def trace(cluster: Cluster) -> None:
        await cluster.steps(await cluster.resolve("last"))

    looks: dict[str, Callable[[Cluster], Awaitable[None]]] = {
        "status": status,
        "tasks": tasks,
        "trace": trace,
    }
    found = {}
    for name, look in looks.items():
        ratios = []
        for _ in range(_LOOKS):
            times = []
            for cluster in (empty, full):
                begun = time.perf_counter()
                await look(cluster)
                times.append(time.perf_counter() - begun)
            ratios.append(times[1] / times[0])
        found[name] = statistics.median(ratios)
    return found


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def spent(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def watch_daemon(home: Home, seconds: float) -> dict[str, float]:
    """A daemon's memory, share of a core, largest log file, and tasks it did in some seconds."""
    with daemon_process(home, HAL9_MODEL=_MIND) as process:
        await asyncio.to_thread(wait_ready, home, process)
        await asyncio.sleep(min(seconds, 5.0))
        begun, cpu, log, memory = time.perf_counter(), spent(process.pid), 0, 0.0
        while time.perf_counter() - begun < seconds:
            log = max(log, beside(home.journal, "-wal").stat().st_size)
            memory = max(memory, resident(process.pid))
            await asyncio.sleep(0.1)
        passed = time.perf_counter() - begun
        async with connect(home.root) as cluster:
            done = len(await cluster.tasks(limit=1_000_000, state="done"))
        return {
            "MB": memory,
            "core": (spent(process.pid) - cpu) / passed,
            "log MB": log / _MB,
            "done": float(done),
        }


async def main(count: int, seconds: float) -> None:
    """Run all of it and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        empty, full = init_home(Path(folder) / "empty"), init_home(Path(folder) / "full")
        async with connect(empty.root) as nothing, connect(full.root) as cluster:
            first = await submit_many(cluster, min(1000, count))
            rate = await submit_many(cluster, count)
            last = await submit_many(cluster, min(1000, count))
            submitted = beside(full.journal, "-wal").stat().st_size / _MB
            looks = await look_costs(nothing, cluster)
        idle = await watch_daemon(empty, seconds)
        busy = await watch_daemon(full, seconds)
    figures = {
        "submits/s at first": round(first),
        "submits/s over all": round(rate),
        "submits/s with all queued": round(last),
        "log after submitting, MB": round(submitted, 1),
        **{f"{name}, full over empty": round(ratio, 2) for name, ratio in looks.items()},
        "idle daemon, MB": round(idle["MB"]),
        "idle daemon, % of a core": round(100 * idle["core"], 2),
        "daemon beside the queue, MB": round(busy["MB"]),
        "its log at most, MB": round(busy["log MB"], 1),
        "tasks done beside the queue": round(busy["done"]),
    }
    table(f"{count} queued tasks", ["what", "figure"], list(figures.items()))
    write("scale_queue", {"tasks": count, "seconds": seconds}, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A long queue.")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    asyncio.run(main(given.tasks, given.seconds))
