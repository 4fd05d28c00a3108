"""Random kills of daemon and broker while tasks are under way: what is lost, doubled, half done, left behind?

Usage: scripts/bench chaos [--rounds 300] [--tasks 10] [--minutes 10]. Every round gives a running cluster tasks
and kills the daemon, its broker or both with SIGKILL at a random moment (not at a prepared place), starts the
daemon again and waits for all tasks. Half of the homes send every signal over the broker. The model is an HTTP
server of this benchmark that keeps its own count of calls. Rounds that were done are kept in
benchmarks/results/chaos.jsonl: a run that is interrupted goes on where it was.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.chaos.server import CountingServer
from benchmarks.report import RESULTS, table, write
from hal9.budgets import BudgetStore
from hal9.bus import stop_survivor
from hal9.cluster import Home, connect, daemon_pid, init_home, read_status

ROOT = Path(__file__).parents[2]
LOG = RESULTS / "chaos.jsonl"
ROUNDS_PER_HOME = 20
STILL_SECONDS = 120.0
FILE = "def add(a, b):\n    return a + b\n"


class Cluster:
    """One home with its daemon as a process."""

    def __init__(self, folder: Path, server: CountingServer, *, everything: bool) -> None:
        self.home: Home = init_home(folder / "home")
        self.folder = folder
        self.server = server
        text = self.home.settings_file.read_text()
        text = text.replace("everything: false ", f"everything: {str(everything).lower()} ")
        self.home.settings_file.write_text(text.replace("auto                 #", f"{server.spec} #", 1))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.home.root.joinpath("daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hal9", "--home", str(self.home.root), "up", "--log-to-stderr"],
                cwd=ROOT,
                env={**os.environ, "HAL9_MODEL": self.server.spec},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> bool:
        return read_status(self.home).get("state") == "ready" and daemon_pid(self.home) is not None

    async def until(self, done: Any, what: str) -> None:
        """Wait as long as the journal still moves."""
        wal = self.home.state / "journal.db-wal"
        last, since = None, time.monotonic()
        while not done():
            with contextlib.suppress(FileNotFoundError):
                moved = (wal.stat().st_mtime_ns, self.server.calls)
                if moved != last:
                    last, since = moved, time.monotonic()
            if time.monotonic() - since > STILL_SECONDS:
                raise SystemExit(f"nothing moved for {STILL_SECONDS:.0f} s: {what}; home {self.home.root}")
            await asyncio.sleep(0.02)

    def kill_broker(self) -> bool:
        try:
            os.kill(int((self.home.broker / "pid").read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            return False
        return True

    def kill_daemon(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        stop_survivor(self.home.broker)

    def leftovers(self) -> list[str]:
        """Processes that still have this home in their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                    if str(self.folder) in line:
                        found.append(line)
        return found


async def one_round(cluster: Cluster, chance: random.Random, tasks: int, number: int) -> dict[str, Any]:
    ids: list[str] = []
    spaces: dict[str, Path] = {}
    began = time.monotonic()
    async with connect(cluster.home.root) as client:
        for one in range(tasks):
            if one % 2:
                ids.append(await client.submit(f"Round {number}: say {one}"))
                continue
            space = cluster.folder / f"space-{number}-{one}"
            space.mkdir()
            (space / "check.py").write_text("from adder import add\nassert add(2, 3) == 5\n")
            task_id = await client.submit(
                "Write add(a, b) in adder.py", workspace=space, check="python check.py"
            )
            ids.append(task_id)
            spaces[task_id] = space
    after = chance.uniform(0.0, 1.2)
    await asyncio.sleep(after)
    victim = chance.choice(("daemon", "daemon", "daemon", "broker", "both"))
    open_at_kill = sum(
        state not in ("done", "failed", "cancelled") for state in states(cluster, ids).values()
    )
    if victim != "daemon":
        cluster.kill_broker()
    if victim != "broker":
        cluster.kill_daemon()
        cluster.start()
    ended = ("done", "failed", "cancelled")
    await cluster.until(
        lambda: all(state in ended for state in states(cluster, ids).values()), f"round {number}"
    )
    found = states(cluster, ids)
    half = [
        str(space)
        for task_id, space in spaces.items()
        if (space / "adder.py").exists() and (space / "adder.py").read_text() != FILE
    ]
    unfinished = [
        t for t, space in spaces.items() if found[t] == "done" and not (space / "adder.py").exists()
    ]
    lost = [task_id for task_id in ids if found.get(task_id) != "done"] + unfinished
    return {
        "round": number,
        "victim": victim,
        "after": round(after, 3),
        "open_at_kill": open_at_kill,
        "lost": lost,
        "why": {task_id: story(cluster, task_id) for task_id in lost},
        "doubled": doubled(cluster, ids),
        "half": half,
        "seconds": round(time.monotonic() - began, 2),
    }


def states(cluster: Cluster, ids: list[str]) -> dict[str, str]:
    marks = ",".join("?" * len(ids))
    with contextlib.closing(sqlite3.connect(f"file:{cluster.home.journal}?mode=ro", uri=True)) as connection:
        return dict(connection.execute(f"SELECT id, state FROM tasks WHERE id IN ({marks})", ids).fetchall())


def story(cluster: Cluster, task_id: str) -> list[Any]:
    """How a lost task ended: its result and its steps."""
    with contextlib.closing(sqlite3.connect(f"file:{cluster.home.journal}?mode=ro", uri=True)) as connection:
        ended = connection.execute("SELECT state, stop_reason, result FROM tasks WHERE id = ?", (task_id,))
        steps = connection.execute(
            "SELECT neuron, body FROM steps WHERE task_id = ? ORDER BY seq", (task_id,)
        )
        return [*ended.fetchone(), *steps.fetchall()]


def doubled(cluster: Cluster, ids: list[str]) -> list[str]:
    """Tasks with a recorded effect that is there twice: each pass and each passed check belongs there once."""
    found = []
    with contextlib.closing(sqlite3.connect(f"file:{cluster.home.journal}?mode=ro", uri=True)) as connection:
        for task_id in ids:
            rows = connection.execute("SELECT neuron, body FROM steps WHERE task_id = ?", (task_id,))
            kinds = Counter((neuron, json.loads(body)["kind"]) for neuron, body in rows)
            if any(count > 1 for (_, kind), count in kinds.items() if kind in ("pass", "synthesise")):
                found.append(task_id)
    return found


async def one_home(chance: random.Random, options: argparse.Namespace, first: int, ends: float) -> int:
    everything = bool((first // ROUNDS_PER_HOME) % 2)
    number = first
    with (
        tempfile.TemporaryDirectory(prefix="hal9-chaos-") as folder,
        CountingServer(FILE, random.Random(first)) as server,
    ):
        cluster = Cluster(Path(folder), server, everything=everything)
        rows: list[dict[str, Any]] = []
        try:
            cluster.start()
            await cluster.until(cluster.ready, "the first start")
            while number < min(first + ROUNDS_PER_HOME, options.rounds) and time.monotonic() < ends:
                rows.append(await one_round(cluster, chance, options.tasks, number))
                number += 1
                print(json.dumps(rows[-1]), flush=True)
        finally:
            cluster.stop()
        left = cluster.leftovers()
        with BudgetStore(cluster.home.budgets) as book:
            book.recover()
            spent = book.totals()
        with contextlib.closing(sqlite3.connect(str(cluster.home.journal))) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
            letters = connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
        summary = {
            "everything": everything,
            "left": left,
            "calls_booked": spent.calls,
            "calls_served": server.calls,
            "journal": sound,
            "dead_letters": letters,
        }
        with LOG.open("a") as log:
            for row in rows:
                log.write(json.dumps({**row, "everything": everything}) + "\n")
            log.write(json.dumps({"home": first, **summary}) + "\n")
        print(json.dumps(summary), flush=True)
    return number


def summarise() -> None:
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    rounds, homes = [one for one in lines if "round" in one], [one for one in lines if "home" in one]
    figures = {}
    for everything in (False, True):
        mine = [one for one in rounds if one["everything"] == everything]
        at = [one for one in homes if one["everything"] == everything]
        name = "every signal over the broker" if everything else "signals in the journal"
        figures[name] = {
            "rounds": len(mine),
            "killed": dict(Counter(one["victim"] for one in mine)),
            "tasks open at the kill": sum(one["open_at_kill"] for one in mine),
            "lost": sum(len(one["lost"]) for one in mine),
            "doubled": sum(len(one["doubled"]) for one in mine),
            "half files": sum(len(one["half"]) for one in mine),
            "processes left": sum(len(one["left"]) for one in at),
            "calls served": sum(one["calls_served"] for one in at),
            "calls booked": sum(one["calls_booked"] for one in at),
            "unsound journals": sum(one["journal"] != "ok" for one in at),
        }
    columns = ["", *figures]
    rows = [(key, *(str(figures[name][key]) for name in figures)) for key in next(iter(figures.values()))]
    table("random kills", columns, rows)
    write("chaos", {"rounds": len(rounds)}, figures, "hal9")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no round after so long")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    done = (
        [json.loads(line)["round"] for line in LOG.read_text().splitlines() if '"round"' in line]
        if LOG.exists()
        else []
    )
    number = max(done, default=-1) + 1
    ends = time.monotonic() + options.minutes * 60
    while number < options.rounds and time.monotonic() < ends:
        number = await one_home(random.Random(options.seed * 10_000 + number), options, number, ends)
    summarise()


if __name__ == "__main__":
    asyncio.run(main())
