"""The child process of a workload: `python -m hal9.cluster.workloads.child HOME TASK`.

Prints one JSON object per line: {"progress": {…}} as it goes, {"result": {…}} at the end.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal9.cluster.home import Home
from hal9.cluster.workloads.contract import WORKLOADS, Workload, workload_options
from hal9.cluster.workloads.workloads import REFUSED, read_payload
from hal9.database import open_database
from hal9.errors.base import Hal9Error
from hal9.signals.labels import WORKLOAD_FOLDER

__all__ = ["main"]

_WATCH_SECONDS = 1.0


def _say(**said: Any) -> None:
    print(json.dumps(said, default=str), flush=True)  # noqa: T201 - this is the protocol


def _end_with_parent() -> None:
    """A workload whose daemon is gone must not go on beside the one that the next daemon starts."""
    parent = int(os.environ.get("HAL9_WORKLOAD_PARENT", "0"))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    if parent:
        threading.Thread(target=watch, name="parent watch", daemon=True).start()


async def _run(home: Home, task_id: str) -> None:
    connection = open_database(home.journal)
    try:
        workload, payload = read_payload(connection, task_id)
    finally:
        connection.close()
    options = workload_options(workload, payload.objective)
    options.setdefault("run_name", f"task-{task_id[-12:]}")
    options.setdefault("root", str(home.state / "workloads" / workload))
    limits = {"tokens": payload.grant.tokens, "usd": payload.grant.usd}
    given = {kind: value for kind, value in limits.items() if value is not None}
    if given:
        options.setdefault("limits", given)
    module, _, function = WORKLOADS.get(workload, workload).partition(":")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)

    def progress(detail: Mapping[str, Any]) -> None:
        _say(progress=dict(detail))

    folder = payload.labels.get(WORKLOAD_FOLDER)
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)
    workload_function: Workload = getattr(importlib.import_module(module), function)
    _say(result=await workload_function(options, progress, stopped.is_set))


def main() -> int:
    """Run the workload of one task."""
    _end_with_parent()
    try:
        asyncio.run(_run(Home(Path(sys.argv[1])), sys.argv[2]))
    except Hal9Error as error:
        print(error, file=sys.stderr)  # noqa: T201 - read by the daemon
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
