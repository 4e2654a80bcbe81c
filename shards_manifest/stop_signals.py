"""The signals that stop a command: exceptions that no finalizer swallows, and that come at a good moment."""

import os
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_PAUSE = 0.02
"""Seconds to give a finalizer for its end."""


@contextmanager
def sigterm_raises(end: Callable[[], BaseException]) -> Iterator[None]:
    """Raise `end()` at SIGTERM within the block, so that processes, files and shared memory are cleaned up.

    Where Python swallows it, in a finalizer (`__del__`, the callback of a weak reference), the signal is sent again
    until it gets through; so is Ctrl-C. Python delivers signals to the main thread alone; elsewhere SIGTERM keeps its
    effect. The caller's own handler comes back after the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised: list[BaseException] = []
    others = sys.unraisablehook
    is_over = threading.Event()

    def on_sigterm(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleanup
        raised[:] = [end()]
        raise raised[0]

    def on_swallowed(found: Any) -> None:
        if found.exc_value in raised:
            signal.signal(signal.SIGTERM, on_sigterm)
            start_new_thread(_send_again, (signal.SIGTERM, is_over))
        elif isinstance(found.exc_value, KeyboardInterrupt):
            start_new_thread(_send_again, (signal.SIGINT, is_over))
        else:
            others(found)

    before = signal.signal(signal.SIGTERM, on_sigterm)
    sys.unraisablehook = on_swallowed
    try:
        yield
    finally:
        is_over.set()
        sys.unraisablehook = others
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Answer SIGINT and SIGTERM after the block, which they would leave half done; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {number: signal.signal(number, lambda got, _: waiting.append(got)) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if waiting:
            signal.raise_signal(waiting[0])


def _send_again(number: int, is_over: threading.Event) -> None:
    """Send this process a signal, a little later."""
    time.sleep(_PAUSE)
    if not is_over.is_set():
        os.kill(os.getpid(), number)
