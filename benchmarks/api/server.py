"""The server's side: a daemon with its API in one process; prints URL, token and home, and runs until ended."""

import asyncio
import os
import signal
import sys
from pathlib import Path


async def main(folder: Path) -> None:
    os.environ["HAL9_MODEL"] = "scripted:benchmarks.cluster.hal9_passes:instant"
    from hal9.api.server import ApiServer
    from hal9.cluster import Daemon, init_home
    from hal9.dashboard.app import dashboard

    home = init_home(folder / "home")
    text = home.settings_file.read_text().replace("concurrent_turns: 4 ", "concurrent_turns: 64 ")
    home.settings_file.write_text(text.replace("requests_per_minute: 6000", "requests_per_minute: 6000000"))
    async with ApiServer(home, more=dashboard) as server, Daemon(home):
        token = server.services.tokens.create("bench", ("read", "submit"))[1]
        print(server.url, token, home.root, flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    asyncio.run(main(Path(sys.argv[1])))
