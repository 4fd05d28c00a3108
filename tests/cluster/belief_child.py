"""The far side of a population, in a process of its own: serves turns over the broker until it is ended."""

import asyncio
import json
import sys
from pathlib import Path

from hal9.belief import Policy
from hal9.belief.synthetic_problems import rugged
from hal9.bus import BrokerAddress
from hal9.cluster.belief_host import serve_turns
from tests.belief.support import bench_of

if __name__ == "__main__":
    what = json.loads(sys.argv[1])
    address = BrokerAddress(**what["address"])
    bench = bench_of(rugged(what["seed"]), Policy(patience=what["patience"]))
    asyncio.run(serve_turns(bench, address, name="far", journal=Path(what["journal"]), cluster="test"))
