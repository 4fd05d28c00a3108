"""Many who watch: told together, served by one drawing, and nobody is left with an old state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from hal9.api.hub import EventHub
from hal9.clock import SystemClock
from hal9.cluster import Cluster, Home
from hal9.dashboard.pulse import Pulse, change_lines

pytestmark = pytest.mark.asyncio


async def told(lines: AsyncIterator[str]) -> str:
    """The mark of the next telling."""
    async for line in lines:
        if "event: changed" in line:
            return line.partition("data: ")[2].strip()
    raise AssertionError("the stream ended")


async def test_all_are_told_of_a_change_and_of_what_came_meanwhile(home: Home) -> None:
    home.make_state()
    async with Cluster(home) as cluster, EventHub(home) as hub, Pulse(hub, clock=SystemClock()) as pulse:
        seen = pulse.mark()
        async with (
            asyncio.timeout(60),
            aclosing(change_lines(hub, pulse, seen=seen)) as one,
            aclosing(change_lines(hub, pulse, seen=seen)) as other,
        ):
            first = [asyncio.ensure_future(told(lines)) for lines in (one, other)]
            await cluster.submit("the first")
            marks = await asyncio.gather(*first)
            assert marks[0] == marks[1] != seen
            # What happens right after a telling is told at the next, however long it takes.
            await cluster.submit("the second")
            while pulse.mark() == marks[0]:
                await asyncio.sleep(0.01)
            again = await asyncio.gather(told(one), told(other))
            assert again[0] == again[1] == pulse.mark()
            # Who comes with an old mark is told at once.
            async with aclosing(change_lines(hub, pulse, seen=seen)) as late:
                assert await told(late) == pulse.mark()


async def test_a_page_drawn_after_a_telling_is_told_of_what_comes_later_only(home: Home) -> None:
    home.make_state()
    async with Cluster(home) as cluster, EventHub(home) as hub, Pulse(hub, clock=SystemClock()) as pulse:
        async with asyncio.timeout(60):
            waiting = asyncio.ensure_future(pulse.tick())
            await cluster.submit("the first")
            await waiting
            while pulse.mark() == pulse.told:  # the next is not told for a while
                await cluster.submit("drawn already")
                await asyncio.sleep(0.01)
            drawn = pulse.mark()
            await cluster.submit("the last")
            while pulse.mark() == drawn:
                await asyncio.sleep(0.01)
            async with aclosing(change_lines(hub, pulse, seen=drawn)) as lines:
                assert int((await told(lines)).partition("-")[2]) > int(drawn.partition("-")[2])


async def test_a_page_is_drawn_once_for_all_and_anew_after_the_next_telling(home: Home) -> None:
    home.make_state()
    drawn = []

    async def draw() -> int:
        drawn.append(1)
        await asyncio.sleep(0.01)
        return len(drawn)

    async def fail() -> int:
        raise ValueError("no page")

    async with Cluster(home) as cluster, EventHub(home) as hub, Pulse(hub, clock=SystemClock()) as pulse:
        assert await asyncio.gather(*(pulse.shared("now", draw) for _ in range(50))) == [1] * 50
        assert await pulse.shared("inbox", draw) == 2, "another page is another drawing"
        waiting = asyncio.ensure_future(pulse.tick())
        await cluster.submit("something")
        async with asyncio.timeout(60):
            await waiting
        assert await pulse.shared("now", draw) == 3
        for _ in range(2):
            with pytest.raises(ValueError, match="no page"):
                await pulse.shared("broken", fail)
        assert await pulse.shared("now", draw) == 3, "one page's fault is no other's"
