"""Several addresses for one broker: a node that dies is replaced by another, nothing is lost or doubled."""

import asyncio
from pathlib import Path

import pytest

from hal9.bus import BrokerAddress, MqttBus
from hal9.errors.bus import BrokerAddressInvalid, BrokerInsecure, BrokerLoginRefused
from hal9.journal import outbox
from tests.bus.harness import free_port, mosquitto
from tests.bus.nats_cluster import nats_cluster
from tests.bus.nodes import node, task
from tests.support.waiting import eventually


def test_a_list_of_addresses_is_one_broker() -> None:
    address = BrokerAddress.from_urls(["mqtts://a.example", "mqtts://b.example:9999"], username="me")
    assert [str(one) for one in address.nodes] == ["mqtts://a.example:8883", "mqtts://b.example:9999"]
    assert {one.username for one in address.nodes} == {"me"}
    with pytest.raises(BrokerAddressInvalid, match="empty"):
        BrokerAddress.from_urls([])
    with pytest.raises(BrokerInsecure, match="b.example"):
        BrokerAddress.from_urls(["mqtts://a.example", "mqtt://b.example"]).check()


@pytest.mark.mosquitto
async def test_the_next_address_is_tried_when_one_does_not_answer(tmp_path: Path) -> None:
    async with mosquitto(tmp_path / "mosquitto") as broker:
        good = f"mqtt://node:secret@127.0.0.1:{broker.port}"
        wrong = f"mqtt://node:wrong@127.0.0.1:{broker.port}"
        silent = f"mqtt://127.0.0.1:{free_port()}"
        async with MqttBus(BrokerAddress.from_urls([silent, good]), client_id="x") as bus:
            await bus.wait_connected(10)
            assert bus.address.port == broker.port
        async with MqttBus(BrokerAddress.from_urls([wrong, silent, good]), client_id="x") as bus:
            await bus.wait_connected(10)
        async with MqttBus(BrokerAddress.from_urls([wrong, wrong]), client_id="x") as bus:
            with pytest.raises(BrokerLoginRefused):
                await bus.wait_connected(10)


@pytest.mark.slow
async def test_nodes_of_a_nats_cluster_die_in_turn(tmp_path: Path) -> None:
    async with nats_cluster(tmp_path / "nats") as cluster:
        bus = MqttBus(cluster.address, client_id="a", answer_timeout=10.0)
        async with node(bus, tmp_path / "a.db") as a:
            a.courier.host("book", a.collect)
            a.courier.host("l2", a.answer, concurrency=8)
            async with a.courier:
                await a.courier.wait_connected(60)
                ids: list[str] = []
                for _ in range(3):
                    for number in range(40):
                        signal = task(f"{len(ids)} {number}", ttl=300.0)
                        ids.append(signal.id)
                        await a.courier.send([signal])
                        await asyncio.sleep(0.01)
                    at = cluster.node_at(bus.address)
                    sessions = bus.sessions
                    cluster.kill(at)
                    await bus.wait_session(sessions)
                    assert cluster.node_at(bus.address) != at
                    await eventually(
                        lambda: len(a.results) >= len(ids) and not a.courier.unconfirmed,
                        "everything is answered",
                        progress=lambda: (len(a.results), a.courier.unconfirmed),
                    )
                    cluster.start(at)
            assert sorted(await a.effects()) == sorted(
                [f"handled {i}" for i in ids] + [f"collected {i}" for i in ids]
            )
            assert await a.journal.read(outbox.count) == 0
