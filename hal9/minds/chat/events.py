"""Server-sent events, as chat servers send them."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

__all__ = ["Event", "EventTooLarge", "read_events"]

MAX_EVENT_BYTES = 8_000_000
"""An event beyond this is not an answer; it must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, mostly empty, and its data."""

    name: str
    data: str


class EventTooLarge(ValueError):
    """A line or event has no end."""


async def read_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    r"""Events out of the bytes of a stream.

    Lines end with ``\n`` or ``\r\n``; other separators that `str.splitlines` knows may stand in the data.
    Several `data` lines of an event are one text, as the standard has it; servers that leave out the empty
    line between events are understood, because each of their lines is a JSON text of its own.

    Raises:
        EventTooLarge: a line or an event is longer than `MAX_EVENT_BYTES`.
    """
    reader = _Reader()
    async for raw in _lines(pieces):
        for event in reader.take(raw.decode("utf-8", "replace").removesuffix("\r")):
            yield event
    for event in reader.end():
        yield event


@dataclass(slots=True)
class _Reader:
    """Collects the lines of one event after the other."""

    _name: str = ""
    _data: str = ""

    def take(self, line: str) -> Iterator[Event]:
        """Read a line; yields an event that it ends."""
        if not line:
            yield from self._flush()
            self._name = ""
        elif line.startswith("data:"):
            if self._data and _complete(self._data):
                yield from self._flush()
            value = line[5:].removeprefix(" ")
            self._data = f"{self._data}\n{value}" if self._data else value
            if len(self._data) > MAX_EVENT_BYTES:
                raise EventTooLarge
        elif line.startswith("event:"):
            yield from self._flush()
            self._name = line[6:].strip()
        elif line.startswith("{"):
            # Not an event at all: some gateways put their error between the events.
            yield Event(self._name, line)

    def end(self) -> Iterator[Event]:
        """What is left; an event cut off in its middle is told by the missing end of the answer."""
        if self._name or _complete(self._data):
            yield from self._flush()

    def _flush(self) -> Iterator[Event]:
        if self._data.strip():
            yield Event(self._name, self._data)
        self._data = ""


def _complete(data: str) -> bool:
    if data == "[DONE]":
        return True
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = bytearray()
    async for piece in pieces:
        held += piece
        while (end := held.find(b"\n")) >= 0:
            line = bytes(held[:end])
            del held[: end + 1]
            yield line
        if len(held) > MAX_EVENT_BYTES:
            raise EventTooLarge
    if held:
        yield bytes(held)
