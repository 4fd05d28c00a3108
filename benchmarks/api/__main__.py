"""The API with an instant mind: passes per second over HTTP beside the client in Python, 1,000 streams, 200 pages.

Usage: scripts/bench api [--passes 300] [--concurrency 16] [--streams 1000] [--watchers 200] [--rounds 3]. The daemon
with its server is one process, clients are others. A pass over HTTP is: submit, follow the task's events to their
end, fetch the result. A pass in Python is: submit, wait, through the journal, from the same number of coroutines.
A watcher is an open page: it follows the changes, and fetches what changed after each.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import median, run_peer, table, write

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--watchers", type=int, default=200)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"python": [], "http": []}
    watched: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, HERE / "server.py", folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            ready = server.stdout.readline().split()  # type: ignore[union-attr]
            url, token, home = ready

            def side(name: str, *arguments: str) -> Any:
                given = (name, url, token, home, *arguments)
                return run_peer(Path(sys.executable), HERE / "clients.py", *given, PYTHONPATH=str(ROOT))

            for name in rates:
                side(name, str(min(50, options.passes)), str(options.concurrency))
            for _ in range(options.rounds):
                for name, found in rates.items():
                    found.append(side(name, str(options.passes), str(options.concurrency))["rate"])
            for _ in range(options.rounds):
                with watching(url, token, home, options.watchers):
                    watched.append(side("python", str(options.passes), str(options.concurrency))["rate"])
                rates["python"].append(side("python", str(options.passes), str(options.concurrency))["rate"])
            before = resident(server.pid)
            streams = side("streams", str(options.streams), str(server.pid))
        finally:
            server.terminate()
            server.wait(30)
    ratio = median(rates["http"]) / median(rates["python"])
    rows = [
        ("passes/s, client in Python", f"{median(rates['python']):.0f}", ""),
        ("passes/s over HTTP", f"{median(rates['http']):.0f}", f"{ratio:.2f}x of Python's (aim 0.7)"),
        ("event streams at once", str(streams["opened"]), f"all {streams['told']} were told the last event"),
        ("seconds until all were told", f"{streams['seconds']:.2f}", ""),
        (
            f"passes/s, {options.watchers} pages open",
            f"{median(watched):.0f}",
            f"{median(watched) / median(rates['python']):.2f}x of none open (aim 0.9)",
        ),
        (
            "RSS before, with streams",
            f"{before:.0f}, {streams['resident']:.0f} MB",
            "aim: 60 MB more at most",
        ),
    ]
    table("API, instant mind", ("what", "figure", ""), rows)
    write(
        "api", vars(options),
        {"rates": rates, "watched": watched, "ratio": ratio, "streams": streams, "rss_before_mb": before},
        "starlette", "uvicorn", "httpx",
    )  # fmt: skip


@contextlib.contextmanager
def watching(url: str, token: str, home: str, count: int) -> Iterator[None]:
    """So many open pages, in a process of their own."""
    command = [sys.executable, str(HERE / "clients.py"), "watchers", url, token, home, str(count), "0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "watching":
                raise SystemExit("the pages did not open")
            yield
        finally:
            process.terminate()
            process.wait(30)


def resident(pid: int) -> float:
    """Resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} is gone")


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"{time.monotonic() - begun:.0f} s")
