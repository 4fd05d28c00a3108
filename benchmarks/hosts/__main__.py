"""Three hosts that share a cluster, in networks of their own, and what may happen to them while tasks are under way.

Usage: scripts/bench hosts [--rounds 200] [--tasks 8] [--minutes 9]. As root: makes network namespaces, a bridge, small
disks, and removes them. Each host runs a daemon and a node of a NATS cluster; all share one PostgreSQL. The
clocks of two hosts are five minutes off, one either way (libfaketime). Every round gives tasks, does one harm at
a random moment, mends it, and waits for all of them; a rejected answer teaches a rule meanwhile. Rounds that were
done are kept in benchmarks/results/hosts.jsonl: a run that is interrupted goes on where it was.
"""

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.chaos.__main__ import FILE
from benchmarks.chaos.server import CountingServer
from benchmarks.hosts.cluster import HostMachine, Hosts
from benchmarks.report import RESULTS, table, write
from hal9.budgets import BudgetStore
from hal9.cluster import connect
from hal9.database import Connection, look_into
from hal9.errors.base import Hal9Error
from hal9.memory import MemoryStore, RuleStore
from tests.support.namespaces import Network
from tests.support.postgres import PostgresServer

LOG = RESULTS / "hosts.jsonl"
ENDED = ("done", "failed", "cancelled")
ROUNDS_PER_CLUSTER = 25
STILL_SECONDS = 150.0
HARMS = (
    "host killed",
    "NATS leader killed",
    "PostgreSQL killed",
    "cut off both ways",
    "hears nothing",
    "is not heard",
    "5% loss and 200 ms",
    "disk full",
)


class Lost(Exception):
    """Something did not happen although it was waited for long."""


def look(hosts: Hosts, read: Any) -> Any:
    with contextlib.closing(contextlib.ExitStack()) as stack:
        return read(stack.enter_context(look_into(hosts.control.journal)))


def states(hosts: Hosts, ids: list[str]) -> dict[str, str]:
    def read(connection: Connection) -> dict[str, str]:
        rows = connection.execute(
            "SELECT id, state FROM tasks WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        ).fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    found: dict[str, str] = look(hosts, read)
    return found


def doubled(hosts: Hosts, ids: list[str]) -> list[str]:
    """Tasks whose record says twice what can be only once: a start, an end, a pass of a neuron."""

    def read(connection: Connection) -> list[str]:
        wanted = (json.dumps(ids),)
        events = connection.execute(
            "SELECT task_id, state FROM events WHERE state IS NOT NULL "
            "AND task_id IN (SELECT value FROM json_each(?))",
            wanted,
        ).fetchall()
        steps = connection.execute(
            "SELECT task_id, neuron, body FROM steps WHERE task_id IN (SELECT value FROM json_each(?))",
            wanted,
        ).fetchall()
        told = Counter((row[0], "end" if row[1] in ENDED else row[1]) for row in events)
        kinds = Counter((row[0], row[1], json.loads(row[2])["kind"]) for row in steps)
        twice = {key[0] for key, count in told.items() if count > 1}
        twice |= {key[0] for key, n in kinds.items() if n > 1 and key[2] in ("pass", "synthesise")}
        return sorted(twice)

    found: list[str] = look(hosts, read)
    return found


async def until(hosts: Hosts, check: Any, what: str, moves: Any = lambda: None) -> None:
    """Wait until a check holds, as long as anything moves; a database that is away is asked again."""
    last, since = None, time.monotonic()
    while True:
        with contextlib.suppress(Hal9Error, OSError):
            if await asyncio.to_thread(check):
                return
        hosts.supervise()
        now = moves()
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > STILL_SECONDS:
            raise Lost(f"nothing moved for {STILL_SECONDS:.0f} s: {what}")
        await asyncio.sleep(0.2)


async def persist(call: Any) -> Any:
    """Do something with a client until the database answers."""
    ends = time.monotonic() + STILL_SECONDS
    while True:
        try:
            return await call()
        except (Hal9Error, OSError) as error:
            if time.monotonic() > ends:
                raise Lost(f"{error}") from error
            await asyncio.sleep(0.3)


async def harm(hosts: Hosts, name: str, machine: HostMachine, chance: random.Random) -> None:
    """Do one harm and mend it."""
    lasts = chance.uniform(2.0, 14.0)
    if name == "host killed":
        machine.kill("daemon", "nats")
        await asyncio.sleep(chance.uniform(0.0, 9.0))
        hosts.start_nats(machine)
        machine.start_daemon(hosts.model)
    elif name == "NATS leader killed":
        leader = await asyncio.to_thread(hosts.nats_leader) or machine
        leader.kill("nats")
        await asyncio.sleep(chance.uniform(0.0, 9.0))
        hosts.start_nats(leader)
    elif name == "PostgreSQL killed":
        hosts.server.kill()
        await asyncio.sleep(chance.uniform(0.1, 5.0))
        await asyncio.to_thread(hosts.server.start)
    elif name == "disk full":
        await asyncio.to_thread(machine.fill)
        await asyncio.sleep(lasts)
        machine.empty()
    else:
        chains = {
            "cut off both ways": ("INPUT", "OUTPUT"),
            "hears nothing": ("INPUT",),
            "is not heard": ("OUTPUT",),
        }
        if name in chains:
            machine.net.cut(*chains[name])
        else:
            machine.net.make_bad(delay=0.2, loss=0.05)
        await asyncio.sleep(lasts)
        machine.net.heal()


async def give(hosts: Hosts, number: int, tasks: int) -> dict[str, Path | None]:
    """Submit tasks; every third changes a folder and must pass a check there."""
    given: dict[str, Path | None] = {}
    async with connect(hosts.control.root) as client:
        for one in range(tasks):
            if one % 3:
                given[await client.submit(f"Round {number}: say {one}")] = None
                continue
            space = hosts.folder / f"space-{number}-{one}"
            space.mkdir()
            (space / "check.py").write_text("from adder import add\nassert add(2, 3) == 5\n")
            task_id = await client.submit(
                "Write add(a, b) in adder.py", workspace=space, check="python check.py"
            )
            given[task_id] = space
    return given


async def teach(hosts: Hosts, task_id: str, sentence: str) -> None:
    async def ask() -> None:
        async with connect(hosts.control.root) as client:
            body = {"note": "", "verdict": "reject", "why": sentence}
            await client.request("feedback", body, task_id=task_id)

    await persist(ask)


def taught(hosts: Hosts, sentence: str) -> int:
    with MemoryStore(hosts.control.memory) as store:
        return sum(sentence in one.rule for one in RuleStore(store).all())


async def one_round(
    hosts: Hosts, server: CountingServer, chance: random.Random, number: int, tasks: int, name: str
) -> dict[str, Any]:
    """Give tasks, do one harm, and say what became of them."""
    began = time.monotonic()
    machine = chance.choice(hosts.machines)
    given = await persist(lambda: give(hosts, number, tasks))
    ids = list(given)
    moves = lambda: server.calls  # noqa: E731
    await until(
        hosts,
        lambda: any(s == "done" for s in states(hosts, ids).values()),
        f"round {number}: the first",
        moves,
    )
    sentence = f"Always name round {number} in the answer."
    first = next(key for key, state in states(hosts, ids).items() if state == "done")
    await teach(hosts, first, sentence)
    await asyncio.sleep(chance.uniform(0.0, 1.0))
    open_then = sum(state not in ENDED for state in states(hosts, ids).values())
    await harm(hosts, name, machine, chance)
    row: dict[str, Any] = {"round": number, "harm": name, "host": machine.number, "open": open_then}
    try:
        await until(
            hosts,
            lambda: len(states(hosts, ids)) == len(ids) and set(states(hosts, ids).values()) <= set(ENDED),
            f"round {number}: all tasks",
            lambda: (server.calls, sorted(states(hosts, ids).items())),
        )
        await until(hosts, lambda: taught(hosts, sentence) > 0, f"round {number}: the rule", moves)
        await until(
            hosts, lambda: all(one.ready for one in hosts.machines), f"round {number}: all hosts", moves
        )
    except Lost as error:
        row["stuck"] = str(error)
    found = await persist(lambda: asyncio.to_thread(states, hosts, ids))
    row["lost"] = [one for one in ids if found.get(one) not in ENDED]
    row["failed"] = {
        one: await asyncio.to_thread(why, hosts, one) for one in ids if found.get(one) == "failed"
    }
    row["doubled"] = await asyncio.to_thread(doubled, hosts, ids)
    row["rules"] = await asyncio.to_thread(taught, hosts, sentence)
    row["half"] = [
        str(space)
        for key, space in given.items()
        if space is not None
        and (found[key] == "done")
        != ((space / "adder.py").exists() and (space / "adder.py").read_text() == FILE)
    ]
    row["seconds"] = round(time.monotonic() - began, 1)
    return row


def why(hosts: Hosts, task_id: str) -> str:
    def read(connection: Connection) -> str:
        row = connection.execute("SELECT result FROM tasks WHERE id = ?", (task_id,)).fetchone()
        return str(row[0])[:600]

    found: str = look(hosts, read)
    return found


async def come_up(hosts: Hosts) -> None:
    """Start brokers and daemons, and wait for them."""
    await asyncio.to_thread(hosts.open)
    await until(hosts, hosts.nats_is_up, "the NATS cluster")
    hosts.start_daemons()
    await until(hosts, lambda: all(one.ready for one in hosts.machines), "the first start")


async def one_cluster(options: argparse.Namespace, first: int, ends: float) -> int:
    chance = random.Random(options.seed * 10_000 + first)
    number = first
    with (
        tempfile.TemporaryDirectory(prefix="hal9-hosts-") as folder,
        Network(Path(folder), 3) as network,
        PostgresServer(durable=True, host=network.address) as database,
        CountingServer(FILE, random.Random(first), host=network.address) as server,
    ):
        hosts = Hosts(Path(folder), network, database, server.spec)
        try:
            await come_up(hosts)
            while number < min(first + ROUNDS_PER_CLUSTER, options.rounds) and time.monotonic() < ends:
                name = HARMS[number % len(HARMS)]
                row = await one_round(hosts, server, chance, number, options.tasks, name)
                number += 1
                keep(row)
                if "stuck" in row:
                    break
            await asyncio.sleep(3)
            with BudgetStore(hosts.control.budgets) as book:
                booked = book.totals().calls
            keep(
                {
                    "cluster": first,
                    "rounds": number - first,
                    "served": server.calls,
                    "booked": booked,
                    "restarts": hosts.restarts,
                }
            )
        except BaseException:
            for machine in hosts.machines:
                print(machine.disk.with_suffix(".log").read_text()[-1500:], flush=True)
            raise
        finally:
            if options.logs:
                for machine in hosts.machines:
                    target = Path(options.logs) / f"{first}-{machine.number}.log"
                    target.write_bytes(machine.disk.with_suffix(".log").read_bytes())
            await asyncio.to_thread(hosts.close)
    return number


def keep(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)
    with LOG.open("a") as log:
        log.write(json.dumps(row) + "\n")


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def summarise() -> None:
    rounds = [one for one in kept() if "round" in one]
    clusters = [one for one in kept() if "cluster" in one]
    rows = []
    for name in HARMS:
        mine = [one for one in rounds if one["harm"] == name]
        rows.append(
            (
                name,
                len(mine),
                sum(one["open"] for one in mine),
                *(sum(len(one[key]) for one in mine) for key in ("lost", "failed", "doubled", "half")),
                sum(one["rules"] != 1 for one in mine),
                sum("stuck" in one for one in mine),
            )
        )
    table(
        "three hosts",
        ["harm", "rounds", "open then", "lost", "failed", "doubled", "half", "rule not once", "stuck"],
        rows,
    )
    served, booked = (sum(one[key] for one in clusters) for key in ("served", "booked"))
    print(f"{len(rounds)} rounds; calls served {served}, on the books {booked}")
    write("hosts", {"rounds": len(rounds)}, {"rows": rows, "served": served, "booked": booked}, "psycopg")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=600.0, help="begin no round after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", help="a folder for the daemons' logs")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    number = max((one["round"] for one in kept() if "round" in one), default=-1) + 1
    ends = time.monotonic() + options.minutes * 60
    while number < options.rounds and time.monotonic() < ends:
        number = await one_cluster(options, number, ends)
    summarise()


if __name__ == "__main__":
    asyncio.run(main())
