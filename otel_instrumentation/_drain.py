"""Sends what waits in the spool, in its order, as soon as a receiver answers."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from otel_instrumentation import _guard
from otel_instrumentation._senders import Answer, Sender
from otel_instrumentation._spool import Segment, Spool

FIRST_RETRY_SECONDS: Final = 0.5
LAST_RETRY_SECONDS: Final = 5.0
"""The longest pause between two tries: a receiver that is back has everything soon."""

JITTER: Final = 0.2
"""Share by which a pause varies, so that a hundred processes do not come back at once."""

ADOPT_SECONDS: Final = 10.0
"""How often an idle process looks for what others left behind."""

Settled = Callable[[bytes, Answer], None]
"""Called with a payload that was accepted or refused."""


class Drainer:
    """A thread that empties a spool.

    Args:
        spool: What to send.
        sender: How.
        settled: Told of everything that was accepted or refused.
    """

    def __init__(self, spool: Spool, sender: Sender, settled: Settled) -> None:
        self._spool = spool
        self._sender = sender
        self._settled = settled
        self.renew()

    def renew(self) -> None:
        """Starts the thread: in a new process, also a forked one."""
        self._sender.forget()
        self._changed = threading.Condition(threading.Lock())
        self._something_new = True
        self._hurried = False
        self._failed = False
        self._resting = False
        self._stopped = False
        self._thread = threading.Thread(
            target=self._run, name="otel-instrumentation-spool", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Says that something was written."""
        with self._changed:
            self._something_new = True
            self._changed.notify_all()

    def hurry(self, seconds: float) -> bool:
        """Tries at once to send everything, and waits for it.

        Gives up at the first try that fails: what is on disk is safe, and there is no use in
        waiting for a receiver that does not answer.

        Returns:
            Whether everything was sent.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            if self._stopped:
                return False
            self._hurried, self._failed, self._resting = True, False, False
            self._something_new = True
            self._changed.notify_all()
            while not (self._resting or self._failed):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            self._hurried = False
            return self._resting

    def stop(self) -> None:
        """Sends nothing more, and lets whoever waits for it go on."""
        with self._changed:
            self._stopped = self._failed = True
            self._changed.notify_all()

    def _run(self) -> None:
        pause = 0.0
        look_again = 0.0
        while not self._stopped:
            try:
                if time.monotonic() >= look_again:
                    self._spool.adopt()
                    look_again = time.monotonic() + ADOPT_SECONDS
                segment = self._spool.take()
                if segment is None:
                    pause = 0.0
                    self._rest(ADOPT_SECONDS)
                elif self._send(segment):
                    pause = 0.0
                else:
                    pause = min(max(FIRST_RETRY_SECONDS, 2 * pause), LAST_RETRY_SECONDS)
                    self._wait_for_retry(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
            except Exception as error:
                _guard.swallow("spool", error)
                self._wait_for_retry(LAST_RETRY_SECONDS)

    def _send(self, segment: Segment) -> bool:
        try:
            answer = self._sender.send(segment.payload)
        except BaseException:
            self._spool.put_back(segment)
            raise
        if answer in {Answer.ACCEPTED, Answer.REFUSED}:
            # Counted first: a kill in between sends twice, which costs nothing.
            self._settled(segment.payload, answer)
            self._spool.done(segment)
            return True
        self._spool.put_back(segment)
        return False

    def _rest(self, seconds: float) -> None:
        with self._changed:
            if not self._something_new:
                self._resting = True
                self._changed.notify_all()
                self._changed.wait(seconds)
                self._resting = False
            self._something_new = False

    def _wait_for_retry(self, seconds: float) -> None:
        with self._changed:
            if self._hurried:
                self._hurried, self._failed = False, True
                self._changed.notify_all()
            deadline = time.monotonic() + seconds
            while not (self._hurried or self._stopped):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
