"""What the receiver has seen since it started: nothing is lost without a number here."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol


class TurnedAwaySink(Protocol):
    """Keeps count, over restarts, of what left nothing else behind.

    :class:`analyzer_service.store.turned_away.TurnedAway` is one.
    """

    def count(
        self, way: str, source: str, reason: str, *, requests: int = 1, records: int = 0
    ) -> None:
        """Count requests of which nothing was kept, or records that are not."""
        ...


class Forgotten:
    """A sink that keeps nothing, for a receiver without a store."""

    def count(
        self, way: str, source: str, reason: str, *, requests: int = 1, records: int = 0
    ) -> None:
        """Count nothing."""


@dataclass(frozen=True)
class SignalStatistics:
    """Counts of one kind of telemetry.

    Attributes:
        received: Records that came, in requests that could be read at all.
        stored: Records that are rows now.
        rejected: Records that are not, by reason; each is a row of ``rejected``.
        repaired: Strings whose invalid UTF-8 was replaced.
        warned: Records stored with something their sender should mend.
        requests: Requests that came, answered in whatever way.
        refused: Requests of which nothing could be kept, by reason.
    """

    received: int
    stored: int
    rejected: Mapping[str, int]
    repaired: int
    warned: int
    requests: int
    refused: Mapping[str, int]


@dataclass(frozen=True)
class IngestStatistics:
    """Counts since the receiver started.

    Of metrics ``received`` counts data points; those that accounting does not read are rejected.
    """

    traces: SignalStatistics
    logs: SignalStatistics
    metrics: SignalStatistics


class SignalCounters:
    """Counts one kind of telemetry; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def answered(
        self, *, received: int, stored: int, repaired: int, warned: int, rejected: Mapping[str, int]
    ) -> None:
        """Count a request that was read and whose rows are stored."""
        with self._lock:
            self._counts.update(
                requests=1, received=received, stored=stored, repaired=repaired, warned=warned
            )
            self._rejected.update(rejected)

    def refused(self, reason: str) -> None:
        """Count a request of which nothing was kept."""
        with self._lock:
            self._counts["requests"] += 1
            self._refused[reason] += 1

    def snapshot(self) -> SignalStatistics:
        """Return the counts as they are now."""
        with self._lock:
            return SignalStatistics(
                received=self._counts["received"],
                stored=self._counts["stored"],
                rejected=MappingProxyType(dict(self._rejected)),
                repaired=self._counts["repaired"],
                warned=self._counts["warned"],
                requests=self._counts["requests"],
                refused=MappingProxyType(dict(self._refused)),
            )
