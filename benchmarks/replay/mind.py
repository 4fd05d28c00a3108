"""A mind that says what a recorded run said: command after command, an interrupted one again.

Named as ``scripted:benchmarks.replay.mind:replay``; the runs are in the file that HAL9_REPLAY_RUNS names.
"""

import gzip
import json
import os
import re
from functools import cache
from typing import Any

from hal9.minds.protocol import Capabilities, Request, ToolCall

SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
_ABSENT = re.compile(r"(?m)^bash: line \d+: ([\w.+-]+): command not found$")
_REFUSED = "Please always provide EXACTLY ONE action"


@cache
def runs(path: str) -> dict[str, dict[str, Any]]:
    """All recorded runs by instance."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return {run["instance_id"]: run for run in map(json.loads, stream)}


def commands_of(run: dict[str, Any]) -> list[str]:
    """The commands that were really executed; the last one prints the diff."""
    kept = [
        _as_there(step["command"], step["output"] or "")
        for step in run["steps"]
        if step["command"]
        and not (step["output"] or "").startswith(_REFUSED)
        and SUBMIT not in step["command"]
    ]
    return [*kept, "git add -A && git diff --cached"]


def _as_there(command: str, output: str) -> str:
    """The command where a program that the recording's container did not have is not there either."""
    absent = dict.fromkeys(_ABSENT.findall(output))
    shadows = "".join(
        f"{name}() {{ echo 'bash: {name}: command not found' >&2; return 127; }}\n" for name in absent
    )
    return shadows + command


def replay(request: Request) -> Any:
    """The next command of the run that the task names."""
    path = os.environ["HAL9_REPLAY_RUNS"]
    named = re.search(r"replay ([\w.-]+)", "\n".join(m.content for m in request.messages if m.role == "user"))
    assert named is not None
    commands = commands_of(runs(path)[named.group(1)])
    # Calls are numbered by their ids, so that folding old output changes nothing.
    done = -1
    calls = {call.id: call for message in request.messages for call in message.tool_calls}
    for message in request.messages:
        if message.role == "tool" and not message.content.startswith("Interrupted"):
            done = max(done, int(calls[message.tool_call_id].id.split("-")[1]))
    tries = sum(1 for message in request.messages if message.role == "tool")
    if done + 1 == len(commands):
        return ToolCall(id=f"c-{done + 1}-{tries}", name="finish", arguments={"answer": "replayed"})
    return ToolCall(
        id=f"c-{done + 1}-{tries}", name="bash", arguments={"command": commands[done + 1], "seconds": 60}
    )


replay.capabilities = Capabilities(tools="native")  # type: ignore[attr-defined]
