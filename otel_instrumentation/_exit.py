"""Nothing is lost at the end of a process, and the end is not held up for long.

A Python program ends in more ways than :mod:`atexit` knows: SIGTERM kills it where nobody
catches the signal, and the children of ``multiprocessing`` (and of Celery's ``billiard``) leave
by ``os._exit`` after their own finalizers. Each way gets what it needs: an exit handler, a
signal handler where the program has none, a finalizer in each child. ``os._exit`` and SIGKILL
cannot be caught.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.util
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from otel_instrumentation import _guard

EXIT_SECONDS: Final = 5.0
"""Long enough to hand a full queue to a receiver nearby; short enough for a person to wait.

The SDK alone would retry for ten seconds for each signal.
"""

_LAST: Final = -1000
"""Priority of the finalizer in children of multiprocessing: after the program's own."""


class Ending:
    """Watches for the end of a process.

    It holds a thread from the start, because newer Pythons refuse to start threads while they
    end, and because a signal handler must not wait for locks that the code it interrupted may
    hold.

    Args:
        flush: Sends what is queued; the process may go on.
        close: Sends what is queued, for the last time.
        give_up: Stops whatever is still trying to send.
        periodically: Called now and then.
        period_seconds: How often.
    """

    def __init__(
        self,
        *,
        flush: Callable[[], object],
        close: Callable[[], object],
        give_up: Callable[[], object],
        periodically: Callable[[], object],
        period_seconds: float,
    ) -> None:
        self._flush = flush
        self._close = close
        self._give_up = give_up
        self._periodically = periodically
        self._period_seconds = period_seconds
        self._ending = False
        self._signalled: int | None = None

    def start(self) -> None:
        """Begins to watch."""
        self.renew()
        atexit.register(self._at_exit)
        # Runs in every child, however it is started, after it has forgotten its parent's.
        multiprocessing.util.register_after_fork(self, Ending._in_child)
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_termination)

    def renew(self) -> None:
        """Starts the thread, also in a forked process."""
        self._tasks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._ending = False
        self._signalled = None
        self._pid = os.getpid()
        threading.Thread(
            target=self._run, args=(self._tasks,), name="otel-instrumentation-exit", daemon=True
        ).start()

    def _run(self, tasks: queue.SimpleQueue[Callable[[], object]]) -> None:
        while True:
            try:
                task = tasks.get(timeout=self._period_seconds)
            except queue.Empty:
                task = self._periodically
            try:
                task()
            except Exception as error:
                _guard.swallow("exit", error)

    def flush_within_bounds(self) -> None:
        """Has everything sent by the thread, and waits for it, but not for long."""
        done = threading.Lock()
        done.acquire()

        def flush() -> None:
            try:
                self._flush()
            finally:
                done.release()

        self._tasks.put(flush)
        if not done.acquire(timeout=EXIT_SECONDS):
            _say_late()

    def _at_exit(self) -> None:
        ended = threading.Event()

        def bound() -> None:
            if not ended.wait(EXIT_SECONDS):
                _say_late()
                self._give_up()

        self._tasks.put(bound)
        try:
            with self._undisturbed():
                self._close()
        except Exception as error:
            _guard.swallow("exit", error)
        finally:
            ended.set()

    def _in_child(self) -> None:
        multiprocessing.util.Finalize(None, self._at_exit_of_child, exitpriority=_LAST)

    def _at_exit_of_child(self) -> None:
        try:
            with self._undisturbed():
                self.flush_within_bounds()
        except Exception as error:
            _guard.swallow("exit of a child", error)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Puts a signal off until what the block sends is sent: pools terminate what ends."""
        self._ending = True
        try:
            yield
        finally:
            self._ending = False
            if self._signalled is not None:
                _die_of(self._signalled)

    def _on_termination(self, number: int, _frame: FrameType | None) -> None:
        """Sends, and then dies of the signal as if nobody had caught it."""
        if self._ending and self._signalled is None:
            self._signalled = number
            return
        try:
            # A process that was forked a moment ago has nothing to send, and no thread yet.
            if self._signalled is None and self._pid == os.getpid():
                self._signalled = number
                self.flush_within_bounds()
        except Exception as error:
            _guard.swallow("SIGTERM", error)
        _die_of(number)


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _say_late() -> None:
    _guard.logger.warning(
        "Telemetry could not be sent within %g seconds of the program's end", EXIT_SECONDS
    )
