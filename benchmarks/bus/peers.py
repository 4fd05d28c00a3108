"""The two sides of each measurement, each in a process of its own: durable courier and raw aiomqtt."""

import argparse
import asyncio
import json
import socket
import sys
import time
from functools import cache
from pathlib import Path

from hal9.bus import BrokerAddress, Courier, MqttBus, Outcome
from hal9.journal import Journal
from hal9.signals import Signal, TaskPayload, encode

PRODUCERS = 64
SIGNAL_BYTES = 1024


def address_of(args: argparse.Namespace) -> BrokerAddress:
    password = sys.stdin.readline().strip()
    return BrokerAddress(host="127.0.0.1", port=args.port, username=args.user, password=password)


def make_signal(number: int, target: str) -> Signal:
    return _signal(number, target, objective=_padding(target))


def _signal(number: int, target: str, *, objective: str) -> Signal:
    return Signal.create(
        TaskPayload(objective=objective, labels={"at": f"{time.monotonic():020.9f}"}),
        task_id=f"t{number:06d}",
        source="sender",
        target=target,
        now=time.time(),
    )


@cache
def _padding(target: str) -> str:
    """What makes a signal one of SIGNAL_BYTES, but for the digits of its times."""
    return "x" * (SIGNAL_BYTES - len(encode(_signal(0, target, objective=""))))


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


class Arrivals:
    """Counts, and keeps latencies; tells the parent when all are there."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.latencies: list[float] = []
        self.done = asyncio.Event()

    def one(self, sent_at: float) -> None:
        self.latencies.append(time.monotonic() - sent_at)
        if len(self.latencies) == self.expected:
            self.done.set()


async def courier_receive(args: argparse.Namespace, address: BrokerAddress) -> None:
    arrivals = Arrivals(args.count)

    async def handler(signal: Signal) -> Outcome:
        arrivals.one(float(signal.payload.labels["at"]))
        return Outcome()

    def at_once(signal: Signal) -> Outcome:
        arrivals.one(float(signal.payload.labels["at"]))
        return Outcome()

    async with Journal(Path(args.directory) / "receiver.db") as journal:
        courier = Courier(MqttBus(address, client_id="receiver"), journal, cluster="bench", node="receiver")
        courier.host("receiver", handler, concurrency=PRODUCERS, at_once=at_once if args.at_once else None)
        async with courier:
            await courier.wait_connected(10)
            say(ready=True)
            await arrivals.done.wait()
            while (await journal.read(_open_count)) > 0:
                await asyncio.sleep(0.005)
            say(finished=time.monotonic(), latencies=arrivals.latencies, cpu=time.process_time())
            await asyncio.sleep(0.5)


def _open_count(connection) -> int:
    return connection.execute("SELECT count(*) FROM inbox WHERE state <> 'done'").fetchone()[0]


async def courier_send(args: argparse.Namespace, address: BrokerAddress) -> None:
    async def unused(_signal: Signal) -> Outcome:
        return Outcome()

    async with Journal(Path(args.directory) / "sender.db") as journal:
        courier = Courier(MqttBus(address, client_id="sender"), journal, cluster="bench", node="sender")
        courier.host("sender", unused)
        async with courier:
            await courier.wait_connected(10)

            async def one(number: int) -> None:
                await courier.send([make_signal(number, "receiver")])

            began, cpu = time.monotonic(), time.process_time()
            await produce(args, one)
            while courier.unconfirmed:
                await asyncio.sleep(0.002)
            say(
                began=began,
                confirmed=time.monotonic(),
                cpu=time.process_time() - cpu,
                commits=journal.commits,
            )


async def produce(args: argparse.Namespace, one) -> None:
    if args.pace:
        for number in range(args.count):
            await one(number)
            await asyncio.sleep(args.pace)
        return
    numbers = iter(range(args.count))

    async def producer() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(producer() for _ in range(PRODUCERS)))


def raw_client(address: BrokerAddress, name: str):
    import aiomqtt

    client = aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        identifier=name,
        clean_session=False,
        max_inflight_messages=256,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    client.pending_calls_threshold = 10_000
    return client


async def raw_receive(args: argparse.Namespace, address: BrokerAddress) -> None:
    arrivals = Arrivals(args.count)
    async with raw_client(address, "raw-receiver") as client:
        await client.subscribe("hal9/bench/in/raw/+/+", qos=1)
        say(ready=True)
        async for message in client.messages:
            signal = Signal.model_validate_json(message.payload) if args.parse else None
            sent_at = signal.payload.labels["at"] if signal else message.payload[:20]
            arrivals.one(float(sent_at))
            if arrivals.done.is_set():
                break
        say(finished=time.monotonic(), latencies=arrivals.latencies, cpu=time.process_time())
        await asyncio.sleep(0.2)


async def raw_send(args: argparse.Namespace, address: BrokerAddress) -> None:
    async with raw_client(address, "raw-sender") as client:

        async def one(number: int) -> None:
            if args.parse:
                payload = encode(make_signal(number, "raw"))
            else:
                payload = f"{time.monotonic():020.9f}".encode().ljust(SIGNAL_BYTES, b"x")
            await client.publish("hal9/bench/in/raw/task/sender", payload, qos=1)

        began, cpu = time.monotonic(), time.process_time()
        await produce(args, one)
        say(began=began, confirmed=time.monotonic(), cpu=time.process_time() - cpu, commits=0)


ROLES = {
    "courier-receive": courier_receive,
    "courier-send": courier_send,
    "raw-receive": raw_receive,
    "raw-send": raw_send,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--parse", action="store_true")
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--profile", default="")
    args = parser.parse_args()
    address = address_of(args)
    if args.profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.runcall(asyncio.run, ROLES[args.role](args, address))
        profiler.dump_stats(f"{args.profile}.{args.role}")
        return
    asyncio.run(ROLES[args.role](args, address))


if __name__ == "__main__":
    main()
