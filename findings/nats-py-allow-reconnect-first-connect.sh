#!/usr/bin/env bash
# nats-py 2.16.0: connect(allow_reconnect=False) to a port where nobody listens tries again and again for about two minutes.
#
# Expected: the documentation calls `allow_reconnect` "should the client reconnect when the connection is lost"; off, the first
#           refused connection raises at once.
# Seen:     the first connect goes on trying, two seconds apart, up to max_reconnect_attempts (60) times, and raises only then.
#           With max_reconnect_attempts=1 it gives up after the second try. (0 means without end.) Whoever starts a server again
#           when its client fails waits for a server that is gone.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-py==2.16.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import asyncio
import socket
import sys
import time
from importlib.metadata import version

import nats

with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]


async def tries(longest: float, **options: object) -> tuple[int, str]:
    """How often it tried within so many seconds, and how it ended."""
    failed = 0

    async def count(_error: Exception) -> None:
        nonlocal failed
        failed += 1

    try:
        async with asyncio.timeout(longest):
            await nats.connect(f"nats://127.0.0.1:{port}", error_cb=count, connect_timeout=1, **options)
    except TimeoutError:
        return failed, "still trying"
    except Exception as error:  # noqa: BLE001
        return failed, f"raised {type(error).__name__}"
    return failed, "connected"


async def main() -> int:
    print("nats-py", version("nats-py"), "on Python", sys.version.split()[0])
    began = time.monotonic()
    plain = await tries(9, allow_reconnect=False)
    print(f"allow_reconnect=False: {plain[1]} after {time.monotonic() - began:.0f} s and {plain[0]} refused tries")
    began = time.monotonic()
    bounded = await tries(9, allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0.1)
    print(f"… with max_reconnect_attempts=1: {bounded[1]} after {time.monotonic() - began:.1f} s, {bounded[0]} tries")
    seen = plain[1] == "still trying" and plain[0] >= 3 and bounded[1].startswith("raised")
    print("it behaves as described" if seen else "it does not behave so any more")
    return 0 if seen else 1


sys.exit(asyncio.run(main()))
PY
"$folder/venv/bin/python" "$folder/try.py"
