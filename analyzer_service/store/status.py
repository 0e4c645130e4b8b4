"""What settling made of a store's telemetry, read from the settled tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of the signals of all settled days."""

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


def read_settled(store: Store) -> Settled:
    """Add up the settled days."""
    days, newest, *counts = store.query(queries["status_settled"])[0]
    settlement = store.query(queries["settlement_last"])
    users = store.query(queries["status_users"])[0][0]
    attempts, failures, propagated, without_user, unmapped, unknown_stage = map(int, counts)
    return Settled(
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
