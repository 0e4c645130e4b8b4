"""What no rule covers yet: the work list of whoever keeps the map."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from analyzer_service.errors import InvalidInputError
from analyzer_service.signal_map import SignalName, UnmappedName
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc, instant

MOST_UNMAPPED: Final = 1_000
"""Names listed at once: more than anybody writes rules for in one go."""


def unmapped_names(
    store: Store,
    *,
    window_start: datetime | None,
    window_end: datetime,
    limit: int,
    inner_spans: bool,
) -> tuple[UnmappedName, ...]:
    """Return the most frequent names without a stage, of what arrived in a window.

    Args:
        store: An open, migrated store.
        window_start: First instant of arrival; None: all there is.
        window_end: First instant after.
        limit: At most so many.
        inner_spans: Count spans inside a component too, not only those that enter one.

    Raises:
        InvalidInputError: The limit is none.
    """
    if not 1 <= limit <= MOST_UNMAPPED:
        raise InvalidInputError(
            f"limit is {limit}.", field="limit", hint=f"Give 1 to {MOST_UNMAPPED}."
        )
    rows = store.query(
        queries["signal_map_unmapped"],
        {
            "window_start": instant(window_start or EPOCH),
            "window_end": instant(window_end),
            "limit": limit,
            "inner": int(inner_spans),
        },
    )
    return tuple(
        UnmappedName(
            name=SignalName(service=row[1], name=row[2], route=row[3]),
            source=row[0],
            records=int(row[4]),
            with_user=int(row[5]),
            first_time=as_utc(row[6]),
            last_time=as_utc(row[7]),
        )
        for row in rows
    )
