"""What every broker must do for us: one suite over the in-memory bus, the embedded broker and mosquitto."""

import asyncio

import pytest

from hal9.bus import Bus, Incoming, LastWill
from hal9.errors.bus import BrokerRefused, BrokerUnreachable
from tests.bus.harness import Broker

INBOX = "hal9/test/in/node/+/+"
TOPIC = "hal9/test/in/node/task/other"


async def next_message(bus: Bus, seconds: float = 60.0) -> Incoming:
    async with asyncio.timeout(seconds):
        return (await bus.receive(1))[0]


async def nothing_more(bus: Bus, seconds: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        await next_message(bus, seconds)


async def publish(bus: Bus, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish as a durable sender does: until the broker has it."""
    async with asyncio.timeout(120):
        while True:
            try:
                await bus.publish(topic, payload, qos=1, retain=retain)
            except BrokerUnreachable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_messages_arrive_once_and_in_order(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver, broker.bus("sender") as sender:
        await receiver.wait_connected(10)
        await sender.wait_connected(10)
        await receiver.subscribe(INBOX)
        for number in range(300):
            await sender.publish(TOPIC, b"%d" % number, qos=1, confirm=False)
        got = []
        for _ in range(300):
            message = await next_message(receiver)
            got.append(int(message.payload))
            message.ack()
        assert got == list(range(300))
        await nothing_more(receiver)


async def test_bytes_are_bytes_up_to_the_largest_signal(broker: Broker) -> None:
    payload = bytes(range(256)) * 1024
    async with broker.bus("receiver") as receiver, broker.bus("sender") as sender:
        await receiver.wait_connected(10)
        await sender.wait_connected(10)
        await receiver.subscribe(INBOX)
        await sender.publish(TOPIC, payload, qos=1)
        message = await next_message(receiver)
        message.ack()
        assert message.topic == TOPIC
        assert message.payload == payload


async def test_filters_choose(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver:
        await receiver.wait_connected(10)
        await receiver.subscribe(INBOX)
        await receiver.publish("hal9/test/in/someone/task/other", b"not ours", qos=1)
        await receiver.publish(TOPIC, b"ours", qos=1)
        message = await next_message(receiver)
        message.ack()
        assert message.payload == b"ours"
        await receiver.unsubscribe(INBOX)
        await receiver.publish(TOPIC, b"too late", qos=1)
        await nothing_more(receiver)


async def test_progress_at_qos_0_arrives(broker: Broker) -> None:
    async with broker.bus("viewer", clean=True) as viewer:
        await viewer.wait_connected(10)
        await viewer.subscribe("hal9/test/ev/+/+", qos=0)
        await viewer.publish("hal9/test/ev/l2/t1", b"half way")
        message = await next_message(viewer)
        assert (message.qos, message.payload) == (0, b"half way")


async def test_what_was_not_acknowledged_comes_again_after_a_break(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver, broker.bus("sender") as sender:
        await receiver.wait_connected(10)
        await sender.wait_connected(10)
        await receiver.subscribe(INBOX)
        await publish(sender, TOPIC, b"kept")
        await publish(sender, TOPIC, b"lost in a crash")
        (await next_message(receiver)).ack()
        await next_message(receiver)  # read, never acknowledged
        await asyncio.sleep(0.2)  # the acknowledgement is on its way
        sessions = receiver.sessions
        broker.cut()
        await receiver.wait_session(sessions)
        message = await next_message(receiver)
        assert message.payload == b"lost in a crash"
        message.ack()
        await nothing_more(receiver, 1.5)


async def test_an_acknowledgement_of_an_earlier_session_is_harmless(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver:
        await receiver.wait_connected(10)
        await receiver.subscribe(INBOX)
        await publish(receiver, TOPIC, b"once")
        stale = await next_message(receiver)
        sessions = receiver.sessions
        broker.cut()
        await receiver.wait_session(sessions)
        stale.ack()
        again = await next_message(receiver)
        assert again.payload == b"once"
        again.ack()


async def test_a_session_waits_for_its_owner(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver:
        await receiver.wait_connected(10)
        await receiver.subscribe(INBOX)
    async with broker.bus("sender") as sender:
        await sender.wait_connected(10)
        for number in range(50):
            await publish(sender, TOPIC, b"%d" % number)
    receiver = broker.bus("receiver")
    await receiver.subscribe(INBOX)
    async with receiver:
        got = []
        for _ in range(50):
            message = await next_message(receiver)
            message.ack()
            got.append(int(message.payload))
        assert got == list(range(50))


async def test_a_clean_session_is_forgotten(broker: Broker) -> None:
    async with broker.bus("viewer", clean=True) as viewer:
        await viewer.wait_connected(10)
        await viewer.subscribe(INBOX)
    async with broker.bus("sender") as sender:
        await sender.wait_connected(10)
        await publish(sender, TOPIC, b"nobody is there")
    async with broker.bus("viewer", clean=True) as viewer:
        await viewer.wait_connected(10)
        await viewer.subscribe(INBOX)
        await nothing_more(viewer)


async def test_a_retained_message_greets_later_subscribers(broker: Broker) -> None:
    async with broker.bus("node") as node:
        await node.wait_connected(10)
        await publish(node, "hal9/test/st/node", b"starting", retain=True)
        await publish(node, "hal9/test/st/node", b"ready", retain=True)
        async with broker.bus("viewer", clean=True) as viewer:
            await viewer.wait_connected(10)
            await viewer.subscribe("hal9/test/st/+")
            message = await next_message(viewer)
            message.ack()
            assert (message.payload, message.retain) == (b"ready", True)


async def test_the_last_will_speaks_only_when_there_was_no_goodbye(broker: Broker) -> None:
    will = LastWill("hal9/test/st/node", b"offline")
    async with broker.bus("viewer") as viewer:
        await viewer.wait_connected(10)
        await viewer.subscribe("hal9/test/st/+")
        polite = broker.bus("node")
        polite.set_last_will(lambda: will)
        async with polite:
            await polite.wait_connected(10)
        await nothing_more(viewer)
        node = broker.bus("node")
        node.set_last_will(lambda: will)
        async with node:
            await node.wait_connected(10)
            sessions = node.sessions
            broker.cut()
            message = await next_message(viewer)
            message.ack()
            assert message.payload == b"offline"
            await node.wait_session(sessions)


async def test_a_broken_connection_is_rebuilt_with_its_subscriptions(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver, broker.bus("sender") as sender:
        await receiver.wait_connected(10)
        await sender.wait_connected(10)
        await receiver.subscribe(INBOX)
        for turn in range(3):
            seen = receiver.sessions, sender.sessions
            broker.cut()
            await receiver.wait_session(seen[0])
            await sender.wait_session(seen[1])
            await publish(sender, TOPIC, b"%d" % turn)
            message = await next_message(receiver)
            message.ack()
            while message.payload != b"%d" % turn:  # an acknowledgement may be lost in the cut
                message = await next_message(receiver)
                message.ack()


async def test_publishing_without_a_session_says_so(broker: Broker) -> None:
    async with broker.bus("sender") as sender:
        await sender.wait_connected(10)
        await broker.stop()
        async with asyncio.timeout(120):
            while sender.connected:
                await asyncio.sleep(0.01)
        with pytest.raises(BrokerUnreachable):
            await sender.publish(TOPIC, b"x", qos=1)
        with pytest.raises(BrokerUnreachable):
            await sender.wait_connected(0.2)
        await broker.start()
        await sender.wait_connected(20)
        await publish(sender, TOPIC, b"x")


async def test_a_restarted_broker_still_has_what_it_confirmed(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver:
        await receiver.wait_connected(10)
        await receiver.subscribe(INBOX)
    async with broker.bus("sender") as sender:
        await sender.wait_connected(10)
        for number in range(20):
            await publish(sender, TOPIC, b"%d" % number)
        await publish(sender, "hal9/test/st/node", b"ready", retain=True)
        await broker.stop()
        await broker.start()
        receiver = broker.bus("receiver")
        await receiver.subscribe(INBOX)
        async with receiver:
            got: set[int] = set()
            while len(got) < 20:
                message = await next_message(receiver, 20)
                message.ack()
                got.add(int(message.payload))
            await receiver.subscribe("hal9/test/st/+")
            message = await next_message(receiver)
            message.ack()
            assert message.payload == b"ready"


async def test_one_client_id_has_one_owner(broker: Broker) -> None:
    async with broker.bus("same") as first:
        await first.wait_connected(10)
        sessions = first.sessions
        async with broker.bus("same") as second:
            await second.wait_connected(10)
            # Both go on trying; neither crashes, and when one leaves the other has the session again.
            await asyncio.sleep(0.5)
        await first.wait_session(sessions)
        await first.subscribe(INBOX)
        await publish(first, TOPIC, b"mine again")
        message = await next_message(first)
        message.ack()
        assert message.payload == b"mine again"


async def test_in_flight_is_bounded_and_nothing_gets_lost(broker: Broker) -> None:
    async with broker.bus("receiver") as receiver, broker.bus("sender", in_flight=4) as sender:
        await receiver.wait_connected(10)
        await sender.wait_connected(10)
        await receiver.subscribe(INBOX)
        await asyncio.gather(
            *(sender.publish(TOPIC, b"%d" % n, qos=1, confirm=bool(n % 2)) for n in range(100))
        )
        got: set[int] = set()
        while len(got) < 100:
            message = await next_message(receiver)
            message.ack()
            got.add(int(message.payload))


async def test_a_wrong_password_is_said_at_once(guarded: Broker) -> None:
    async with guarded.bus("stranger", user="wrong") as stranger:
        with pytest.raises(BrokerRefused):
            await stranger.wait_connected(10)


async def test_permissions_are_enforced_though_a_denied_publish_is_confirmed(guarded: Broker) -> None:
    async with guarded.bus("receiver") as receiver, guarded.bus("limited", user="limited") as limited:
        await receiver.wait_connected(10)
        await limited.wait_connected(10)
        await receiver.subscribe("hal9/test/in/+/+/+")
        await limited.publish("hal9/test/in/node/task/somebody-else", b"forged", qos=1)
        await limited.publish("hal9/test/in/node/task/limited", b"allowed", qos=1)
        message = await next_message(receiver)
        message.ack()
        assert message.payload == b"allowed"
        await nothing_more(receiver)
