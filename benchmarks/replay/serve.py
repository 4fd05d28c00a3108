"""A daemon in a process of its own: ``python -m benchmarks.replay.serve HOME``."""

import asyncio
import sys
from pathlib import Path

from hal9.cluster import Daemon
from hal9.cluster.home import find_home


async def main() -> None:
    async with Daemon(find_home(Path(sys.argv[1]))) as daemon:
        await daemon.serve()


asyncio.run(main())
