"""Neurons as processes of their own, external brokers, settings that change while the cluster runs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hal9.cluster import Daemon, Home, connect
from tests.bus.harness import mosquitto
from tests.conftest import Script, edit_settings, running_cluster

ROOT = Path(__file__).parents[2]
OBJECTIVE = "Write add(a, b) in adder.py"
CHECK = "python check.py"


@asynccontextmanager
async def neuron_process(
    home: Home, name: str, *arguments: str, script: str = "adder"
) -> AsyncIterator[subprocess.Popen[bytes]]:
    log = home.root.joinpath(f"{name}.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "hal9", "--home", str(home.root), "neuron", name, *arguments],
        cwd=ROOT,
        env={**os.environ, "HAL9_MODEL": f"scripted:tests.support.scripts:{script}"},
        stdout=log,
        stderr=log,
    )
    log.close()
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def reachable(daemon: Daemon, name: str) -> None:
    async with asyncio.timeout(120):
        while name not in daemon.directory.reachable():
            await asyncio.sleep(0.05)


async def test_a_neuron_in_a_process_of_its_own_does_the_work(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (daemon, cluster), neuron_process(home, "l2-implementer") as process:
        await reachable(daemon, "l2-implementer")
        task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
        task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
        daemon.status.write("ready")
        status = await cluster.status()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 30)
    assert task.state == "done"
    assert [step.neuron for step in steps] == [
        "l4-strategist",
        "l3-designer",
        "l2-implementer",
        "l2-implementer",
        "l2-implementer",
    ]
    assert task.result is not None
    assert task.result.tally.calls == 1
    assert status["nodes"]["l2-implementer"]["neurons"] == {"l2-implementer": 2}
    assert process.returncode == 0


async def test_a_neuron_killed_in_the_middle_of_a_call_finishes_after_its_restart(
    home: Home, script: Script
) -> None:
    script("adder")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-*", "l3-*"]')
    async with running_cluster(home) as (daemon, cluster):
        async with neuron_process(home, "l2-implementer", script="slow") as process:
            await reachable(daemon, "l2-implementer")
            task_id = await cluster.submit("Say something")
            inbox = home.state / "nodes" / "l2-implementer" / "journal.db"
            async with asyncio.timeout(120):
                while not _working(inbox):
                    await asyncio.sleep(0.05)
            process.kill()
            await asyncio.to_thread(process.wait, 30)
        async with neuron_process(home, "l2-implementer", script="adder"):
            task = await cluster.wait(task_id, timeout_seconds=180)
        steps = await cluster.steps(task_id)
    assert task.state == "done"
    assert [step.kind for step in steps] == ["pass", "pass", "think"]


def _working(journal: Path) -> bool:
    import sqlite3

    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        return bool(
            connection.execute("SELECT 1 FROM inbox WHERE state = 'working' AND kind = 'task'").fetchone()
        )
    except sqlite3.Error:
        return False
    finally:
        connection.close()


async def test_two_processes_on_one_inbox_are_refused(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home), neuron_process(home, "l2-implementer") as process:
        assert await asyncio.to_thread(process.wait, 60) == 1
    log = home.root.joinpath("l2-implementer.log").read_text()
    assert "already served by 'daemon'" in log


@pytest.mark.mosquitto
async def test_a_cluster_on_a_broker_of_the_users(
    home: Home, workspace: Path, script: Script, tmp_path: Path
) -> None:
    script("adder")
    async with mosquitto(tmp_path / "mosquitto") as broker:
        edit_settings(home, "  name: hal9 ", "  name: test ")
        edit_settings(home, "  url:  ", f"  url: mqtt://127.0.0.1:{broker.proxy.port}  ")
        edit_settings(home, "username:  ", "username: node  ")
        edit_settings(home, "password:  ", "password: secret  ")
        async with running_cluster(home) as (daemon, cluster):
            assert daemon.broker is None
            task_id = await cluster.submit(OBJECTIVE, workspace=workspace, check=CHECK)
            assert (await cluster.wait(task_id, timeout_seconds=180)).state == "done"
            broker.cut()
            second = await cluster.submit("Say hello")
            assert (await cluster.wait(second, timeout_seconds=180)).state == "done"


async def test_learning_and_safety_settings_change_without_a_restart(home: Home, script: Script) -> None:
    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        edit_settings(home, "learning_rate: 0.1 ", "learning_rate: 0.3 ")
        edit_settings(home, "max_depth: 4 ", "max_depth: 9 ")
        async with asyncio.timeout(120):
            while daemon.settings.backward_propagation.learning_rate != 0.3:
                await asyncio.sleep(0.05)
        assert daemon.settings.cluster.max_depth == 4
        edit_settings(home, "learning_rate: 0.3 ", "learning_rate: 33 ")
        async with asyncio.timeout(120):
            while not any("not reloaded" in alert for alert in daemon.status.alerts):
                await asyncio.sleep(0.05)
        assert daemon.settings.backward_propagation.learning_rate == 0.3
        daemon.status.write("ready")
        alerts = (await cluster.status())["alerts"]
    assert any("cluster take effect at the next start" in alert for alert in alerts)


async def test_what_is_refused_shows_as_a_dead_letter_with_its_reason(home: Home, script: Script) -> None:
    from hal9.bus import MqttBus

    script("adder")
    async with running_cluster(home) as (daemon, cluster):
        assert daemon.broker is not None
        intruder = daemon.broker.address("l2-implementer")
        async with MqttBus(intruder, client_id="intruder", clean=True) as bus:
            await bus.wait_connected(10)
            base = f"hal9/{daemon.settings.cluster.name}/in/l4-strategist/task/l2-implementer"
            for payload in (b"garbage", b'{"v": 99}', json.dumps({"v": 1}).encode()):
                await bus.publish(base, payload, qos=1)
            async with asyncio.timeout(120):
                while len(await _dead(home)) < 3:
                    await asyncio.sleep(0.05)
        task_id = await cluster.submit("Say hello")
        assert (await cluster.wait(task_id, timeout_seconds=180)).state == "done"
    assert sorted(await _dead(home)) == ["bad_json", "bad_shape", "unknown_version"]


async def _dead(home: Home) -> list[str]:
    async with connect(home.root) as cluster:
        return await cluster.read(
            lambda connection: [row[0] for row in connection.execute("SELECT reason FROM dead_letters")]
        )
