"""What the daemon says of itself in `status.json`, and how others judge what they read there."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hal9 import __version__
from hal9.clock import Clock, SteadyClock
from hal9.cluster.home import Home
from hal9.cluster.state_files import read_state, write_state

if TYPE_CHECKING:
    from hal9.cluster.runtime import NodeRuntime

__all__ = ["FRESH_SECONDS", "STATUS_SECONDS", "StatusReport", "judged"]

_log = logging.getLogger("hal9.cluster.status")

STATUS_SECONDS = 2.0
"""How often the daemon writes it."""
FRESH_SECONDS = 15.0
"""A status older than this says that the daemon's event loop stands still."""
_ALERTS = 10


class StatusReport:
    """Written by the daemon's event loop, and by its watchdog when that stands still.

    Args:
        home: whose file it is.
        clock: time.
        mind: what the default mind is.
    """

    def __init__(self, home: Home, *, clock: Clock, mind: Callable[[], str]) -> None:
        self._path = home.status
        self._clock = clock
        self._mind = mind
        self._started_at = clock.now()
        self.alerts: list[str] = []
        self._state = "starting"
        self._said: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._unwritable = ""
        self.home_id = home.identity()
        self._runtime: NodeRuntime | None = None
        self._embedded = False

    def attach(self, runtime: "NodeRuntime", *, embedded: bool) -> None:
        """From here on tell of these services too; `embedded`: the broker is this process's own."""
        self._runtime, self._embedded = runtime, embedded

    def alert(self, text: str) -> None:
        """Show a warning in the log and in `hal9 status`."""
        _log.warning("%s", text)
        self.alerts = [*self.alerts[1 - _ALERTS :], text]

    def write(self, state: str | None = None) -> None:
        """Say how things are, from the event loop; a file that cannot be written is told once in the log."""
        self._state = state or self._state
        self._said = self._describe()
        self._put({**self._said, "state": self._seen_state()})

    def write_stuck(self, detail: dict[str, Any]) -> None:
        """Say, from another thread, that the event loop stands still, and where."""
        self._put({**self._said, "state": "stuck", "stuck": detail, "written_at": self._clock.now()})

    def _put(self, said: dict[str, Any]) -> None:
        with self._lock:
            try:
                write_state(self._path, said)
            except OSError as error:
                if self._unwritable != str(error):
                    _log.error("%s cannot be written: %s", self._path, error)
                self._unwritable = str(error)
            else:
                self._unwritable = ""

    def _seen_state(self) -> str:
        if self._state == "ready" and self._runtime is not None and not self._runtime.bus.connected:
            return "no_broker"
        return self._state

    def _describe(self) -> dict[str, Any]:
        runtime = self._runtime
        said: dict[str, Any] = {
            "pid": os.getpid(),
            "version": __version__,
            "home_id": self.home_id,
            "started_at": self._started_at,
            "clock_offset": self._clock.offset if isinstance(self._clock, SteadyClock) else 0.0,
            "written_at": self._clock.now(),
            "written_monotonic": time.monotonic(),
            "boot_id": None,
            "broker": None,
            "embedded": self._embedded,
            "bus": None,
            "mind": self._mind(),
            "neurons": {},
            "nodes": {},
            "unconfirmed": 0,
            "waiting": [],
            "tool_servers": {},
            "alerts": list(self.alerts),
        }
        if runtime is None:
            return said
        return said | {
            "boot_id": runtime.journal.boot_id,
            "broker": str(runtime.bus.address),
            "bus": runtime.bus.health(),
            "neurons": {name: one.meta.layer for name, one in runtime.plan.definitions.items()},
            "nodes": {
                name: {"state": node.state, "neurons": node.neurons}
                for name, node in runtime.directory.remote().items()
            },
            "unconfirmed": runtime.courier.unconfirmed,
            "waiting": runtime.directory.waits(),
            "tool_servers": runtime.services.tools.problems(),
        }


def judged(home: Home, *, pid: int | None) -> dict[str, Any]:
    """The daemon's own words, and what their age says of them.

    Args:
        home: whose daemon.
        pid: of who holds the home's lock; 0 while it has not written that down, None when nobody holds it.

    Returns:
        The file's content; state "down" when none runs, "stuck" when the words are too old to be true.
    """
    said = read_state(home.status)
    if pid is None:
        return {**said, "state": "down", "pid": None, "alerts": said.get("alerts", [])}
    if said.get("pid") != pid:
        # An earlier daemon's last words; the new one has not spoken yet.
        return {"state": "starting", "pid": pid or None, "alerts": []}
    # The monotonic clock is the machine's: both processes read the same, whatever was done to the date.
    written = said.get("written_monotonic")
    age = time.monotonic() - written if isinstance(written, (int, float)) else 0.0
    if age > FRESH_SECONDS and said.get("state") not in ("starting", "stopping"):
        return {**said, "state": "stuck", "status_age": age}
    return {**said, "status_age": max(age, 0.0)}
