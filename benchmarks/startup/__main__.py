"""How quickly things are there: `hal9 --help`, the daemon without a model, its memory when idle, importing hal9.

Usage: scripts/bench startup [--rounds 7].
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report import median, table, write
from hal9.cluster import init_home, read_status, stop_daemon

BIN = Path(sys.executable).parent


def timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def daemon_round() -> tuple[float, float, float]:
    """Seconds until ready, resident MB of the daemon and of the broker after a moment of idling."""
    with tempfile.TemporaryDirectory() as folder:
        home = init_home(Path(folder) / "home")
        command = [sys.executable, "-m", "hal9", "--home", str(home.root), "up", "--log-to-stderr"]
        environ = {**os.environ, "HAL9_MODEL": "scripted:benchmarks.cluster.hal9_passes:instant"}
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        while read_status(home).get("state") != "ready":
            time.sleep(0.005)
        ready = time.perf_counter() - begun
        time.sleep(2)
        daemon = psutil.Process(process.pid).memory_info().rss / 1e6
        broker = sum(child.memory_info().rss for child in psutil.Process(process.pid).children()) / 1e6
        stop_daemon(home, seconds=30)
        process.wait()
    return ready, daemon, broker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    helps = [timed([str(BIN / "hal9"), "--help"]) for _ in range(rounds)]
    imports = [timed([sys.executable, "-c", "import hal9"]) for _ in range(rounds)]
    bare = [timed([sys.executable, "-c", ""]) for _ in range(rounds)]
    daemons = [daemon_round() for _ in range(rounds)]
    figures = {
        "hal9 --help, s": helps,
        "import hal9, s": imports,
        "python -c '', s": bare,
        "daemon ready, s": [one[0] for one in daemons],
        "idle daemon, MB": [one[1] for one in daemons],
        "idle broker, MB": [one[2] for one in daemons],
    }
    rows = [
        (name, f"{median(values):.3f}", f"{min(values):.3f}", f"{max(values):.3f}")
        for name, values in figures.items()
    ]
    table("start", ("", "median", "min", "max"), rows)
    write("startup", {"rounds": rounds}, figures)


if __name__ == "__main__":
    main()
