"""A daemon that has nothing to do wakes up rarely, and at once when there is something."""

import asyncio
from asyncio.events import Handle
from collections import Counter

import pytest

from hal9.api.server import ApiServer
from hal9.cluster import Home
from tests.conftest import Script, running_cluster

# What the event loop ran for each half second of the watchdog's: 42 when every loop looked by itself.
_MOST_PER_BEAT = 20
_BEATS = 8


async def test_an_idle_daemon_and_its_server_wake_up_rarely(
    home: Home, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("adder")
    ran: Counter[str] = Counter()
    beats = 0
    plain = Handle._run

    def counted(self: Handle) -> None:
        nonlocal beats
        task = getattr(self._callback, "__self__", None)  # type: ignore[attr-defined]
        name = task.get_name() if isinstance(task, asyncio.Task) else "callback"
        ran[name] += 1
        beats += name == "watchdog beat"
        plain(self)

    async with running_cluster(home) as (_, cluster), ApiServer(home):
        await cluster.wait(await cluster.submit("2 + 3"), timeout_seconds=120)
        await asyncio.sleep(1.0)  # what the task left behind
        with monkeypatch.context() as patched:
            patched.setattr(Handle, "_run", counted)
            while beats < _BEATS:
                await asyncio.sleep(0.5)
        assert ran.total() <= _MOST_PER_BEAT * beats, ran.most_common()
        # Asleep it may be; a task is taken up by the commit that brings it.
        task = await cluster.wait(await cluster.submit("4 + 5"), timeout_seconds=120)
        assert task.state == "done"
