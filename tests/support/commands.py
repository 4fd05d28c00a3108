"""`hal9` commands as processes of their own, forked from one that has the imports behind it.

Each command costs its own work and not the half second of CPU that Python and the library take to start.
That the real entry point starts (and what it imports) is proved by tests/cluster/test_client_imports.py,
tests/packaging and every daemon of the tests.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "run_hal9"]

ROOT = Path(__file__).parents[2]


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.command_server"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def end() -> None:
        server.communicate()

    atexit.register(end)
    return server


def run_hal9(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    stdin: str = "",
    seconds: int = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `hal9 ARGUMENTS` and wait for its end.

    Args:
        arguments: as on the command line.
        environ: the whole environment; ours when not given.
        folder: where it runs.
        stdin: what it reads.
        seconds: after these it is ended by a signal (exit code -14).

    Raises:
        ChildProcessError: the server is gone.
    """
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory(prefix="hal9-command-") as kept:
        streams = [Path(kept) / name for name in ("in", "out", "err")]
        streams[0].write_text(stdin, encoding="utf-8")
        for path in streams[1:]:
            path.touch()
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(os.environ if environ is None else environ),
            "streams": [str(path) for path in streams],
            "seconds": seconds,
        }
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        said = server.stdout.readline()
        if not said:
            raise ChildProcessError(f"the server of commands has ended with {server.wait()}")
        out, err = (path.read_text(encoding="utf-8") for path in streams[1:])
    return subprocess.CompletedProcess(["hal9", *arguments], int(said), out, err)
