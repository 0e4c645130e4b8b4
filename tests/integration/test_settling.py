"""Settling: attempts, failures where they started, users of their trace, and every re-run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from store_fixture import fresh_store
from telemetry_rows import MONDAY, Record, Span, add_records, add_spans, person

from analyzer_service.clock import SystemClock
from analyzer_service.store.connect import Store
from analyzer_service.store.settling import Settlement, chunks, settle
from otel_instrumentation import semconv

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


def settled(store: Store) -> Settlement:
    return settle(store, SystemClock(), stages=semconv.STAGES)


def failures(store: Store) -> list[tuple[str, str, str]]:
    return store.query(
        "SELECT component, error_type, lower(hex(user_key)) FROM failures ORDER BY ALL"
    )


def attempts(store: Store) -> dict[str, tuple[int, int]]:
    rows = store.query(
        "SELECT component, sum(attempts), sum(failed_attempts) FROM attempts_daily GROUP BY 1"
    )
    return {component: (int(count), int(failed)) for component, count, failed in rows}


def ledger(store: Store) -> dict[date, tuple[datetime, int]]:
    rows = store.query("SELECT event_day, settled_time, signals FROM settled_days FINAL")
    return {day: (when, int(count)) for day, when, count in rows}


def test_ten_spans_with_one_failing_leaf_are_one_failure_at_the_leaf(store: Store) -> None:
    spans = [
        Span(
            "t", f"s{n}", parent=f"s{n - 1}" if n else "", user="ann", component=f"c{n}", error="E"
        )
        for n in range(9)
    ]
    add_spans(store, [*spans, Span("t", "leaf", parent="s8", component="backend", error="Timeout")])
    settled(store)
    assert failures(store) == [("backend", "Timeout", person("ann"))]
    assert store.query("SELECT sum(propagated), sum(failures) FROM settled_days FINAL") == [(9, 1)]


def test_an_ancestor_is_propagated_across_a_span_that_did_not_err(store: Store) -> None:
    add_spans(
        store,
        [
            Span("t", "root", user="ann", component="gateway", error="E"),
            Span("t", "middle", parent="root", component="middle"),
            Span("t", "leaf", parent="middle", component="backend", error="E"),
        ],
    )
    settled(store)
    assert [row[0] for row in failures(store)] == ["backend"]


def test_two_failing_leaves_are_two_failures(store: Store) -> None:
    add_spans(
        store,
        [
            Span("t", "root", user="ann", component="gateway", error="E"),
            Span("t", "one", parent="root", component="left", error="E"),
            Span("t", "two", parent="root", component="right", error="E"),
        ],
    )
    settled(store)
    assert [row[0] for row in failures(store)] == ["left", "right"]


def test_an_error_log_inside_an_erring_span_is_the_same_failure(store: Store) -> None:
    add_spans(store, [Span("t", "run", user="ann", error="OSError")])
    shared = {"mlp.stage": "model_training", "mlp.component": "jobs", "exception.type": "OSError"}
    add_records(store, [Record("exception", "u1", trace="t", inside="run", attributes=shared)])
    add_spans(store, [Span("u", "fine", user="bob")])
    add_records(store, [Record("exception", "u2", trace="u", inside="fine", attributes=shared)])
    settled(store)
    assert failures(store) == sorted(
        [("jobs", "OSError", person("ann")), ("jobs", "OSError", person("bob"))]
    )


def test_parents_in_a_circle_do_not_hang(store: Store) -> None:
    add_spans(
        store,
        [
            Span("t", "a", parent="b", user="ann", error="E"),
            Span("t", "b", parent="a", error="E"),
        ],
    )
    settled(store)
    assert store.query("SELECT sum(signals), sum(propagated) FROM settled_days FINAL") == [(2, 2)]


def test_attempts_are_key_actions_and_entry_spans(store: Store) -> None:
    add_spans(
        store,
        [
            Span("t", "server", user="ann", kind="Server", service="gateway", component="gateway"),
            Span("t", "op", parent="server", service="studio", component="studio"),
            Span("t", "key", parent="op", service="studio", component="jobs", action_kind="key"),
            Span("t", "inner", parent="key", service="studio", component="inner"),
            Span(
                "t", "client", parent="inner", service="studio", kind="Client", component="client"
            ),
        ],
    )
    settled(store)
    counted = {component for component, (count, _) in attempts(store).items() if count}
    assert counted == {"gateway", "studio", "jobs"}


def test_a_signal_without_a_user_takes_its_traces_user(store: Store) -> None:
    add_spans(
        store,
        [
            Span("t", "root", user="ann", action_kind="key"),
            Span("t", "leaf", parent="root", component="backend", error="E"),
            Span("nobody", "root", component="lonely", action_kind="key"),
        ],
    )
    settled(store)
    assert failures(store) == [("backend", "E", person("ann"))]
    assert "lonely" not in attempts(store)
    assert store.query("SELECT sum(without_user) FROM settled_days FINAL") == [(1,)]


def test_a_late_signal_changes_its_own_day_only(store: Store) -> None:
    for n in range(5):
        add_spans(
            store, [Span(f"t{n}", "op", user="ann", when=MONDAY + n * DAY, action_kind="key")]
        )
    settled(store)
    before = ledger(store)
    add_spans(store, [Span("late", "op", user="bob", when=MONDAY + DAY, action_kind="key")])
    run = settled(store)
    after = ledger(store)
    changed = {day for day in after if after[day] != before[day]}
    assert run.days == ((MONDAY + DAY).date(),)
    assert changed == {(MONDAY + DAY).date()}
    assert after[(MONDAY + DAY).date()][1] == before[(MONDAY + DAY).date()][1] + 1


def test_a_late_leaf_moves_yesterdays_failure(store: Store) -> None:
    night = MONDAY.replace(hour=23, minute=59)
    add_spans(store, [Span("t", "root", user="ann", when=night, component="gateway", error="E")])
    settled(store)
    assert [row[0] for row in failures(store)] == ["gateway"]
    leaf = Span("t", "leaf", parent="root", when=night + timedelta(minutes=5), component="backend",
                error="E")  # fmt: skip
    add_spans(store, [leaf])
    run = settled(store)
    assert run.days == (night.date(), (night + DAY).date())
    assert failures(store) == [("backend", "E", person("ann"))]


def test_settling_again_without_arrivals_does_nothing(store: Store) -> None:
    add_spans(store, [Span("t", "op", user="ann", action_kind="key")])
    assert len(settled(store).days) == 1
    assert settled(store).days == ()


def test_a_signal_committed_late_is_noticed(store: Store) -> None:
    now = datetime.now(UTC)
    add_spans(store, [Span("t", "op", user="ann", action_kind="key")], arrived=now)
    settled(store)
    slow = Span("slow", "op", user="bob", component="slow", action_kind="key")
    add_spans(store, [slow], arrived=now - timedelta(seconds=30))
    assert settled(store).days == (MONDAY.date(),)
    assert attempts(store)["slow"] == (1, 0)


def test_the_same_rows_again_in_other_batches_change_nothing(store: Store) -> None:
    spans = [
        Span(f"t{n}", "op", user="ann", action_kind="key", error="E" * (n % 2)) for n in range(20)
    ]
    add_spans(store, spans)
    settled(store)
    first = attempts(store), failures(store)
    add_spans(store, spans)
    add_spans(store, spans[::-1])
    add_spans(store, spans[3:11])
    settled(store)
    assert (attempts(store), failures(store)) == first


def test_two_centuries_in_one_insert(store: Store) -> None:
    years = [datetime(1900 + n, 6, 1, tzinfo=UTC) for n in range(0, 200, 4)]
    add_spans(store, [Span(f"t{n}", "op", user="ann", when=year, action_kind="key")
                      for n, year in enumerate(years)])  # fmt: skip
    settled(store)
    in_range = [year for year in years if 2000 <= year.year <= datetime.now(UTC).year]
    assert store.query("SELECT count() FROM otel_traces FINAL") == [(50,)]
    assert store.query("SELECT count() FROM signals FINAL") == [(len(in_range),)]
    assert set(ledger(store)) == {year.date() for year in in_range}


def test_chunks_never_span_a_gap() -> None:
    first = date(2026, 1, 1)
    days = [first, first + DAY, first + 3 * DAY]
    assert chunks(days, {}) == [(first, first + DAY), (first + 3 * DAY,)]


def test_chunks_are_bounded_by_signals() -> None:
    first = date(2026, 1, 1)
    days = [first + n * DAY for n in range(4)]
    assert [len(run) for run in chunks(days, dict.fromkeys(days, 1_000_000))] == [2, 2]
