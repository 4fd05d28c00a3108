"""What status, `up` and the directory say of the broker and of who is on it."""

import os
import signal
from pathlib import Path

import pytest

from hal9.clock import ManualClock
from hal9.cluster import Daemon, Home, init_home
from hal9.cluster.directory import NeuronDirectory
from hal9.errors.bus import BrokerUnfit
from hal9.errors.cluster import ClusterNameTaken
from hal9.signals import Signal, StatusPayload
from tests.bus.harness import mosquitto
from tests.bus.test_broker_errors import broker
from tests.conftest import Script, edit_settings, running_cluster
from tests.support.waiting import eventually


def at(home: Home, url: str) -> None:
    edit_settings(home, "url:                          #", f"url: {url} #")


@pytest.mark.mosquitto
async def test_status_says_what_the_bus_sees(home: Home, tmp_path: Path, script: Script) -> None:
    script("echo")
    async with mosquitto(tmp_path / "mosquitto") as other:
        at(home, f"mqtt://node:secret@127.0.0.1:{other.port}")
        edit_settings(home, "name: hal9  ", "name: test  ")
        async with running_cluster(home) as (daemon, cluster):
            assert (await cluster.status())["bus"]["connected"] is True
            await other.stop()

            async def gone() -> bool:
                daemon.status.write()
                said = await cluster.status()
                return said["state"] == "no_broker" and "nothing listens" in said["bus"]["error"]

            await eventually(gone, "status says that the broker is gone, and why")
            await other.start()

            async def back() -> bool:
                daemon.status.write()
                return bool((await cluster.status())["state"] == "ready")

            await eventually(back, "status says that the broker is back")
            assert (await cluster.status())["bus"]["sessions"] >= 2


@pytest.mark.mosquitto
async def test_two_homes_of_one_name_are_told_apart(tmp_path: Path, script: Script) -> None:
    script("echo")
    async with broker(tmp_path) as port:
        homes = [init_home(tmp_path / name) for name in ("first", "second")]
        for home in homes:
            at(home, f"mqtt://127.0.0.1:{port}")
        async with running_cluster(homes[0]) as (daemon, cluster):
            with pytest.raises(ClusterNameTaken, match="cluster.name"):
                async with Daemon(homes[1]):
                    raise AssertionError("it must not come up")
            task = await cluster.wait(await cluster.submit("still mine"), timeout_seconds=60)
            assert task.state == "done"
            assert daemon.runtime.bus.sessions == 1  # nobody threw us out
        # Who left in order leaves the name free.
        async with running_cluster(homes[1]) as (_, cluster):
            assert (await cluster.status())["state"] == "ready"


@pytest.mark.mosquitto
async def test_a_broker_that_cannot_carry_a_cluster_is_refused_at_the_start(
    home: Home, tmp_path: Path, script: Script
) -> None:
    script("echo")
    async with broker(tmp_path, "retain_available false") as port:
        at(home, f"mqtt://127.0.0.1:{port}")
        with pytest.raises(BrokerUnfit, match="retained"):
            async with Daemon(home):
                raise AssertionError("it must not come up")


def said(node: str, neurons: dict[str, int], **detail: object) -> Signal:
    payload = StatusPayload(state="ready", boot_id="b", neurons=neurons, detail=dict(detail))
    return Signal.create(payload, task_id="-", source=node, target="all", now=0.0)


def test_a_node_speaks_for_its_own_neuron_only() -> None:
    directory = NeuronDirectory(clock=ManualClock(), node="daemon")
    directory.observe(said("l2-remote", {"l2-remote": 2, "l4-strategist": 9}))
    assert directory.reachable() == {"l2-remote": 2}


@pytest.mark.parametrize("beat", [5.0, None, "often", -1, 1e9, True])
def test_a_node_that_does_not_beat_any_more_is_silent(beat: object) -> None:
    clock = ManualClock()
    directory = NeuronDirectory(clock=clock, node="daemon")
    directory.observe(said("l2-remote", {"l2-remote": 2}, beat=beat))
    clock.advance(10.0)
    assert directory.reachable() == {"l2-remote": 2}
    clock.advance(10.0)
    # Who never said how often it beats is not missed.
    assert directory.reachable() == ({} if beat == 5.0 else {"l2-remote": 2})
    assert directory.remote()["l2-remote"].state == ("silent" if beat == 5.0 else "ready")


async def test_an_embedded_broker_that_is_stopped_shows_in_the_status(home: Home, script: Script) -> None:
    script("echo")
    async with running_cluster(home) as (daemon, cluster):
        assert daemon.broker is not None
        assert daemon.broker.pid is not None
        sessions = daemon.runtime.bus.sessions
        os.kill(daemon.broker.pid, signal.SIGKILL)
        await eventually(lambda: daemon.runtime.bus.sessions > sessions, "a new session with a new broker")
        daemon.status.write()
        assert (await cluster.status())["bus"]["sessions"] > sessions
