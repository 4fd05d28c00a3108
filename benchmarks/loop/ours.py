"""HAL9's tool loop with an instant mind: journal, copy of a workspace and sandbox are the real ones.

    python -m benchmarks.loop.ours FOLDER STEPS

Continues what is in FOLDER. Prints one JSON line: seconds of each step, and seconds from the program's start to
the first new step.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from hal9.clock import SystemClock
from hal9.journal import Journal
from hal9.minds.protocol import Message, Reply, ToolCall, ToolSpec, Usage
from hal9.settings import LayerPermissions, WorkbenchSettings
from hal9.signals import StepRecord, new_id
from hal9.tools.action import ActionContext
from hal9.tools.conversation import Conversation
from hal9.tools.loop import LoopLimits, ToolLoop
from hal9.tools.observation import Observation, OutputStore
from hal9.tools.person import JournalPerson
from hal9.tools.policy import PolicyGate
from hal9.tools.toolbox import allowed_tools, control_tools
from hal9.tools.turn_log import TurnLog
from hal9.tools.workspace_tools import WorkspaceTools
from hal9.workbench import Place, Snapshot

_BEGAN = time.perf_counter()


async def run(folder: Path, steps: int) -> dict[str, Any]:
    """The loop until its `steps`-th command; what each took."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "readme.txt").write_text("nothing here\n")
    clock, at = SystemClock(), list[float]()
    place = Place(workspace=workspace, folder=folder / "snapshot", hidden=())

    async def think(
        messages: tuple[Message, ...], tools: tuple[ToolSpec, ...], *, position: int, must_call: bool = False
    ) -> Reply:
        del tools, must_call
        at.append(time.perf_counter())
        number = sum(1 for message in messages if message.role == "assistant")
        # Each command is another one, else the loop would say that it goes round in circles.
        call = ToolCall(id=f"c{number}", name="bash", arguments={"command": f"true {number}"})
        if number == steps:
            call = ToolCall(id=f"c{number}", name="finish", arguments={"answer": "done"})
        return Reply("", "instant", Usage(prompt_tokens=10, completion_tokens=5), tool_calls=(call,))

    async def finish(answer: str, verified: str) -> Observation:
        del answer, verified
        return Observation(text="accepted", ends=True)

    async def no_map(root: Path, question: str, tokens: int) -> str:
        del root, question, tokens
        return ""

    def step(kind: str, started: float, **details: Any) -> StepRecord:
        named = {"task_id": "t", "signal_id": "s", "neuron": "n", "layer": 2, "kind": kind}
        return StepRecord.model_validate(
            {
                "id": new_id(now=clock.now()),
                **named,
                "started_at": started,
                "ended_at": clock.now(),
                **details,
            }
        )

    @asynccontextmanager
    async def paused() -> AsyncIterator[None]:
        yield

    async with Journal(folder / "journal.db") as journal, Snapshot(place, WorkbenchSettings()) as snapshot:
        log = TurnLog(journal, "s", "t", clock)
        await log.open()
        outputs = OutputStore()
        tools = WorkspaceTools(copy=snapshot, mapper=no_map, outputs=outputs)
        opening = (Message("system", "You work."), Message("user", "Work."))
        loop = ToolLoop(
            log=log,
            think=think,
            conversation=Conversation(opening=opening, window_tokens=10_000_000),
            tools=allowed_tools(
                [*tools.tools(), *control_tools(asking=False)],
                permissions=LayerPermissions(write=True, run=True),
                listed=("read", "write", "run"),
            ),
            gate=PolicyGate(()),
            person=JournalPerson(
                journal=journal,
                clock=clock,
                wait_seconds=1.0,
                unanswered="continue",
                stopping=asyncio.Event(),
                paused=paused,
                progress=lambda event, detail: None,
            ),
            finish=finish,
            step=step,
            context=ActionContext(task_id="t", signal_id="s", neuron="n", workspace=str(workspace)),
            limits=LoopLimits(steps=steps + 10),
            outputs=outputs,
            clock=clock,
            snapshot=snapshot,
        )
        await loop.run()
    return {
        "steps": [b - a for a, b in pairwise(at)],
        "first": at[0] - _BEGAN if at else 0.0,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))))
