"""Counts of what leaves no row behind: refused requests, metrics that are not kept.

They are added up in memory and written once a second, so that a flood of bad requests costs the
store nothing more than one bad request does.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from datetime import date
from typing import Final

from analyzer_service.clock import Clock
from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store

FLUSH_SECONDS: Final = 1.0
"""How often counts are written, and the most that a killed service forgets."""

_COLUMNS: Final = ("arrival_day", "way", "source", "reason", "requests", "records")

_Key = tuple[date, str, str, str]

_log = logging.getLogger(__name__)


class TurnedAway:
    """Keeps count in the store. Safe to use from many threads; start it, and stop it at the end."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Count for an open, migrated store."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._requests: Counter[_Key] = Counter()
        self._records: Counter[_Key] = Counter()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turned-away", daemon=True)

    def count(
        self, way: str, source: str, reason: str, *, requests: int = 1, records: int = 0
    ) -> None:
        """Count requests of which nothing was kept, or records that are not.

        Args:
            way: The way in, such as ``otlp_http``.
            source: ``traces``, ``logs``, ``metrics``, or ``unknown``.
            reason: A stable word.
            requests: How many requests.
            records: How many records, where they could be counted.
        """
        key = (self._clock.now().date(), way, source, reason)
        with self._lock:
            self._requests[key] += requests
            self._records[key] += records

    def flush(self) -> None:
        """Write what was counted since the last time; what cannot be written is kept for later."""
        with self._lock:
            requests, self._requests = self._requests, Counter()
            records, self._records = self._records, Counter()
        if not requests:
            return
        rows = [(*key, number, records[key]) for key, number in sorted(requests.items())]
        try:
            self._store.insert_rows("turned_away", _COLUMNS, rows, token=uuid.uuid4().hex)
        except StoreError as error:
            _log.warning("counts of refused requests wait for the store: %s", error)
            with self._lock:
                self._requests.update(requests)
                self._records.update(records)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, then end."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._ending.wait(FLUSH_SECONDS):
            self.flush()
