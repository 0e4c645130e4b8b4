"""Deriving signals again from what is raw, after the map changed.

By window of *arrival*: raw rows are partitioned by it, so only the days asked for are read, while
an event window would have to look through everything that could have arrived late.

The SELECT is the materialized views' own, taken from the engine, so what makes a signal has one
home; the condition on arrival stands outside it and the engine carries it to the partitions. Only
signals that come out different are written, as rows that win by ``derived_version`` and keep the
arrival of their first copy. Running it again therefore writes nothing; a run that broke off is
finished by the next one; rows that arrive meanwhile have been judged by the new map already.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final

from analyzer_service.clock import Clock
from analyzer_service.errors import InvalidInputError, StoreError
from analyzer_service.signal_map import Derivation
from analyzer_service.store.cluster import LOCAL
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc, instant

SLICE_RECORDS: Final = 500_000
"""Raw rows derived in one go: bounds memory to some 600 MiB (docs/signal-map.md)."""

VIEWS: Final = {"otel_traces": "otel_traces_to_signals", "otel_logs": "otel_logs_to_signals"}
"""Raw table → the view that makes signals of it."""

CHANGES: Final = ("stage", "component", "action", "action_kind", "missing")
"""What is counted of the signals that came out different, in the order the query has it."""

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slice:
    """Raw rows of one table that arrived in [start, end)."""

    table: str
    start: datetime
    end: datetime


def derive(
    store: Store,
    clock: Clock,
    *,
    window_start: datetime | None,
    window_end: datetime | None,
    touched: set[date],
) -> Iterator[Derivation]:
    """Derive the signals of a window again, and yield after each piece of it.

    Args:
        store: An open, migrated store.
        clock: For the time written to each row, and the end of an open window.
        window_start: First instant of arrival; None: from the oldest raw row on.
        window_end: First instant after; None: up to now.
        touched: Gets the event days that need settling again, also if the caller stops early.

    Raises:
        InvalidInputError: The window ends before it starts.
    """
    start = EPOCH if window_start is None else window_start
    end = clock.now() if window_end is None else window_end
    if start >= end:
        raise InvalidInputError(
            "The window ends before it starts.",
            field="window_end_time",
            hint="The start is the first instant inside, the end the first after.",
        )
    slices = _slices(store, start, end)
    if window_start is None:
        start = min((piece.start for piece in slices), default=end)
    state = Derivation(
        window_start=start,
        window_end=end,
        version=int(store.query(queries["signal_map_version"])[0][0]),
        total_steps=len(slices),
    )
    views = {table: _view_select(store, table) for table in VIEWS}
    yield state
    for piece in slices:
        state, days = _derive_slice(store, clock, piece, views[piece.table], state)
        touched.update(days)
        yield state
    bounds = {"window_start": instant(start), "window_end": instant(end)}
    touched.update(row[0] for row in store.query(queries["derivation_unsettled_days"], bounds))


def _derive_slice(
    store: Store, clock: Clock, piece: Slice, view: str, state: Derivation
) -> tuple[Derivation, list[date]]:
    """Derive one piece; return how far all is now, and the event days that changed."""
    bounds = {"window_start": instant(piece.start), "window_end": instant(piece.end)}
    rows = store.query(_over(view, "derivation_differences"), bounds)
    counted: Counter[str] = Counter(state.changed)
    for row in rows:
        counted.update(dict(zip(CHANGES, map(int, row[3:]), strict=True)))
    different = sum(int(row[2]) for row in rows)
    if different:
        written = {**bounds, "derived_time": instant(clock.now())}
        store.execute(_over(view, "derivation_write"), written)
    done = replace(
        state,
        examined=state.examined + sum(int(row[1]) for row in rows),
        derived=state.derived + different,
        changed={name: counted[name] for name in CHANGES if counted[name]},
        steps=state.steps + 1,
    )
    return done, [row[0] for row in rows if row[2]]


def _over(view: str, name: str) -> str:
    """Return a named query whose ``derived`` is a view's SELECT over one slice."""
    before, _, rest = queries[name].partition("WITH\n")
    return (
        f"{before}WITH derived AS (SELECT * FROM ({view})"
        " WHERE ingest_time >= {window_start:DateTime64(3, 'UTC')}"
        f" AND ingest_time < {{window_end:DateTime64(3, 'UTC')}}),\n{rest}"
    )


def _view_select(store: Store, table: str) -> str:
    rows = store.query(queries["derivation_view"], {"view": VIEWS[table]})
    if not rows:
        raise StoreError(f"The store has no view {VIEWS[table]}.", hint="run mlp-analyzer migrate")
    # On a cluster the views work on each server's part; this one works on the whole.
    return re.sub(rf"\b{table}{LOCAL}\b", table, str(rows[0][0]))


def _slices(store: Store, start: datetime, end: datetime) -> list[Slice]:
    """Cut a window into days, and a day with many arrivals into pieces of it."""
    bounds = {"window_start": instant(start), "window_end": instant(end)}
    found: list[Slice] = []
    for table, day, records in store.query(queries["derivation_arrivals"], bounds):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        first, last = max(start, midnight), min(end, midnight + DAY)
        if records <= SLICE_RECORDS:
            found.append(Slice(table, first, last))
        else:
            inside = {"window_start": instant(first), "window_end": instant(last)}
            seconds = store.query(queries[f"derivation_arrivals_{table}"], inside)
            cuts = [first, *cut_points([(as_utc(at), int(n)) for at, n in seconds]), last]
            found += [Slice(table, left, right) for left, right in pairwise(cuts) if left < right]
    return found


def cut_points(seconds: Sequence[tuple[datetime, int]]) -> list[datetime]:
    """Return where to cut so that no piece has more than ``SLICE_RECORDS``, but for single seconds.

    Args:
        seconds: Each second with arrivals and how many it has, in order.
    """
    cuts: list[datetime] = []
    weight = 0
    for at, records in seconds:
        if weight and weight + records > SLICE_RECORDS:
            cuts.append(at)
            weight = 0
        weight += records
    return cuts
