"""Where turns run: in this process, in another one, or out of a log.

A `NodeHost` takes a request and gives a reply; both are plain data, and a turn has no other effect. So a
node that lives elsewhere behaves to the letter like a local one, and a lost reply is simply asked for again.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from hal9.belief.message_writer import TurnContext
from hal9.belief.node import NodeState
from hal9.belief.signals import Signal
from hal9.belief.turn import TurnReply, TurnRequest, take_turn
from hal9.errors.belief import BeliefSignalInvalid, NodeHostFailed, ReplayDiverged

__all__ = [
    "LocalHost",
    "NodeHost",
    "PipeHost",
    "ReplayHost",
    "SpreadHost",
    "answer_line",
    "reply_from_json",
    "reply_to_json",
    "request_from_json",
    "request_to_json",
    "serve_lines",
]

B = TypeVar("B")
E = TypeVar("E")

_LIMIT = 64 * 1024 * 1024


class NodeHost(Protocol):
    """Runs turns. May be called concurrently for different nodes."""

    async def turn(self, request: TurnRequest) -> TurnReply:
        """Run one turn.

        Raises:
            NodeHostFailed: the host is gone; the same request may be sent to another host.
        """
        ...


class LocalHost(Generic[B, E]):
    """Turns in this process."""

    def __init__(self, bench: TurnContext[B, E]) -> None:
        self.bench = bench

    async def turn(self, request: TurnRequest) -> TurnReply:
        return await take_turn(request, self.bench)


class PipeHost:
    """Turns in a child process that reads requests and writes replies, one JSON object a line.

    The child runs `serve_lines` (any program that does so will do). Requests are answered in order.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self.command, stdin=pipe, stdout=pipe, limit=_LIMIT
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def turn(self, request: TurnRequest) -> TurnReply:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise NodeHostFailed(host=self.command[0], detail="it is not open; use it in `async with`")
        line = json.dumps(request_to_json(request)).encode() + b"\n"
        async with self._lock:
            try:
                process.stdin.write(line)
                await process.stdin.drain()
                answer = await process.stdout.readline()
            except (OSError, ValueError) as error:
                raise NodeHostFailed(host=self.command[0], detail=repr(error)) from error
        if not answer.endswith(b"\n"):
            raise NodeHostFailed(host=self.command[0], detail="the process ended without an answer")
        try:
            data = json.loads(answer)
        except ValueError as error:
            raise NodeHostFailed(host=self.command[0], detail=f"no JSON: {answer[:80]!r}") from error
        if "error" in data:
            raise NodeHostFailed(host=self.command[0], detail=str(data["error"]))
        return reply_from_json(data)


class SpreadHost:
    """Turns over several hosts: every node has its own, and the nodes are spread evenly.

    A host that is gone loses its nodes to the others; as a turn has no effect but its reply, asking another
    host for it again does no harm.

    Args:
        hosts: opened by the caller; at least one.
    """

    def __init__(self, hosts: Sequence[NodeHost]) -> None:
        if not hosts:
            raise NodeHostFailed(host="(none)", detail="no host was given")
        self._hosts = list(hosts)
        self._homes: dict[str, NodeHost] = {}

    async def turn(self, request: TurnRequest) -> TurnReply:
        node = request.state.id
        while True:
            host = self._homes.get(node)
            if host is None or host not in self._hosts:
                host = self._homes[node] = self._least_loaded()
            try:
                return await host.turn(request)
            except NodeHostFailed:
                if host in self._hosts:
                    self._hosts.remove(host)
                if not self._hosts:
                    # Whoever runs the population may open hosts again and go on.
                    self._hosts = [host]
                    raise

    def _least_loaded(self) -> NodeHost:
        loads = [sum(home is host for home in self._homes.values()) for host in self._hosts]
        return self._hosts[loads.index(min(loads))]


class ReplayHost:
    """Turns out of a recorded log: nothing is measured, no mind is asked.

    The log's `turn` entries must hold replies (`Population(..., record=True)`).
    """

    def __init__(self, log: Sequence[Mapping[str, Any]]) -> None:
        self._turns = {
            (entry["node"], entry["facts"]["seed"]): (entry["number"], entry["facts"]["reply"])
            for entry in log
            if entry["what"] == "turn"
        }

    async def turn(self, request: TurnRequest) -> TurnReply:
        found = self._turns.get((request.state.id, request.seed))
        asked = f"a turn of {request.state.id} with seed {request.seed}"
        if found is None:
            raise ReplayDiverged(position=len(self._turns), expected="no such turn", found=asked)
        return reply_from_json(found[1])


async def answer_line(line: str | bytes, bench: TurnContext[B, E]) -> str:
    """One request line in, one reply line out: what any wire does on the far side."""
    try:
        request = request_from_json(json.loads(line))
    except (ValueError, BeliefSignalInvalid) as error:
        return json.dumps({"error": str(error)})
    return json.dumps(reply_to_json(await take_turn(request, bench)))


async def serve_lines(bench: TurnContext[B, E], reader: Any, writer: Any) -> None:
    """Answer requests from a binary file object until it ends."""
    while line := await asyncio.to_thread(reader.readline):
        writer.write((await answer_line(line, bench)).encode() + b"\n")
        writer.flush()


def request_to_json(request: TurnRequest) -> dict[str, Any]:
    """The request as JSON."""
    return {
        "state": request.state.to_json(),
        "inbox": [signal.to_json() for signal in request.inbox],
        "neighbours": list(request.neighbours),
        "seed": request.seed,
        "allowance": request.allowance,
    }


def request_from_json(data: Mapping[str, Any]) -> TurnRequest:
    """The inverse of `request_to_json`."""
    try:
        return TurnRequest(
            state=NodeState.from_json(data["state"]),
            inbox=tuple(Signal.from_json(entry) for entry in data["inbox"]),
            neighbours=tuple(data["neighbours"]),
            seed=int(data["seed"]),
            allowance=int(data["allowance"]),
        )
    except (KeyError, TypeError) as error:
        raise BeliefSignalInvalid(what="turn request", detail=repr(error)) from error


def reply_to_json(reply: TurnReply) -> dict[str, Any]:
    """The reply as JSON."""
    return {
        "state": reply.state.to_json(),
        "outbox": [signal.to_json() for signal in reply.outbox],
        "spent": reply.spent,
        "trial": list(reply.trial) if reply.trial else None,
    }


def reply_from_json(data: Mapping[str, Any]) -> TurnReply:
    """The inverse of `reply_to_json`."""
    try:
        trial = data["trial"]
        return TurnReply(
            state=NodeState.from_json(data["state"]),
            outbox=tuple(Signal.from_json(entry) for entry in data["outbox"]),
            spent=int(data["spent"]),
            trial=(str(trial[0]), str(trial[1]), float(trial[2])) if trial else None,
        )
    except (KeyError, TypeError) as error:
        raise BeliefSignalInvalid(what="turn reply", detail=repr(error)) from error
