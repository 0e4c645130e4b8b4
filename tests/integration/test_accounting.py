"""The accounting balances, whatever was sent how often and by which way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_fixture import fresh_store
from telemetry_rows import Record, Span, add_records, add_spans

from analyzer_service.accounts import Loss, SourceStatus
from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import StoreStatus, Window
from analyzer_service.store.accounting import Accounting
from analyzer_service.store.connect import Store
from analyzer_service.store.turned_away import TurnedAway
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv

START = 1_767_600_000
# Arrivals older than their expiry are gone at once.
FIRST = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=3)
LATER = FIRST + timedelta(days=1)
SUM_COLUMNS = (
    "ServiceName", "ResourceAttributes", "MetricName", "Attributes", "StartTimeUnix", "TimeUnix",
    "Value", "AggregationTemporality",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


def status(store: Store) -> StoreStatus:
    return Analyzer(store, SystemClock(), stages=semconv.STAGES).status()


def of(found: StoreStatus, service: str, source: str = "traces") -> SourceStatus:
    return next(
        one for one in found.services if (one.service_name, one.source) == (service, source)
    )


def balanced(one: SourceStatus) -> bool:
    return one.received == one.stored + one.duplicated + one.rejected + one.uncounted


def spans(number: int, *, first: int = 0, service: str = "studio") -> list[Span]:
    return [Span(f"{service}-{n}", "a", service=service) for n in range(first, first + number)]


def counter(
    value: float, *, start: int = 1, at: int = 2, name: str = "hub", delta: bool = False,
    metric: str = semconv.SDK_PROCESSED["traces"], **said: str,
) -> list[object]:  # fmt: skip
    return [
        name, {"service.instance.id": "i", "user.id": "ann"}, metric,
        {**(said or {"error.type": "queue_full"}), "user.id": "ann"},
        datetime.fromtimestamp(START + start, UTC), datetime.fromtimestamp(START + at, UTC),
        value, 1 if delta else 2,
    ]  # fmt: skip


def add_counters(store: Store, *points: list[object]) -> None:
    store.insert_rows("otel_metrics_sum", SUM_COLUMNS, points)


def path(store: Store) -> list[tuple[object, ...]]:
    return store.query(
        "SELECT service_name, source, outcome, reason, sum(records) FROM accounting_path"
        " GROUP BY ALL ORDER BY ALL"
    )


# --- what arrives ------------------------------------------------------------------------------


def test_whole_recut_and_reordered_deliveries_are_duplicates(store: Store) -> None:
    batch = spans(100)
    add_spans(store, batch)
    add_spans(store, batch)
    add_spans(store, batch[::-1])
    for part in (batch[:30], batch[30:]):
        add_spans(store, part)
    add_records(store, [Record("e", f"u{n}") for n in range(7)])
    found = status(store)
    traces = of(found, "studio")
    assert (traces.received, traces.stored, traces.duplicated) == (400, 100, 300)
    assert of(found, "studio", "logs").received == 7
    assert all(map(balanced, (*found.services, *found.sources)))


def test_one_batch_that_holds_a_record_twice(store: Store) -> None:
    add_spans(store, [*spans(3), *spans(3)])
    found = of(status(store), "studio")
    assert (found.received, found.stored, found.duplicated) == (6, 3, 3)


def test_what_arrived_before_counts_where_it_first_came(store: Store) -> None:
    add_spans(store, spans(10), arrived=FIRST)
    status(store)
    add_spans(store, spans(15), arrived=LATER)
    found = of(status(store), "studio")
    assert (found.received, found.stored, found.duplicated) == (25, 15, 10)
    store.execute("OPTIMIZE TABLE otel_traces FINAL")
    assert Accounting(store, SystemClock()).count() == ()
    assert store.query("SELECT day, received, stored, duplicated FROM accounting ORDER BY day") == [
        (FIRST.date(), 10, 10, 0),
        (LATER.date(), 15, 5, 10),
    ]


def test_only_days_with_arrivals_are_counted_again(store: Store) -> None:
    accounting = Accounting(store, SystemClock())
    add_spans(store, spans(1), arrived=FIRST)
    assert accounting.count() == (FIRST.date(),)
    assert accounting.count() == ()
    add_spans(store, spans(1, first=1), arrived=LATER)
    assert accounting.count() == (LATER.date(),)


def test_until_it_is_counted_it_is_uncounted(store: Store) -> None:
    add_spans(store, spans(5))
    accounting = Accounting(store, SystemClock())
    (one,) = accounting.services()
    assert (one.received, one.uncounted, one.stored) == (5, 5, 0)
    accounting.count()
    (one,) = accounting.services()
    assert (one.received, one.uncounted, one.stored) == (5, 0, 5)


def test_rows_older_than_the_accounting_are_counted_once_it_is_there(store: Store) -> None:
    add_spans(store, spans(4), arrived=FIRST)
    store.execute("TRUNCATE TABLE arrivals")
    found = of(status(store), "studio")
    assert (found.received, found.stored, found.duplicated) == (4, 4, 0)
    assert Accounting(store, SystemClock()).count() == ()


def test_the_same_numbers_after_a_restart(tmp_path: Path) -> None:
    with fresh_store(tmp_path) as store:
        add_spans(store, spans(5))
        RawWriter(store).reject("traces", "why", "detail", "{}", service="studio")
        before = status(store)
    with fresh_store(tmp_path) as store:
        assert status(store).services == before.services
        add_spans(store, spans(5))
        found = of(status(store), "studio")
        assert (found.received, found.stored, found.duplicated, found.rejected) == (11, 5, 5, 1)


def test_it_balances_while_many_write(store: Store) -> None:
    accounting = Accounting(store, SystemClock())
    done = threading.Event()

    def write(writer: int) -> None:
        for turn in range(10):
            add_spans(store, spans(20, service=f"w{writer}"))
            add_spans(store, spans(5, first=100 * turn, service=f"w{writer}"))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]

    def watch() -> None:
        for writer in writers:
            writer.join()
        done.set()

    for writer in (*writers, threading.Thread(target=watch)):
        writer.start()
    while not done.is_set():
        accounting.count()
        assert all(map(balanced, accounting.services()))
    accounting.count()
    for one in accounting.services():
        # Of 20 every time, and 5 of 0, 100, 200…: the first five are among the twenty.
        assert (one.received, one.stored, one.uncounted) == (250, 20 + 9 * 5, 0)


# --- what is refused ---------------------------------------------------------------------------


def test_rejected_records_by_service_and_reason(store: Store) -> None:
    writer = RawWriter(store)
    add_spans(store, spans(2))
    bad = [("traces", "studio", "time", "d", json.dumps({"n": n})) for n in range(3)]
    writer.reject_many(bad)
    writer.reject_many(bad)
    writer.reject_many([*bad[:1], ("traces", "hub", "trace_id", "d", "{}")])
    writer.reject("logs", "malformed", "d", "{}")
    found = status(store)
    studio = of(found, "studio")
    assert studio.rejected_by_reason == {"time": 3}
    assert (studio.received, studio.stored, studio.duplicated, studio.rejected) == (9, 2, 4, 3)
    assert of(found, "hub").rejected_by_reason == {"trace_id": 1}
    assert of(found, "", "logs").rejected == 1
    assert found.rejected_by_reason == {"malformed": 1, "time": 3, "trace_id": 1}
    assert all(map(balanced, (*found.services, *found.sources)))


def test_what_was_turned_away_is_kept_when_the_counter_ends(store: Store) -> None:
    turned_away = TurnedAway(store, SystemClock())
    turned_away.start()
    turned_away.count("otlp_http", "traces", "too_large")
    turned_away.count("otlp_http", "traces", "too_large", requests=2)
    turned_away.count("otlp_grpc", "metrics", "not_kept", requests=0, records=9)
    turned_away.stop()
    assert [tuple(asdict(one).values()) for one in status(store).turned_away] == [
        ("otlp_grpc", "metrics", "not_kept", 0, 9),
        ("otlp_http", "traces", "too_large", 3, 0),
    ]


def test_counts_wait_for_a_store_that_is_not_ready(store: Store) -> None:
    turned_away = TurnedAway(store, SystemClock())
    turned_away.count("otlp_http", "logs", "undecodable")
    store.execute("RENAME TABLE turned_away TO turned_away_gone")
    turned_away.flush()
    store.execute("RENAME TABLE turned_away_gone TO turned_away")
    turned_away.count("otlp_http", "logs", "undecodable")
    turned_away.flush()
    assert store.query("SELECT sum(requests) FROM turned_away") == [(2,)]


# --- what settling finds -----------------------------------------------------------------------


def test_what_became_of_the_signals(store: Store) -> None:
    hour = timedelta(hours=1)
    ended = FIRST + timedelta(seconds=1)
    timely = Span("on-time", "a", user="ann", when=FIRST)
    add_spans(store, [timely], arrived=ended + hour)
    add_spans(
        store, [replace(timely, trace="late")], arrived=ended + hour + timedelta(milliseconds=1)
    )
    # Hours of work are no delay: what counts is when it was over.
    add_spans(store, [replace(timely, trace="long", seconds=7200)], arrived=FIRST + 3 * hour)
    odd = [
        Span("nobody", "a", stage="", when=FIRST),
        Span("odd", "a", user="bob", stage="tidying", when=FIRST),
        Span("old", "a", user="ann", when=datetime(1999, 1, 1, tzinfo=UTC)),
    ]
    add_spans(store, odd, arrived=ended)
    store.execute(
        "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ServiceName, TraceState, IngestTime)"
        " SELECT Timestamp, 'sampled', 'sampled', ServiceName, 'ot=th:8', IngestTime"
        " FROM otel_traces WHERE SpanAttributes['mlp.stage'] = '' LIMIT 1"
    )
    analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
    assert of(analyzer.status(), "studio").signals == 0
    analyzer.settle()
    found = analyzer.status()
    studio = of(found, "studio")
    assert studio.received == 7
    assert studio.signals == 6
    assert studio.late == 1
    assert studio.out_of_range == 1
    assert studio.without_user == 2
    assert studio.unmapped == 2
    assert studio.unknown_stage == 1
    assert studio.sampled == 1
    assert (found.without_user, found.unmapped) == (studio.without_user, studio.unmapped)


# --- what was lost before ----------------------------------------------------------------------


def test_a_counter_counts_once_however_often_it_is_told(store: Store) -> None:
    add_counters(store, counter(3), counter(5, at=10), counter(4, at=5))
    add_counters(store, counter(5, at=10))
    store.execute("OPTIMIZE TABLE path_metrics FINAL")
    assert path(store) == [("hub", "traces", "lost", "queue_full", 5)]


def test_a_restarted_counter_adds_up(store: Store) -> None:
    add_counters(store, counter(5, at=10), counter(2, start=20, at=30), counter(9, name="other"))
    assert path(store) == [
        ("hub", "traces", "lost", "queue_full", 7),
        ("other", "traces", "lost", "queue_full", 9),
    ]


def test_increments_add_up_and_are_taken_once(store: Store) -> None:
    steps = [counter(n, start=n, at=n + 1, delta=True) for n in (1, 2, 3)]
    add_counters(store, *steps)
    add_counters(store, steps[1])
    assert path(store) == [("hub", "traces", "lost", "queue_full", 6)]


def test_each_day_has_what_was_added_on_it(store: Store) -> None:
    columns = ("service_name", "metric", "attributes", "start_time", "time", "value", "is_increment", "ingest_time")  # fmt: skip
    said = ["hub", semconv.SDK_PROCESSED["traces"], {"error.type": "queue_full"}, FIRST]
    for arrived, value in ((FIRST, 5), (FIRST, 8), (LATER, 18), (LATER + timedelta(days=1), 18)):
        at = arrived + timedelta(minutes=value)
        store.insert_rows("path_metrics", columns, [[*said, at, value, False, at]])
    assert store.query("SELECT day, records FROM accounting_path ORDER BY day") == [
        (FIRST.date(), 8),
        (LATER.date(), 10),
    ]


def test_of_metrics_only_the_list_is_kept_and_nothing_of_a_person(store: Store) -> None:
    add_counters(
        store,
        counter(1, metric="http.server.requests"),
        counter(float("nan")),
        counter(-1),
        counter(4, metric=semconv.SDK_EXPORTED["logs"], **{"error.type": "StatusCode.UNAVAILABLE"}),
        counter(6, metric="otelcol_exporter_sent_spans", exporter="otlp_grpc"),
    )
    assert path(store) == [
        ("hub", "logs", "lost", "StatusCode.UNAVAILABLE", 4),
        ("hub", "traces", "sent", "", 6),
    ]
    assert store.query("SELECT count() FROM path_metrics WHERE mapContains(attributes, 'user.id')") == [(0,)]  # fmt: skip


def test_losses_by_service_in_a_window(store: Store) -> None:
    add_counters(store, counter(5), counter(3, metric="otelcol_receiver_accepted_spans", receiver="otlp"))  # fmt: skip
    RawWriter(store).reject("logs", "time", "d", "{}", service="studio")
    accounting = Accounting(store, SystemClock())
    accounting.count()
    today = datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)
    window = Window(today - timedelta(days=1), today + timedelta(days=2))
    assert accounting.losses(window) == (
        Loss("hub", "traces", "sdk", "queue_full", 5),
        Loss("studio", "logs", "store", "time", 1),
    )
    before = Window(today - timedelta(days=9), today - timedelta(days=2))
    assert accounting.losses(before) == ()


# --- the same numbers everywhere ---------------------------------------------------------------


def test_every_number_is_that_of_the_view(store: Store) -> None:
    add_spans(store, spans(5))
    add_spans(store, spans(3, service="hub"))
    add_spans(store, spans(5))
    RawWriter(store).reject("traces", "time", "d", "{}", service="hub")
    analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
    analyzer.settle()
    found = analyzer.status()
    names = [name for name in asdict(found.services[0]) if name != "rejected_by_reason"]
    rows = store.query(f"SELECT {', '.join(names)} FROM accounting ORDER BY source, service_name")
    shown = sorted(found.services, key=lambda one: (one.source, one.service_name))
    assert [tuple(getattr(one, name) for name in names) for one in shown] == rows
