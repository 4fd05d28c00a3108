"""Nodes of the promptgram population in other processes, reached over the cluster's broker.

A turn travels as a task signal and its reply as the result of that task, so the courier's promises hold: at
least once on the wire, recorded once, and only the broker's login may speak for a name. The body is the JSON
of `hal9.belief.transport`: the request in the inline file `turn.json`, the reply in the result's answer.
A turn is a pure function of its request, so asking again (here or elsewhere) does no harm.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hal9.belief import TurnContext
from hal9.belief.transport import answer_line, reply_from_json, request_to_json
from hal9.belief.turn import TurnReply, TurnRequest
from hal9.bus import BrokerAddress, Courier, CourierSettings, Failure, MqttBus, Outcome
from hal9.bus.crew import BackgroundTasks
from hal9.clock import Clock, SystemClock
from hal9.errors.base import BusError, SignalError
from hal9.errors.belief import NodeHostFailed
from hal9.journal import Journal
from hal9.signals import ErrorDetail, InlineFile, ResultPayload, Signal, StatusPayload, TaskPayload, new_id

__all__ = ["BusHost", "serve_turns"]

B = TypeVar("B")
E = TypeVar("E")

_OBJECTIVE = "belief turn"
_FILE = "turn.json"
_LABELS = {"workload": "belief"}
_CONNECT_SECONDS = 30.0


class BusHost:
    """A `NodeHost` whose turns run in another process on the same broker; use it with `async with`.

    Args:
        address: the broker, with this side's login.
        target: the name under which the other side serves turns.
        journal: file of this side's journal.
        name: this side's name.
        cluster: as both sides call it.
        patience: seconds within which a turn must be answered; the other side may be restarted meanwhile.
        settings: of the courier.
        clock: time.
    """

    def __init__(
        self,
        address: BrokerAddress,
        target: str,
        *,
        journal: Path,
        name: str = "population",
        cluster: str = "hal9",
        patience: float = 600.0,
        settings: CourierSettings | None = None,
    ) -> None:
        self.target = target
        self.name = name
        self.patience = patience
        self._address = address
        self._journal = Journal(journal)
        self._cluster = cluster
        self._settings = settings
        self._clock: Clock = SystemClock()
        self._courier: Courier | None = None
        self._waiting: dict[str, asyncio.Future[ResultPayload]] = {}
        self._gone = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect and wait until the other side is there.

        Raises:
            BusError: no connection to the broker.
            NodeHostFailed: the other side did not show up within `patience`.
        """
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(self._journal)
            courier = Courier(
                MqttBus(self._address, client_id=f"{self._cluster}-{self.name}"),
                journal,
                cluster=self._cluster,
                node=self.name,
                settings=self._settings,
                clock=self._clock,
                on_failure=self._undelivered,
            )
            courier.host(self.name, self._take, concurrency=16)
            await stack.enter_async_context(courier)
            await courier.wait_connected(_CONNECT_SECONDS)
            ready = asyncio.Event()
            crew = await stack.enter_async_context(BackgroundTasks())
            crew.start(self._watch(courier, ready), name="belief host status")
            try:
                async with asyncio.timeout(self.patience):
                    await ready.wait()
            except TimeoutError:
                detail = f"nobody serves turns under that name within {self.patience:g} s"
                raise NodeHostFailed(host=self.target, detail=detail) from None
            self._courier = courier
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._courier = None
        self._fail("this side was closed")
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def turn(self, request: TurnRequest) -> TurnReply:
        """Run one turn over there.

        Raises:
            NodeHostFailed: the other side is gone, refuses, or does not answer; the population is as it was.
        """
        if self._courier is None:
            raise NodeHostFailed(host=self.target, detail="it is not open; use it in `async with`")
        if self._gone:
            raise NodeHostFailed(host=self.target, detail=self._gone)
        signal = self._signal(request)
        future: asyncio.Future[ResultPayload] = asyncio.get_running_loop().create_future()
        self._waiting[signal.id] = future
        try:
            async with asyncio.timeout(self.patience):
                await self._courier.send((signal,))
                result = await future
        except TimeoutError:
            detail = f"no answer within {self.patience:g} s"
            raise NodeHostFailed(host=self.target, detail=detail) from None
        except (BusError, SignalError) as error:
            raise NodeHostFailed(host=self.target, detail=str(error)) from error
        finally:
            self._waiting.pop(signal.id, None)
        if not result.ok:
            detail = result.error.message if result.error else "it refused without a reason"
            raise NodeHostFailed(host=self.target, detail=detail)
        try:
            return reply_from_json(json.loads(result.answer))
        except ValueError as error:
            raise NodeHostFailed(host=self.target, detail=f"no JSON: {result.answer[:80]!r}") from error

    def _signal(self, request: TurnRequest) -> Signal:
        now = self._clock.now()
        body = json.dumps(request_to_json(request))
        return Signal.create(
            TaskPayload(
                objective=_OBJECTIVE, files=[InlineFile(path=_FILE, content=body)], labels=dict(_LABELS)
            ),
            task_id=new_id(now=now),
            source=self.name,
            target=self.target,
            now=now,
            ttl_seconds=self.patience,
        )

    async def _take(self, signal: Signal) -> Outcome:
        """A reply; one nobody waits for any more changes nothing."""
        future = self._waiting.get(signal.cause_id or "")
        payload = signal.payload
        if future is not None and not future.done() and isinstance(payload, ResultPayload):
            future.set_result(payload)
        return Outcome()

    async def _undelivered(self, failure: Failure) -> Outcome:
        future = self._waiting.get(failure.signal.id)
        if future is not None and not future.done():
            future.set_exception(NodeHostFailed(host=self.target, detail=failure.detail))
        return Outcome()

    async def _watch(self, courier: Courier, ready: asyncio.Event) -> None:
        """Know whether the other side is there: the broker speaks its last will when its process dies."""
        statuses: AsyncGenerator[Signal, None] = courier.watch(progress=False)
        async with aclosing(statuses) as events:
            async for event in events:
                payload = event.payload
                if not isinstance(payload, StatusPayload) or self.target not in (
                    event.source,
                    *payload.neurons,
                ):
                    continue
                if payload.state == "ready":
                    self._gone = ""
                    ready.set()
                elif payload.state == "offline" and ready.is_set():
                    reason = payload.detail.get("reason", "its process ended")
                    self._gone = f"it went offline ({reason})"
                    self._fail(self._gone)

    def _fail(self, detail: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NodeHostFailed(host=self.target, detail=detail))


async def serve_turns(
    bench: TurnContext[B, E],
    address: BrokerAddress,
    *,
    name: str,
    journal: Path,
    cluster: str = "hal9",
    concurrency: int = 4,
    settings: CourierSettings | None = None,
) -> None:
    """Answer turns for a population elsewhere, until cancelled.

    Args:
        bench: evaluator, proposer and the rest; it lives on this side.
        address: the broker, with this side's login.
        name: under which the turns are served.
        journal: file of this side's journal.
        cluster: as both sides call it.
        concurrency: turns at a time.
        settings: of the courier.

    Raises:
        BusError: no connection to the broker.
    """
    clock = SystemClock()

    async def handle(signal: Signal) -> Outcome:
        if not isinstance(signal.payload, TaskPayload):
            return Outcome()
        result = await _turn(signal.payload, bench, name)
        reply = Signal.create(
            result,
            task_id=signal.task_id,
            source=name,
            target=signal.source,
            now=clock.now(),
            cause=signal,
        )
        return Outcome(send=(reply,))

    async with Journal(journal) as opened:
        courier = Courier(
            MqttBus(address, client_id=f"{cluster}-{name}"),
            opened,
            cluster=cluster,
            node=name,
            settings=settings,
            clock=clock,
        )
        courier.host(name, handle, concurrency=concurrency)
        async with courier:
            await courier.wait_connected(_CONNECT_SECONDS)
            await courier.set_status("ready")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


async def _turn(task: TaskPayload, bench: TurnContext[B, E], name: str) -> ResultPayload:
    line = next((file.content for file in task.files if file.path == _FILE), None)
    if line is None:
        return _refused(f"the task carries no {_FILE}", name)
    answer = await answer_line(line, bench)
    problem: Any = json.loads(answer).get("error")
    return ResultPayload(ok=True, answer=answer) if problem is None else _refused(problem, name)


def _refused(detail: str, name: str) -> ResultPayload:
    return ResultPayload(
        ok=False, error=ErrorDetail(reason="invalid_output", message=str(detail), neuron=name)
    )
