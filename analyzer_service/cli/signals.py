"""Ctrl-C and SIGTERM as an exception, so that context managers close what is open."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

INTERRUPTED_EXIT: Final = 130
"""What shells give a program that Ctrl-C ended."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequested(BaseException):
    """Somebody wants the process to end; no ``except Exception`` may keep it."""


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """End the body quietly on the first signal; a second one ends the process at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        raise StopRequested

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    except StopRequested:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep a signal back until the body is through: it must not lose what it is about to hold."""
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: arrived.append(number))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        raise StopRequested


def wait_for_signal() -> None:
    """Wait until a signal ends the process."""
    threading.Event().wait()
