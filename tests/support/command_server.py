"""Forks `hal9` commands from a process that has imported the command line once; `tests.support.commands` asks it.

A request is a line of JSON on standard input: arguments, folder, environment, and the files of the three
standard streams. The answer is a line with the command's exit code as `waitpid` tells it.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

# What the ordinary commands import. No numpy: its threads do not survive a fork.
PRELOADED = (
    "hal9.cli",
    "hal9.cluster.client",
    "hal9.cluster.following",
    "hal9.cluster.supervision.process",
    "hal9.journal.tasks",
    "httpx",
    "rich.console",
    "rich.table",
    "yaml",
)


def serve() -> None:
    """Answer requests until standard input ends."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for name in PRELOADED:
        importlib.import_module(name)
    for line in requests:
        child = os.fork()
        if child == 0:
            be_the_command(json.loads(line))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def be_the_command(request: dict[str, Any]) -> None:
    """Become `python -m hal9 ARGUMENTS` in its folder, with its environment; does not return."""
    code = 1
    try:
        signal.alarm(int(request["seconds"]))  # nobody waits longer than that
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        for number, (path, flags) in enumerate(
            zip(request["streams"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)
        ):
            os.dup2(os.open(path, flags), number)
        sys.path[0] = request["folder"]
        sys.argv = ["hal9", *request["arguments"]]
        from hal9.__main__ import main

        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
