"""A workload for tests: counts slowly, keeps its count on disk, goes on where it was."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml


async def count(
    options: Mapping[str, Any], progress: Callable[[Mapping[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Counts to `to`; writes every number into `file`, one line each."""
    if "options" in options:
        options = yaml.safe_load(Path(options["options"]).read_text())
    path = Path(options["file"])
    done = len(path.read_text().splitlines()) if path.exists() else 0
    if "say" in options:
        print(options["say"], flush=True)  # a line as any program may print one
    if "tally" in options:
        progress({"line": "spent", "tally": options["tally"]})
    if options.get("fail"):
        raise RuntimeError("told to fail")
    for number in range(done + 1, int(options["to"]) + 1):
        if cancelled():
            return {"counted": number - 1, "cancelled": True}
        with path.open("a") as stream:
            stream.write(f"{number}\n")
        progress({"line": f"{number} of {options['to']}", "fraction": number / int(options["to"])})
        await asyncio.sleep(float(options.get("pause", 0.05)))
    return {"counted": int(options["to"])}
