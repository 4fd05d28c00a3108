"""The embedded broker's life: started, capped, guarded, killed, adopted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from hal9.bus import EmbeddedBroker, MqttBus, StoreLimits, neuron_user, node_user, stop_survivor, viewer_user
from hal9.bus.broker.embedded import ADMIN
from hal9.bus.broker.nats_config import find_server
from hal9.bus.broker.server_process import is_our_server
from hal9.errors.bus import BrokerBinaryUnusable, BrokerRefused, BrokerStoreInUse

USERS = [node_user("test", "daemon")]

LEAVE_IT_RUNNING = """
import asyncio, os, signal, sys
from pathlib import Path
from hal9.bus import EmbeddedBroker, node_user

async def main():
    async with EmbeddedBroker(Path(sys.argv[1]), users=[node_user("test", "daemon")]) as broker:
        print(broker.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def abandon(directory: Path) -> int:
    """A daemon that starts a broker and is killed; returns the broker's process id."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_IT_RUNNING, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    return int(done.stdout)


async def stream_limits(broker: EmbeddedBroker) -> tuple[int | None, float | None, str]:
    state = json.loads((broker.directory / "state.json").read_text())
    client = await nats.connect(
        f"nats://127.0.0.1:{state['ports']['nats']}", user=ADMIN, password=state["passwords"][ADMIN]
    )
    try:
        config = (await client.jetstream().stream_info("$MQTT_msgs")).config
    finally:
        await client.close()
    return config.max_bytes, config.max_age, str(config.discard)


async def test_its_store_is_capped_and_its_files_are_private(tmp_path: Path) -> None:
    limits = StoreLimits(max_bytes=7_000_000, max_age_seconds=1234)
    directory = tmp_path / "broker"
    for _ in range(2):
        async with EmbeddedBroker(directory, users=USERS, limits=limits) as broker:
            max_bytes, max_age, discard = await stream_limits(broker)
            assert (max_bytes, max_age) == (7_000_000, 1234)
            assert discard.lower().endswith("old")
            for name in ("nats.conf", "state.json"):
                assert (directory / name).stat().st_mode & 0o777 == 0o600
            assert directory.stat().st_mode & 0o777 == 0o700
            address = broker.address("daemon")
            assert address.password is not None
            assert address.password not in repr(address)
            assert (broker.websocket_url or "").endswith("/mqtt")
            pid = broker.pid
        assert pid is not None
        assert not is_our_server(pid, directory)


async def test_a_broker_that_dies_while_its_store_is_capped_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = EmbeddedBroker._cap_store

    async def dying(self: EmbeddedBroker) -> None:
        if self.restarts == 1 and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        await cap(self)

    monkeypatch.setattr(EmbeddedBroker, "_cap_store", dying)
    async with EmbeddedBroker(tmp_path / "broker", users=[node_user("test", "a")]) as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while broker.restarts < 2:
                await asyncio.sleep(0.02)
            async with MqttBus(broker.address("a"), client_id="a") as bus:
                await bus.wait_connected(60)


async def test_two_cannot_use_one_store(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "broker", users=USERS):
        with pytest.raises(BrokerStoreInUse):
            async with EmbeddedBroker(tmp_path / "broker", users=USERS):
                pass


async def test_a_broker_that_outlived_its_daemon_is_adopted(tmp_path: Path) -> None:
    pid = await asyncio.to_thread(abandon, tmp_path / "broker")
    users = [*USERS, viewer_user("test")]
    async with EmbeddedBroker(tmp_path / "broker", users=users) as broker:
        assert broker.adopted
        assert broker.pid == pid
        async with MqttBus(broker.address("viewer"), client_id="new-login", clean=True) as bus:
            await bus.wait_connected(10)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            while broker.restarts == 0 or not broker.pid or broker.pid == pid:
                await asyncio.sleep(0.05)
    assert not is_our_server(pid, tmp_path / "broker")


async def test_new_users_of_an_adopted_broker_are_let_in_however_slowly_it_reads_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(abandon, tmp_path / "broker")
    send = EmbeddedBroker._signal

    def slowly(broker: EmbeddedBroker, number: signal.Signals) -> None:
        asyncio.get_running_loop().call_later(0.7, send, broker, number)

    monkeypatch.setattr(EmbeddedBroker, "_signal", slowly)
    async with EmbeddedBroker(tmp_path / "broker", users=[*USERS, viewer_user("test")]) as broker:
        assert broker.adopted
        async with MqttBus(broker.address("viewer"), client_id="new-login", clean=True) as bus:
            await bus.wait_connected(10)
            assert bus.connected


async def test_a_survivor_that_does_not_let_us_in_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    pid = await asyncio.to_thread(abandon, directory)
    (directory / "state.json").unlink()
    async with EmbeddedBroker(directory, users=USERS) as broker:
        assert not broker.adopted
        assert broker.pid != pid
        assert not is_our_server(pid, directory)
        async with MqttBus(broker.address("daemon"), client_id="daemon") as bus:
            await bus.wait_connected(10)


@pytest.mark.slow
async def test_a_survivor_that_hangs_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    pid = await asyncio.to_thread(abandon, directory)
    os.kill(pid, signal.SIGSTOP)
    async with EmbeddedBroker(directory, users=USERS) as broker:
        assert broker.pid != pid
    assert not is_our_server(pid, directory)


def test_a_survivor_can_be_stopped_without_a_daemon(tmp_path: Path) -> None:
    pid = abandon(tmp_path / "broker")
    assert stop_survivor(tmp_path / "broker")
    assert not is_our_server(pid, tmp_path / "broker")
    assert not stop_survivor(tmp_path / "broker")


async def test_logins_come_and_go_without_disturbing_others(tmp_path: Path) -> None:
    async with (
        EmbeddedBroker(tmp_path / "broker", users=USERS) as broker,
        MqttBus(broker.address("daemon"), client_id="daemon") as daemon,
    ):
        await daemon.wait_connected(10)
        address = await broker.add_user(neuron_user("test", "l2-remote"))
        async with MqttBus(address, client_id="l2-remote") as remote:
            await remote.wait_connected(10)
            await remote.subscribe("hal9/test/in/l2-remote/+/+")
            with pytest.raises(BrokerRefused):
                await remote.subscribe("hal9/test/in/daemon/+/+")
            await daemon.publish("hal9/test/in/l2-remote/task/daemon", b"hello", qos=1)
            async with asyncio.timeout(5):
                (await remote.receive(1))[0].ack()
            await broker.remove_user("l2-remote")
            async with asyncio.timeout(120):
                while remote.connected:
                    await asyncio.sleep(0.02)
        assert daemon.sessions == 1


async def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "broker", users=USERS) as broker:
        first = broker.address("daemon").port
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", first)
    async with server, EmbeddedBroker(tmp_path / "broker", users=USERS) as broker:
        assert broker.address("daemon").port != first


def test_a_server_of_the_users_must_be_usable(tmp_path: Path) -> None:
    with pytest.raises(BrokerBinaryUnusable):
        find_server(tmp_path / "missing")
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.10.4\n")
    old.chmod(0o755)
    with pytest.raises(BrokerBinaryUnusable, match=r"2\.10\.4"):
        find_server(old)
    new = tmp_path / "new-server"
    new.write_text("#!/bin/sh\necho nats-server: v2.99.0\n")
    new.chmod(0o755)
    assert find_server(new) == new
    assert find_server(None).name == "nats-server"
