"""Questions and answers between nodes, with bytes: what may be asked again, and so needs no journal.

A frame is one line of JSON and then the bytes. Over a broker, frames are published at QoS 0 in the inbox
topics of the nodes, so that its permissions hold for them too; what got lost is asked for once more. Nodes
that share no broker may be reached another way; an answer goes back the way its question came.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hal9.bus.crew import BackgroundTasks
from hal9.clock import Clock
from hal9.errors.base import BusError
from hal9.errors.bus import ExchangeUnanswered

__all__ = ["LARGEST_BODY", "Answer", "Exchange", "Wire"]

_log = logging.getLogger("hal9.bus.exchange")

LARGEST_BODY = 160 * 1024
"""Most bytes of one frame's body: brokers are asked to take messages of 256 KiB."""
_LARGEST_HEAD = 64 * 1024
_ASK_AGAIN_SECONDS = 2.0
_AT_ONCE = 4

Answer = Callable[[str, Mapping[str, Any], bytes], Awaitable[tuple[Mapping[str, Any], bytes]]]
"""Answers a question of a node: (its name, what it asks, bytes) -> (what is said, bytes)."""
Wire = Callable[[str, bytes], Awaitable[None]]
"""Sends a frame to a node by its name; may lose it. Raises BusError when it knows that it did."""


class Exchange:
    """One node's questions to others, and its answers.

    Args:
        wire: carries frames to other nodes; what arrives is handed to `arrived`.
        clock: time.
    """

    def __init__(self, wire: Wire, *, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[tuple[Mapping[str, Any], bytes]]] = {}
        self._answering: set[tuple[str, str]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._crew: BackgroundTasks | None = None
        self.answer: Answer | None = None
        self.other_wire: Callable[[str], Wire | None] = lambda _node: None
        """Another way to a node by its name; None when it is to be reached by the first."""

    @property
    def waits(self) -> bool:
        """Whether an answer is expected."""
        return bool(self._waiting)

    def open(self, crew: BackgroundTasks) -> None:
        """Begin to answer; the crew owns the answers that are being made."""
        self._crew = crew

    def close(self) -> None:
        """Answer nothing more."""
        self._crew = None

    async def ask(
        self, node: str, question: Mapping[str, Any], body: bytes = b"", *, seconds: float
    ) -> tuple[Mapping[str, Any], bytes]:
        """Ask a node, again and again until it answers.

        Args:
            node: whom.
            question: what, as JSON; may be answered more than once, so it must not matter how often.
            body: bytes that belong to it, at most `LARGEST_BODY`.
            seconds: how long to wait altogether.

        Raises:
            ExchangeUnanswered: nothing came back in that time.
        """
        name = secrets.token_hex(8)
        frame = _frame({"id": name, "ask": question}, body)
        answer: asyncio.Future[tuple[Mapping[str, Any], bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[name] = answer
        wire = self.other_wire(node) or self._wire
        why = "it does not answer"
        try:
            async with asyncio.timeout(seconds):
                while not answer.done():
                    try:
                        await wire(node, frame)
                    except BusError as error:
                        why = str(error)
                    await asyncio.wait((answer,), timeout=_ASK_AGAIN_SECONDS)
                return answer.result()
        except TimeoutError:
            raise ExchangeUnanswered(node=node, seconds=seconds, detail=why) from None
        finally:
            del self._waiting[name]

    def arrived(self, source: str, frame: bytes, *, back: Wire | None = None) -> None:
        """A frame of another node; what cannot be read is dropped, its sender asks again or gives up.

        Args:
            source: the node's name.
            frame: as it was sent.
            back: the way it came, when that is not the first.
        """
        read = _read(frame)
        if read is None:
            _log.warning("%s sent something that is neither question nor answer", source)
            return
        head, body = read
        name = str(head.get("id", ""))
        if "said" in head:
            waiting = self._waiting.get(name)
            if waiting is not None and not waiting.done():
                waiting.set_result((head["said"], body))
            return
        key = (source, name)
        if self._crew is None or self.answer is None or key in self._answering:
            return
        self._answering.add(key)
        said = self._say(self.answer, source, name, (head["ask"], body), wire=back or self._wire)
        self._crew.start(said, name=f"answer {name}")

    async def _say(
        self, answer: Answer, source: str, name: str, asked: tuple[Mapping[str, Any], bytes], *, wire: Wire
    ) -> None:
        try:
            async with self._room:
                said, with_it = await answer(source, *asked)
            await wire(source, _frame({"id": name, "said": said}, with_it))
        except BusError as error:
            _log.info("an answer to %s is lost: %s", source, error)  # it asks again
        finally:
            self._answering.discard((source, name))


def _frame(head: Mapping[str, Any], body: bytes) -> bytes:
    return json.dumps(head, separators=(",", ":")).encode("ascii") + b"\n" + body


def _read(frame: bytes) -> tuple[dict[str, Any], bytes] | None:
    line, mark, body = frame.partition(b"\n")
    if not mark or len(line) > _LARGEST_HEAD or len(body) > LARGEST_BODY:
        return None
    try:
        head = json.loads(line)
    except ValueError:
        return None
    if not isinstance(head, dict) or not isinstance(head.get("said", head.get("ask")), dict):
        return None
    return head, body
