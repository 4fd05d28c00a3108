"""What a daemon costs that has nothing to do: memory, share of a core, and the same of its broker.

Usage: python -m benchmarks.scale.idle [--seconds 60].
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.report import table, write
from benchmarks.scale.queue import resident, spent
from hal9.cluster import init_home
from tests.support.daemons import daemon_process, wait_ready

_SETTLES = 8.0
_MIND = "scripted:benchmarks.cluster.hal9_passes:instant"


async def main(seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        home = init_home(Path(folder) / "home")
        with daemon_process(home, HAL9_MODEL=_MIND) as process:
            await asyncio.to_thread(wait_ready, home, process)
            await asyncio.sleep(_SETTLES)
            listed = subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
            )
            children = [int(one) for one in listed.stdout.split()]
            begun, own = time.perf_counter(), spent(process.pid)
            other = sum(map(spent, children))
            await asyncio.sleep(seconds)
            passed = time.perf_counter() - begun
            figures = {
                "daemon, MB": round(resident(process.pid), 1),
                "daemon, % of a core": round(100 * (spent(process.pid) - own) / passed, 2),
                "broker, MB": round(sum(map(resident, children)), 1),
                "broker, % of a core": round(100 * (sum(map(spent, children)) - other) / passed, 2),
            }
    table("idle", ["what", "figure"], list(figures.items()))
    write("scale_idle", {"seconds": seconds}, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asyncio.run(main(parser.parse_args().seconds))
