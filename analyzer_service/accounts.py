"""The accounting as values: what arrived, what became of it, what was lost before it arrived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What became of telemetry of one kind, of one service or of all.

    ``received = stored + duplicated + rejected + uncounted``. What settling finds (``signals`` to
    ``sampled``) follows at the next analysis.
    """

    source: str
    """``traces`` or ``logs``."""
    service_name: str = ""
    """Empty for all services together."""
    received: int = 0
    stored: int = 0
    """Different records that are rows."""
    duplicated: int = 0
    """Deliveries of records that were there already, or had been rejected already."""
    rejected: int = 0
    uncounted: int = 0
    """Arrived since the last count."""
    out_of_range: int = 0
    """Stored with an event time that makes no signal."""
    signals: int = 0
    without_user: int = 0
    late: int = 0
    """Signals that arrived more than an hour after their end."""
    unmapped: int = 0
    unknown_stage: int = 0
    sampled: int = 0
    """Signals that stand for more than themselves, or less."""
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PathStatus:
    """What one hop before the store said it did with telemetry of one kind."""

    hop: str
    """``sdk`` or ``collector``."""
    service_name: str
    component: str
    """The exporter, receiver or processor that counted."""
    source: str
    outcome: str
    """``processed``, ``received``, ``sent``, ``refused``, ``filtered`` or ``lost``."""
    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class TurnedAwayStatus:
    """Requests of which nothing was kept, and metrics that are not kept, by way in and reason."""

    way: str
    source: str
    reason: str
    requests: int
    records: int
    """Where they could be counted."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one service that no analysis will ever see."""

    service_name: str
    """A Collector's own name for what it lost itself."""
    source: str
    hop: str
    """Who lost them: ``sdk``, ``collector`` or ``store``."""
    reason: str
    records: int
