"""Settling: recompute whole event days from the signals and swap them in.

Spans arrive in any order, twice, late, or with a user only their trace knows. Instead of adding
up as they come, every day that an arrival touches is computed again from ``signals FINAL`` and
replaces what was there, partition by partition. Running it again changes nothing.

The watermark is the arrival time of the newest signal settled. A signal committed slowly may carry
an arrival time just before it, so each run also remembers a fingerprint of the last minutes before
its watermark and goes back over them where that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from analyzer_service.clock import Clock
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc, instant

SETTLED_TABLES: Final = (
    "attempts_daily",
    "failures",
    "repeats_daily",
    "sessions_daily",
    "services_daily",
)

LATE_COMMIT_GRACE: Final = timedelta(minutes=5)
"""How long after its arrival time a signal may become visible; a slow insert takes seconds."""

CHUNK_SIGNALS: Final = 2_000_000
"""Signals settled in one go: bounds the memory of the joins to about 1 GiB."""

CHUNK_DAYS: Final = 45
"""Days settled in one go: an insert may touch at most 100 partitions, and neighbours count."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one run settled."""

    known_at: datetime
    days: tuple[date, ...]
    signals: int


def settle(
    store: Store,
    clock: Clock,
    *,
    stages: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> Settlement:
    """Settle every day that signals arrived for since the last run.

    Args:
        store: An open, migrated store; one process at a time may settle it.
        clock: For the times written to the ledger.
        stages: The stages that count as known.
        progress: Called with (days settled, days to settle).

    Returns:
        The days settled and the arrival time up to which the store is settled.
    """
    started = clock.monotonic()
    last, after = _resume_point(store)
    until = as_utc(store.query(queries["settlement_newest_arrival"])[0][0])
    if until <= after:
        return Settlement(known_at=last, days=(), signals=0)
    days = _touched_days(store, after=after, until=until)
    signals = settle_days(store, clock, days, known_at=until, stages=stages, progress=progress)
    tail_signals, tail_hash = _tail(store, until)
    store.execute(
        queries["settlement_record"],
        {
            "settled_time": instant(clock.now()),
            "watermark": instant(until),
            "tail_signals": tail_signals,
            "tail_hash": tail_hash,
            "days": len(days),
            "signals": signals,
            "duration_ms": int((clock.monotonic() - started) * 1000),
        },
    )
    return Settlement(known_at=until, days=tuple(days), signals=signals)


def settle_days(
    store: Store,
    clock: Clock,
    days: Sequence[date],
    *,
    known_at: datetime,
    stages: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Recompute some days and swap them in; returns the signals they hold."""
    sizes = _day_sizes(store, days)
    settled = 0
    for chunk in chunks(days, sizes):
        _settle_chunk(store, clock, chunk, known_at=known_at, stages=stages)
        settled += len(chunk)
        if progress is not None:
            progress(settled, len(days))
    return sum(sizes.values())


def settle_again(store: Store, clock: Clock, days: Sequence[date], *, stages: Sequence[str]) -> int:
    """Settle some days once more after their signals changed without anything new arriving.

    They are settled to the last watermark, as they were: what arrived after it is the next run's.
    A store that was never settled is left to its first run. Returns how many days were settled.
    """
    rows = store.query(queries["settlement_last"])
    if not rows or not days:
        return 0
    settle_days(store, clock, sorted(days), known_at=as_utc(rows[0][0]), stages=stages)
    return len(days)


def chunks(days: Iterable[date], sizes: dict[date, int]) -> list[tuple[date, ...]]:
    """Cut sorted days into runs without gaps, bounded in days and signals.

    Gaps matter: only days that were touched may be swapped.
    """
    runs: list[list[date]] = []
    weight = 0
    for day in days:
        size = sizes.get(day, 0)
        run = runs[-1] if runs else None
        if (
            run is None
            or day - run[-1] != timedelta(days=1)
            or len(run) >= CHUNK_DAYS
            or weight + size > CHUNK_SIGNALS
        ):
            runs.append([day])
            weight = size
        else:
            run.append(day)
            weight += size
    return [tuple(run) for run in runs]


def _resume_point(store: Store) -> tuple[datetime, datetime]:
    """Return the last watermark, and from where to look for arrivals."""
    rows = store.query(queries["settlement_last"])
    if not rows:
        return EPOCH, EPOCH
    watermark = as_utc(rows[0][0])
    if _tail(store, watermark) == (rows[0][1], rows[0][2]):
        return watermark, watermark
    return watermark, watermark - LATE_COMMIT_GRACE


def _tail(store: Store, watermark: datetime) -> tuple[int, int]:
    after = watermark - LATE_COMMIT_GRACE
    rows = store.query(
        queries["settlement_tail"], {"after": instant(after), "until": instant(watermark)}
    )
    return int(rows[0][0]), int(rows[0][1])


def _touched_days(store: Store, *, after: datetime, until: datetime) -> list[date]:
    bounds = {"after": instant(after), "until": instant(until)}
    arrived = {row[0] for row in store.query(queries["settlement_arrived_days"], bounds)}
    one = timedelta(days=1)
    neighbours = sorted({day + step for day in arrived for step in (-one, one)} - arrived)
    reached = (
        store.query(queries["settlement_reached_days"], {**bounds, "days": neighbours})
        if neighbours
        else []
    )
    return sorted(arrived | {row[0] for row in reached})


def _day_sizes(store: Store, days: Sequence[date]) -> dict[date, int]:
    if not days:
        return {}
    rows = store.query(queries["settlement_day_sizes"], {"days": list(days)})
    return {row[0]: int(row[1]) for row in rows}


def _settle_chunk(
    store: Store, clock: Clock, days: tuple[date, ...], *, known_at: datetime, stages: Sequence[str]
) -> None:
    bounds = {"first_day": days[0], "last_day": days[-1]}
    for table in ("signals", "propagated", *SETTLED_TABLES):
        store.execute(f"TRUNCATE TABLE settling_{table}")
    store.execute(queries["settle_signals"], {**bounds, "known_at": instant(known_at)})
    store.execute(queries["settle_propagated"])
    for table in SETTLED_TABLES:
        store.execute(queries[f"settle_{table}"], {**bounds, "stages": list(stages)})
    for table in SETTLED_TABLES:
        _swap(store, table, days)
    ledger = {
        **bounds,
        "known_at": instant(known_at),
        "settled_time": instant(clock.now()),
        "stages": list(stages),
    }
    store.execute(queries["settle_days"], ledger)
    for table in ("signals", "propagated", *SETTLED_TABLES):
        store.execute(f"TRUNCATE TABLE settling_{table}")


def _swap(store: Store, table: str, days: tuple[date, ...]) -> None:
    """Replace each day's partition; a day that came out empty is dropped."""
    staged = _days_in(store, f"settling_{table}", days)
    settled = _days_in(store, table, days)
    for day in days:
        if day in staged:
            store.execute(
                f"ALTER TABLE {table} REPLACE PARTITION '{day.isoformat()}' FROM settling_{table}"
            )
        elif day in settled:
            store.execute(f"ALTER TABLE {table} DROP PARTITION '{day.isoformat()}'")


def _days_in(store: Store, table: str, days: tuple[date, ...]) -> set[date]:
    bounds = {"first_day": days[0], "last_day": days[-1]}
    rows = store.query(
        f"SELECT DISTINCT event_day FROM {table} "
        "WHERE event_day >= {first_day:Date} AND event_day <= {last_day:Date}",
        bounds,
    )
    return {row[0] for row in rows}
