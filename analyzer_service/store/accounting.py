"""The accounting of a store: what arrived, what became of it, what was lost on the way.

Views count arrivals as they come. How many of them are different records is counted here, day of
arrival by day of arrival and only where something has arrived since the last time: the cost follows
what is new and not what is stored (docs/adr/0010-accounting.md).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from analyzer_service.accounts import Loss, PathStatus, SourceStatus, TurnedAwayStatus
from analyzer_service.clock import Clock
from analyzer_service.domain import Window
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH

SOURCES: Final = ("traces", "logs")
"""The kinds of telemetry that become rows."""

LISTED: Final = 1000
"""Services and hops that are listed; more names than that are a mistake in what names them. The
totals are of all."""

_COUNTED_COLUMNS: Final = (
    "arrival_day", "source", "service_name", "counted_time", "arrived", "refused", "stored",
    "rejected", "rejected_by_reason", "out_of_range",
)  # fmt: skip

_Key = tuple[str, str]
"""Kind of telemetry and service."""


@dataclass(slots=True)
class _Count:
    arrived: int = 0
    refused: int = 0
    stored: int = 0
    out_of_range: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Accounting:
    """Counts and reads the accounting of one store. Safe to use from many threads."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Work on an open, migrated store."""
        self._store = store
        self._clock = clock
        self._counting = threading.Lock()

    def count(self) -> tuple[date, ...]:
        """Count the days that something has arrived on since they were last counted.

        Returns:
            The days that were counted.
        """
        with self._counting:
            days = self._changed_days()
            for day in days:
                self._count_day(day)
            return days

    def totals(self) -> tuple[SourceStatus, ...]:
        """Return what came of all telemetry, by kind; kinds that never came are zero."""
        rows = self._store.query(queries["accounting_totals"])
        found = {str(row[0]): _source(row) for row in rows}
        return tuple(found.get(source, SourceStatus(source=source)) for source in SOURCES)

    def services(self) -> tuple[SourceStatus, ...]:
        """Return what came of each service's telemetry, by kind; the largest first."""
        rows = self._store.query(queries["accounting_services"], {"limit": LISTED})
        return tuple(map(_source, rows))

    def path(self) -> tuple[PathStatus, ...]:
        """Return what the hops before the store say they did; losses first."""
        rows = self._store.query(queries["accounting_hops"], {"limit": LISTED})
        return tuple(_path(row) for row in rows)

    def turned_away(self) -> tuple[TurnedAwayStatus, ...]:
        """Return the requests of which nothing was kept."""
        rows = self._store.query(queries["accounting_turned_away"])
        return tuple(
            TurnedAwayStatus(
                way=row[0], source=row[1], reason=row[2], requests=int(row[3]), records=int(row[4])
            )
            for row in rows
        )

    def losses(self, window: Window) -> tuple[Loss, ...]:
        """Return the records that were lost or rejected, by service, as told in a window.

        Losses are dated by the day their counter arrived, which is the day of the loss unless the
        path was down for longer. What a Collector lost stands under the Collector's own service
        name: its counters do not say whose it was.
        """
        bounds = {"first_day": window.start.date(), "end_day": window.end.date()}
        rows = self._store.query(queries["accounting_losses"], bounds)
        return tuple(
            Loss(service_name=row[0], source=row[1], hop=row[2], reason=row[3], records=int(row[4]))
            for row in rows
        )

    def _changed_days(self) -> tuple[date, ...]:
        changed = {row[0] for row in self._store.query(queries["arrivals_changed_days"])}
        if self._store.query(queries["arrivals_first_day"])[0][0] == EPOCH.date():
            rows = self._store.query(queries["arrivals_days_before_counting"])
            changed |= {row[0] for row in rows}
        return tuple(sorted(changed))

    def _count_day(self, day: date) -> None:
        # Arrivals before rows: what comes in between then shows as a change the next time, instead
        # of as duplicates.
        counts = self._arrived(day)
        for source in SOURCES:
            self._add_stored(counts, source, day)
        rejected = self._store.query(queries["rejected_of_day"], {"day": day})
        for source, service, reason, records in rejected:
            counts[source, service].reasons[reason] = int(records)
        counted_time = self._clock.now()
        self._store.insert_rows(
            "arrivals_counted",
            _COUNTED_COLUMNS,
            [
                (
                    day, source, service, counted_time, one.arrived, one.refused,
                    max(one.stored, 0), sum(one.reasons.values()), one.reasons,
                    max(one.out_of_range, 0),
                )
                for (source, service), one in sorted(counts.items())
            ],
        )  # fmt: skip

    def _arrived(self, day: date) -> defaultdict[_Key, _Count]:
        counts: defaultdict[_Key, _Count] = defaultdict(_Count)
        for source, service, arrived, refused in self._store.query(
            queries["arrivals_of_day"], {"day": day}
        ):
            counts[source, service] = _Count(arrived=int(arrived), refused=int(refused))
        return counts

    def _add_stored(self, counts: defaultdict[_Key, _Count], source: str, day: date) -> None:
        """Add what a day brought: all that was there after it, less what was there before."""
        for until, sign in ((day, 1), (day - timedelta(days=1), -1)):
            rows = self._store.query(queries[f"stored_{source}"], {"day": day, "until_day": until})
            for service, stored, out_of_range in rows:
                counts[source, service].stored += sign * int(stored)
                counts[source, service].out_of_range += sign * int(out_of_range)


def _source(row: Sequence[Any]) -> SourceStatus:
    return SourceStatus(
        source=row[0],
        service_name=row[1],
        received=int(row[2]),
        stored=int(row[3]),
        duplicated=int(row[4]),
        rejected=int(row[5]),
        uncounted=int(row[6]),
        out_of_range=int(row[7]),
        signals=int(row[8]),
        without_user=int(row[9]),
        late=int(row[10]),
        unmapped=int(row[11]),
        unknown_stage=int(row[12]),
        sampled=int(row[13]),
        rejected_by_reason=dict(sorted(row[14].items())),
    )


def _path(row: Sequence[Any]) -> PathStatus:
    return PathStatus(
        hop=row[0],
        service_name=row[1],
        component=row[2],
        source=row[3],
        outcome=row[4],
        reason=row[5],
        records=int(row[6]),
    )
