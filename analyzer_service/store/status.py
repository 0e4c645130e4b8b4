"""The accounting of a store, read from its tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc

SOURCES: Final = {"traces": "span", "logs": "log"}
"""The OTLP signals by the name their rows carry in ``signals.source``."""


@dataclass(frozen=True, slots=True)
class CountedSource:
    """Rows of one OTLP signal."""

    source: str
    stored: int
    rejected: int
    out_of_range: int
    signals: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Rows of the store, by what became of them."""

    sources: tuple[CountedSource, ...]
    rejected_by_reason: Mapping[str, int]
    settled_days: int
    newest_settled_day: str
    watermark: datetime | None
    attempts: int
    failures: int
    propagated: int
    without_user: int
    unmapped: int
    unknown_stage: int
    users: int


def read_status(store: Store) -> Counted:
    """Count what the store holds."""
    signals = dict(store.query(queries["status_signals"]))
    rejected: dict[str, int] = defaultdict(int)
    reasons: dict[str, int] = defaultdict(int)
    for source, reason, records in store.query(queries["status_rejected"]):
        rejected[source] += int(records)
        reasons[reason] += int(records)
    sources = []
    for source, carried in SOURCES.items():
        stored, out_of_range = store.query(queries[f"status_{source}"])[0]
        sources.append(
            CountedSource(
                source=source,
                stored=int(stored),
                rejected=rejected[source],
                out_of_range=int(out_of_range),
                signals=int(signals.get(carried, 0)),
            )
        )
    days, newest, *counts = store.query(queries["status_settled"])[0]
    settlement = store.query(queries["settlement_last"])
    users = store.query(queries["status_users"])[0][0]
    attempts, failures, propagated, without_user, unmapped, unknown_stage = map(int, counts)
    return Counted(
        sources=tuple(sources),
        rejected_by_reason=dict(reasons),
        settled_days=int(days),
        newest_settled_day="" if newest == EPOCH.date() else newest.isoformat(),
        watermark=as_utc(settlement[0][0]) if settlement else None,
        attempts=attempts,
        failures=failures,
        propagated=propagated,
        without_user=without_user,
        unmapped=unmapped,
        unknown_stage=unknown_stage,
        users=int(users),
    )
