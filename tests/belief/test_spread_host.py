"""Nodes of one population on several hosts: each has its own, and a host that goes loses them to the others."""

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from hal9.belief import LocalHost, PipeHost, Policy, SpreadHost
from hal9.belief.synthetic_problems import SyntheticProblem, peaks
from hal9.belief.turn import TurnReply, TurnRequest
from hal9.errors.belief import NodeHostFailed
from tests.belief.support import bench_of, log_of, population_on

SEED = 1
STEPS = 400
ROOT = Path(__file__).parents[2]


def land() -> SyntheticProblem:
    return peaks(2, SEED)


def policy() -> Policy:
    return Policy(patience=300)


class Counting:
    """A local host that counts its nodes, and is gone after so many turns."""

    def __init__(self, turns: int = 10**6) -> None:
        self.left = turns
        self.nodes: dict[str, int] = {}
        self.host = LocalHost(bench_of(land(), policy()))

    async def turn(self, request: TurnRequest) -> TurnReply:
        if self.left <= 0:
            raise NodeHostFailed(host="counting", detail="gone")
        self.left -= 1
        self.nodes[request.state.id] = self.nodes.get(request.state.id, 0) + 1
        return await self.host.turn(request)


async def local_log() -> list[str]:
    local = population_on(land(), policy=policy(), seed=5)
    await local.run(stepping="synchronous", max_steps=STEPS)
    assert len(local.nodes) > 1, "one node would show nothing"
    return log_of(local)


async def test_every_host_has_nodes_of_its_own_and_the_log_is_that_of_one() -> None:
    hosts = [Counting(), Counting()]
    spread = population_on(land(), policy=policy(), seed=5, host=SpreadHost(hosts))
    await spread.run(stepping="synchronous", max_steps=STEPS)
    assert log_of(spread) == await local_log()
    assert all(host.nodes for host in hosts)
    assert not set(hosts[0].nodes) & set(hosts[1].nodes)


async def test_a_host_that_goes_loses_its_nodes_to_the_other() -> None:
    hosts = [Counting(turns=6), Counting()]
    spread = population_on(land(), policy=policy(), seed=5, host=SpreadHost(hosts))
    await spread.run(stepping="synchronous", max_steps=STEPS)
    assert log_of(spread) == await local_log()
    assert set(hosts[0].nodes) <= set(hosts[1].nodes)


async def test_the_last_host_that_goes_is_told() -> None:
    spread = population_on(land(), policy=policy(), seed=5, host=SpreadHost([Counting(turns=2)]))
    with pytest.raises(NodeHostFailed, match="gone"):
        await spread.run(stepping="synchronous", max_steps=STEPS)


async def test_over_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    what = json.dumps({"make": "peaks", "args": [2, SEED], "options": {}, "policy": asdict(policy())})
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(PipeHost([sys.executable, "-m", "tests.belief.pipe_child", what]))
            for _ in range(2)
        ]
        spread = population_on(land(), policy=policy(), seed=5, host=SpreadHost(hosts))
        await spread.run(stepping="synchronous", max_steps=STEPS)
    assert log_of(spread) == await local_log()
