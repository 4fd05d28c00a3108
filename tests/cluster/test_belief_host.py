"""A population whose turns run in a second process, over a real broker."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hal9.belief import Config, LocalHost, Policy, Population
from hal9.belief.space import Choice
from hal9.belief.synthetic_problems import SyntheticProblem, rugged
from hal9.bus import EmbeddedBroker, neuron_user, node_user
from hal9.cluster.belief_host import BusHost
from hal9.errors.belief import NodeHostFailed
from tests.belief.support import bench_of, log_of, population_on

ROOT = Path(__file__).parents[2]
SEED = 8
PATIENCE = 40


def land() -> SyntheticProblem:
    return rugged(SEED)


def policy() -> Policy:
    return Policy(patience=PATIENCE)


def snapshot(population: Population[Config, Choice]) -> tuple[object, ...]:
    nodes = {name: node.to_json() for name, node in population.nodes.items()}
    return log_of(population), nodes, population.spent, population.learners()


@asynccontextmanager
async def far_side(broker: EmbeddedBroker, folder: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    address = broker.address("far")
    what = {
        "address": {
            "host": address.host,
            "port": address.port,
            "username": address.username,
            "password": address.password,
        },
        "seed": SEED,
        "patience": PATIENCE,
        "journal": str(folder / "far.db"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.belief_child", json.dumps(what)], cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait, 30)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    users = [node_user("test", "population"), neuron_user("test", "far")]
    async with EmbeddedBroker(tmp_path / "broker", users=users, websocket=False) as running:
        yield running


def host(broker: EmbeddedBroker, folder: Path, *, patience: float = 30.0) -> BusHost:
    return BusHost(
        broker.address("population"),
        "far",
        journal=folder / "near.db",
        cluster="test",
        patience=patience,
    )


async def test_a_population_over_the_bus_keeps_the_very_log_of_a_local_one(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    local = population_on(land(), policy=policy(), seed=5, host=LocalHost(bench_of(land(), policy())))
    expected = await local.run(stepping="synchronous", max_steps=60)
    async with far_side(broker, tmp_path), host(broker, tmp_path) as far:
        remote = population_on(land(), policy=policy(), seed=5, host=far)
        found = await remote.run(stepping="synchronous", max_steps=60)
    assert log_of(remote) == log_of(local)
    assert len(log_of(local)) > 20
    assert found == expected


async def test_killing_the_far_side_leaves_the_population_as_it_was(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    async with host_and_far(broker, tmp_path) as (far, process):
        population = population_on(land(), policy=policy(), seed=5, host=far)
        await population.run(stepping="synchronous", max_steps=3)
        before = snapshot(population)
        process.kill()
        with pytest.raises(NodeHostFailed, match="far.*offline"):
            await population.run(stepping="synchronous", max_steps=20)
        assert snapshot(population) == before
        async with far_side(broker, tmp_path):
            # The same population goes on where it was.
            async with asyncio.timeout(120):
                while far._gone:
                    await asyncio.sleep(0.05)
            spent = population.spent
            await population.run(stepping="synchronous", max_steps=population.step_number + 5)
            assert population.spent > spent


@asynccontextmanager
async def host_and_far(
    broker: EmbeddedBroker, folder: Path
) -> AsyncIterator[tuple[BusHost, subprocess.Popen[bytes]]]:
    async with far_side(broker, folder) as process, host(broker, folder) as far:
        yield far, process


async def test_nobody_there_is_said_so(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with pytest.raises(NodeHostFailed, match="nobody serves turns"):
        async with host(broker, tmp_path, patience=0.5):
            raise AssertionError("entered without the other side")


async def test_a_host_that_is_not_open_says_so(broker: EmbeddedBroker, tmp_path: Path) -> None:
    population = population_on(land(), policy=policy(), seed=5, host=host(broker, tmp_path))
    with pytest.raises(NodeHostFailed, match="not open"):
        await population.run(stepping="synchronous", max_steps=1)
