"""Ctrl-Z at a drawn view: the terminal is given back before the program stops, and taken again with `fg`."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["suspending"]


@contextmanager
def suspending(leave: Callable[[], object], enter: Callable[[], object]) -> Iterator[None]:
    """Heed the shell's stop signal while a view is drawn; inside a running event loop, in the main thread.

    Args:
        leave: gives the terminal back as it was.
        enter: takes it again. In the background its first change of the terminal stops the program once more,
            until the shell's `fg`.
    """
    if signal.getsignal(signal.SIGTSTP) != signal.SIG_DFL:
        yield  # whoever started this does not want it stopped, or is asked already
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        leave()
        loop.remove_signal_handler(signal.SIGTSTP)
        # To this very thread, so that it is stopped before it goes on. Where no shell could wake it again,
        # the system lets the signal have no effect.
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, stop)
        enter()

    loop.add_signal_handler(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTSTP)
