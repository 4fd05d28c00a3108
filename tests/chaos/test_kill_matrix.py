"""kill -9 at every place where something has just become, or is about to become, durable.

Two nodes in two processes talk over the embedded broker. Each process is killed at one failpoint after the
other and started again, on both sides at once, and the broker is killed too. At the end every accepted task
has exactly one recorded handling and one recorded result, and nothing is left over.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hal9.bus import EmbeddedBroker, StoreLimits, node_user
from hal9.database import Place, look_into
from hal9.journal.failpoints import ENVIRONMENT_VARIABLE, FAILPOINTS
from tests.support.postgres import write_place

# `answers` sends only what its handlers return, `asks` gets no signal that cannot be handled.
NEVER_REACHED = {"asks": {"dead-lettered"}, "answers": {"outbox-before-commit", "outbox-committed"}}
ROLES = tuple(NEVER_REACHED)
PATIENCE = 200.0
Places = Callable[[str], Place]


class Node:
    """One role's process, killed and started again."""

    def __init__(self, role: str, directory: Path, place: Place, broker: EmbeddedBroker) -> None:
        self.role = role
        self.place = place
        self.directory = directory
        self.broker = broker
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, failpoint: str = "") -> None:
        address = self.broker.address("nodes")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.worker",
            self.role,
            str(self.directory),
            write_place(self.place),
            env={**os.environ, ENVIRONMENT_VARIABLE: failpoint},
            stdin=asyncio.subprocess.PIPE,
        )
        assert self.process.stdin is not None
        login = {"port": address.port, "user": address.username, "password": address.password}
        self.process.stdin.write(json.dumps(login).encode() + b"\n")
        await self.process.stdin.drain()

    async def die_at(self, failpoint: str) -> None:
        await self.start(failpoint)
        assert self.process is not None
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            pytest.fail(f"{self.role} never reached {failpoint}")
        assert code == -signal.SIGKILL, f"{self.role} ended with {code} instead of dying at {failpoint}"

    async def live_to_the_end(self) -> None:
        assert self.process is not None
        async with asyncio.timeout(120):
            assert await self.process.wait() == 0

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


def rows(place: Place, query: str) -> list[str]:
    with look_into(place) as connection:
        return [str(row[0]) for row in connection.execute(query)]


def check(places: Places) -> int:
    """Compare what was accepted with what was recorded; return the number of tasks."""
    accepted = rows(places("asks"), "SELECT note FROM asked")
    assert len(set(accepted)) == len(accepted)
    for role in ROLES:
        recorded = Counter(rows(places(role), "SELECT note FROM effects"))
        assert recorded == Counter(accepted), f"{role}: lost or doubled"
        assert rows(places(role), "SELECT id FROM outbox") == []
        assert set(rows(places(role), "SELECT state FROM inbox")) == {"done"}
    poisoned = [note for note in accepted if int(note[1:]) % 40 == 7]
    letters = rows(places("answers"), "SELECT signal_id FROM dead_letters WHERE stage = 'handle'")
    assert len(letters) == len(set(letters)) == len(poisoned)
    assert rows(places("asks"), "SELECT reason FROM dead_letters") == []
    return len(accepted)


async def run(
    directory: Path, places: Places, kills: dict[str, Sequence[str]], *, broker_kills: int, seed: int
) -> int:
    chance = random.Random(seed)
    async with EmbeddedBroker(
        directory / "broker",
        users=[node_user("test", "nodes")],
        limits=StoreLimits(ack_wait_seconds=1),
        websocket=False,
    ) as broker:
        nodes = {role: Node(role, directory, places(role), broker) for role in ROLES}
        try:

            async def torment(role: str) -> None:
                for failpoint in kills.get(role, ()):
                    # A healthy node resends but once, right after its start.
                    hit = 1 if failpoint == "resent" else chance.randint(1, 4)
                    await nodes[role].die_at(f"{failpoint}:{hit}")
                await nodes[role].start()

            async def torment_broker() -> None:
                for _ in range(broker_kills):
                    await asyncio.sleep(chance.uniform(1.0, 2.0))
                    assert broker.pid is not None
                    before = broker.restarts
                    os.kill(broker.pid, signal.SIGKILL)
                    async with asyncio.timeout(120):
                        while broker.restarts == before:
                            await asyncio.sleep(0.02)

            async with asyncio.TaskGroup() as group:
                for role in ROLES:
                    group.create_task(torment(role))
                group.create_task(torment_broker())
            (directory / "finish").touch()
            for role in ROLES:
                await nodes[role].live_to_the_end()
        finally:
            for one in nodes.values():
                one.kill()
    return check(places)


def matrix(seed: int) -> dict[str, Sequence[str]]:
    """Every failpoint that a role can reach, in another order each time."""
    chance = random.Random(seed)
    kills: dict[str, Sequence[str]] = {}
    for role in ROLES:
        points = [point for point in FAILPOINTS if point not in NEVER_REACHED[role]]
        chance.shuffle(points)
        # Resending needs something unconfirmed, which a predecessor that was killed has surely left.
        points.remove("resent")
        points.append("resent")
        kills[role] = points
    return kills


# The same transitions on both; on PostgreSQL it takes longer than a quick suite has.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow])]
)
async def test_nothing_is_lost_or_doubled_whoever_is_killed_wherever(tmp_path: Path, places: Places) -> None:
    assert await run(tmp_path, places, matrix(1), broker_kills=2, seed=1) > 20


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(100, 120))
async def test_the_kill_matrix_again_and_again(tmp_path: Path, places: Places, seed: int) -> None:
    assert await run(tmp_path, places, matrix(seed), broker_kills=4, seed=seed) > 20
