"""Waiting in tests: for something to become true, for as long as something still moves."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

__all__ = ["eventually", "eventually_now"]

_STILL_SECONDS = 60.0
_POLL_SECONDS = 0.02


async def eventually(
    check: Callable[[], Any],
    what: str,
    *,
    progress: Callable[[], Any] | None = None,
    still_seconds: float = _STILL_SECONDS,
) -> Any:
    """Wait until `check` gives something true, and return it.

    Patience starts anew whenever `progress` gives another value than before: a machine under load is slow,
    but it moves. Only what has not moved for `still_seconds` fails.

    Args:
        check: asked again and again; may be a coroutine function.
        what: said when it does not happen.
        progress: anything that changes while things go on (a counter, a file's size, a list of rows).
        still_seconds: how long nothing may move.
    """
    last: Any = None
    since = time.monotonic()
    while True:
        found = check()
        value: Any = await found if inspect.isawaitable(found) else found
        if value:
            return value
        moved = progress() if progress is not None else None
        if moved != last:
            last, since = moved, time.monotonic()
        if time.monotonic() - since > still_seconds:
            raise AssertionError(f"not within {still_seconds:g} s without progress: {what} (last: {moved!r})")
        await asyncio.sleep(_POLL_SECONDS)


def eventually_now(
    check: Callable[[], Any],
    what: str,
    *,
    progress: Callable[[], Any] | None = None,
    still_seconds: float = _STILL_SECONDS,
) -> Any:
    """`eventually` outside of an event loop."""
    return asyncio.run(eventually(check, what, progress=progress, still_seconds=still_seconds))
