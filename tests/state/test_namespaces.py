"""Three hosts in network namespaces: what becomes of tasks when the network between them is cut or bad.

Needs root, /dev/net/tun and libfaketime; `scripts/bench hosts` does the same with every harm, again and again.
"""

import asyncio
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import FILE
from benchmarks.chaos.server import CountingServer
from benchmarks.hosts.__main__ import come_up, one_round
from benchmarks.hosts.cluster import FAKETIME, Hosts
from hal9.budgets import BudgetStore
from tests.support.namespaces import Network, NetworkForbidden
from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    try:
        made = Network(tmp_path, 3).__enter__()
    except NetworkForbidden as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.timeout(900)
@pytest.mark.bubblewrap
@pytest.mark.parametrize("harm", ["cut off both ways", "is not heard", "5% loss and 200 ms"])
async def test_nothing_is_lost_or_doubled_when_the_network_fails(
    network: Network, tmp_path: Path, harm: str
) -> None:
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed (Debian's faketime); the hosts' clocks are to differ")
    with (
        PostgresServer(durable=True, host=network.address) as database,
        CountingServer(FILE, random.Random(1), host=network.address) as server,
    ):
        hosts = Hosts(tmp_path, network, database, server.spec)
        try:
            await come_up(hosts)
            row = await one_round(hosts, server, random.Random(2), 1, 6, harm)
            with BudgetStore(hosts.control.budgets) as book:
                booked = book.totals().calls
        finally:
            await asyncio.to_thread(hosts.close)
    assert "stuck" not in row, row
    assert (row["lost"], row["failed"], row["doubled"], row["half"]) == ([], {}, [], []), row
    assert row["rules"] == 1
    assert booked >= server.calls, "each call is on the books"


def test_hosts_are_cut_off_and_healed(network: Network) -> None:
    with socket.create_server((network.address, 0)) as listener:
        port = listener.getsockname()[1]
        host = network.hosts[0]

        def reach(seconds: float) -> float | None:
            """How long a connection takes from the host; None when it does not come."""
            script = (
                f"import socket, time; t = time.monotonic(); "
                f"socket.create_connection(({network.address!r}, {port}), {seconds}); "
                "print(time.monotonic() - t)"
            )
            done = subprocess.run(
                host.command("python3", "-c", script), capture_output=True, text=True, check=False
            )
            return float(done.stdout) if done.returncode == 0 else None

        assert reach(10.0) is not None
        for chains in (("INPUT", "OUTPUT"), ("INPUT",), ("OUTPUT",)):
            host.cut(*chains)
            assert reach(1.5) is None
            host.heal()
            assert reach(10.0) is not None
        host.make_bad(delay=0.3, loss=0.0)
        time.sleep(0.3)  # the cable looks every tenth of a second
        slow = reach(10.0)
        assert slow is not None
        assert slow >= 0.3
