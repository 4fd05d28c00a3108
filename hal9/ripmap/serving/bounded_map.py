"""The child process that draws one map within limits: `python -m hal9.ripmap.serving.bounded_map`.

Reads one JSON object on standard input: {workspace, task, tokens, symbols, min_files, max_files, seconds,
memory_mb, cache_megabytes, files (optional)}. Prints {map, symbols: [[path, name, first line, last line]],
files: [[path, score]]} as JSON; without tokens no map is drawn. Exit
codes: 0 a map, or nothing for a small workspace; 3 a reason on standard error. It ends when its standard
input ends: whoever asked is gone then.
"""

import json
import os
import resource
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["main"]

_REFUSED = 3


def main() -> int:
    """Draw the map that standard input asks for."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    memory = asked["memory_mb"] * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    count, problem = _look_around(asked)
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - this is the protocol
        return _REFUSED
    if count < asked["min_files"]:
        return _print({"map": "", "symbols": [], "files": []})
    try:
        found = _map(asked)
    except Exception as error:  # noqa: BLE001 - whatever a repository holds, the task goes on without a map
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return _REFUSED
    return _print(found)


def _map(asked: dict[str, Any]) -> dict[str, Any]:
    from hal9.ripmap.rendering.budget import MapOptions  # noqa: PLC0415 - brings numpy
    from hal9.ripmap.rendering.repository_map import MapRequest, MapService  # noqa: PLC0415

    maps = MapService()
    index = maps.index(Path(asked["workspace"]), cache_megabytes=asked["cache_megabytes"])
    ranking = maps.ranking(index, MapRequest(asked["task"]))
    text = ""
    if asked["tokens"]:
        text = maps.draw(index, ranking, MapOptions(tokens=asked["tokens"], badges=False))
    best = ranking.symbols(asked["symbols"]) if asked["symbols"] else []
    files = ranking.files(asked["files"]) if asked.get("files") else []
    return {
        "map": text,
        "symbols": [[one.path, one.name, one.line, one.end_line] for one in best],
        "files": [[one.path, float(one.score)] for one in files],
    }


def _print(found: dict[str, Any]) -> int:
    sys.stdout.write(json.dumps(found))  # ASCII: no name of a file is too odd
    sys.stdout.flush()
    return 0


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


def _look_around(asked: dict[str, Any]) -> tuple[int, str]:
    """How many visible files there are, as far as it matters; and why no map is drawn, or ""."""
    until = time.monotonic() + asked["seconds"] / 2
    visible = entries = 0
    waiting = [asked["workspace"]]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    if entry.name.startswith("."):
                        continue
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        waiting.append(entry.path)
                    visible += stat.S_ISREG(mode)
        except OSError:
            continue
        if entries > asked["max_files"]:
            return visible, f"{Path(asked['workspace'])} has more than {asked['max_files']} files and folders"
        if time.monotonic() > until:
            return visible, f"looking through {Path(asked['workspace'])} takes too long"
    return visible, ""


if __name__ == "__main__":
    sys.exit(main())
