"""A tool loop on real parts: journal, copy of a workspace, sandbox; only the mind is scripted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hal9.clock import SystemClock
from hal9.journal import Journal
from hal9.minds.protocol import Message, Reply, ToolCall, ToolSpec, Usage
from hal9.settings import LayerPermissions, PolicyRule, WorkbenchSettings
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

Say = Callable[[tuple[Message, ...], int], Any]
OPENING = (Message("system", "You repair."), Message("user", "Repair it."))


def call(name: str, **arguments: Any) -> ToolCall:
    """A tool call with an id of its own."""
    return ToolCall(id=new_id(now=0.0), name=name, arguments=arguments)


@dataclass
class Script:
    """Says what it is told to, reply after reply; a function decides from the messages."""

    say: Sequence[Any] | Say
    seen: list[tuple[Message, ...]] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)

    async def __call__(
        self,
        messages: tuple[Message, ...],
        tools: tuple[ToolSpec, ...],
        *,
        position: int,
        must_call: bool = False,
    ) -> Reply:
        self.seen.append(messages)
        self.forced.append(must_call)
        if callable(self.say):
            said = self.say(messages, position)
        else:
            replies = sum(1 for message in messages if message.role == "assistant")
            said = self.say[replies]
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, Reply):
            return said
        calls = (said,) if isinstance(said, ToolCall) else said if isinstance(said, tuple) else ()
        text = said if isinstance(said, str) else ""
        return Reply(text, "script", Usage(prompt_tokens=10, completion_tokens=5), tool_calls=calls)


@dataclass
class Bench:
    """What a test looks at afterwards."""

    loop: ToolLoop
    snapshot: Snapshot
    script: Script
    steps: list[StepRecord]


@asynccontextmanager
async def bench(
    folder: Path,
    say: Sequence[Any] | Say,
    *,
    signal_id: str = "s1",
    policy: Sequence[PolicyRule] = (),
    limits: LoopLimits | None = None,
    window: int = 50_000,
    permissions: LayerPermissions | None = None,
    check: str = "",
    wait_seconds: float = 30.0,
    unanswered: Any = "continue",
) -> AsyncIterator[Bench]:
    """Open everything in `folder` (its `ws` is the workspace), again and again with the same state."""
    workspace = folder / "ws"
    workspace.mkdir(exist_ok=True)
    clock = SystemClock()
    steps: list[StepRecord] = []
    place = Place(
        workspace=workspace, folder=folder / "snapshots" / signal_id, hidden=(folder / "snapshots",)
    )
    async with Journal(folder / "journal.db") as journal, Snapshot(place, WorkbenchSettings()) as snapshot:
        log = TurnLog(journal, signal_id, "t1", clock)
        await log.open()
        outputs = OutputStore()

        async def no_map(root: Path, question: str, tokens: int) -> str:
            return ""

        async def finish(answer: str, verified: str) -> Observation:
            if not check:
                return Observation(text="accepted", ends=True)
            done = await snapshot.run(check)
            if done.ok:
                return Observation(text="the check passes", ends=True)
            return Observation(text=f"the check fails:\n{done.output}", ok=False)

        def step(kind: str, started: float, **details: Any) -> StepRecord:
            record = StepRecord.model_validate(
                {
                    "id": new_id(now=clock.now()),
                    "task_id": "t1",
                    "signal_id": signal_id,
                    "neuron": "n",
                    "layer": 2,
                    "kind": kind,
                    "started_at": started,
                    "ended_at": clock.now(),
                    **details,
                }
            )
            steps.append(record)
            return record

        @asynccontextmanager
        async def paused() -> AsyncIterator[None]:
            yield

        tools = WorkspaceTools(copy=snapshot, mapper=no_map, outputs=outputs)
        script = Script(say)
        loop = ToolLoop(
            log=log,
            think=script,
            conversation=Conversation(opening=OPENING, window_tokens=window),
            tools=allowed_tools(
                [*tools.tools(), *control_tools(asking=True)],
                permissions=permissions or LayerPermissions(write=True, run=True),
                listed=("read", "write", "run"),
            ),
            gate=PolicyGate(policy),
            person=JournalPerson(
                journal=journal,
                clock=clock,
                wait_seconds=wait_seconds,
                unanswered=unanswered,
                stopping=asyncio.Event(),
                paused=paused,
                progress=lambda event, detail: None,
            ),
            finish=finish,
            step=step,
            context=ActionContext(task_id="t1", signal_id=signal_id, neuron="n", workspace=str(workspace)),
            limits=limits or LoopLimits(),
            outputs=outputs,
            clock=clock,
            snapshot=snapshot,
        )
        yield Bench(loop, snapshot, script, steps)


def observations(loop: ToolLoop) -> list[str]:
    """What the mind was shown, call after call."""
    return [entry.body["observation"]["text"] for entry in loop.log.entries if entry.kind == "result"]
