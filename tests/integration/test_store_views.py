"""Nothing a sender can say makes an insert fail: the views over the raw tables never throw."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from otel_instrumentation import semconv

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOWEST, HIGHEST = datetime(1900, 1, 2, tzinfo=UTC), datetime(2262, 4, 11, tzinfo=UTC)

NAMES = sorted(value for value in vars(semconv).values() if isinstance(value, str) and "." in value)
ODD = [
    "", " ", "\0", "\n", "'", "\\", "é", "\U0001f600", "ot=th:0", "ot=th:ffffffffffffff;rv:1",
    "a=b,ot=rv:1;th:8", "ot=th:", "ot=th:fffffffffffffff", "nan", "inf", "-1", "1e309", "1e-400",
    "9" * 400, "0x10", "f" * 32, "F" * 32, "g" * 32, "f" * 31, "f" * 33, "key", "error", "exception",
    "data_collection", "[", "(?", "{a:String}", "%s",
]  # fmt: skip
texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(codec="utf-8"), max_size=40))
attributes = st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), texts, max_size=8)
times = st.one_of(
    st.datetimes(LOWEST.replace(tzinfo=None), HIGHEST.replace(tzinfo=None)).map(
        lambda when: when.replace(tzinfo=UTC)
    ),
    st.sampled_from(
        [LOWEST, EPOCH, datetime(2000, 1, 1, tzinfo=UTC), datetime(2106, 2, 7, tzinfo=UTC), HIGHEST]
    ),
)
numbers = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 2**62, 2**63, 2**64 - 1]))

SPAN = {
    "Timestamp": times, "TraceId": texts, "SpanId": texts, "ParentSpanId": texts, "TraceState": texts,
    "SpanName": texts, "SpanKind": texts, "ServiceName": texts, "ResourceAttributes": attributes,
    "ScopeName": texts, "SpanAttributes": attributes, "Duration": numbers, "StatusCode": texts | st.just("Error"),
    "StatusMessage": texts,
}  # fmt: skip
EVENTS = ["Events.Timestamp", "Events.Name", "Events.Attributes"]
LOG = {
    "Timestamp": times, "TraceId": texts, "SpanId": texts, "TraceFlags": st.integers(0, 255),
    "SeverityText": texts, "SeverityNumber": st.integers(0, 255), "ServiceName": texts, "Body": texts,
    "ResourceAttributes": attributes, "ScopeAttributes": attributes, "LogAttributes": attributes,
    "EventName": texts | st.sampled_from(["mlp.action", "mlp.view", "app.widget.click"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store("chdb://memory") as opened:
        migrate(opened)
        # A map that matches much, so that the dictionaries take part.
        opened.insert_rows(
            "signal_map",
            ["rule_id", "priority", "pattern", "stage", "component", "action", "map_version"],
            [(1, 1, "^.*é", "model_training", "jobs", "run", 1), (2, 2, "(?i)a", "x", "", "", 1)],
        )
        for dictionary in ("signal_map_match", "signal_map_rule"):
            opened.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")
        yield opened


def exact(when: datetime) -> int:
    """Whole nanoseconds since 1970; floats would lose digits."""
    return (when - EPOCH) // timedelta(microseconds=1) * 1000


def in_order(said: dict[str, Any], columns: Mapping[str, object]) -> list[Any]:
    return [exact(said[name]) if name == "Timestamp" else said[name] for name in columns]


def distinct(record: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a record that is not the same event as any other of its batch."""
    said = dict(record["LogAttributes"])
    if "log.record.uid" in said:
        said["log.record.uid"] += f" {number}"
    return {**record, "Body": f"{number} {record['Body']}", "LogAttributes": said}


def check(
    store: Store, table: str, columns: list[str], rows: list[list[Any]], eventful: int
) -> None:
    for name in ("otel_traces", "otel_logs", "signals"):
        store.execute(f"TRUNCATE TABLE {name}")
    # A token of its own: the same example drawn again is not the same batch sent again.
    store.insert_rows(table, columns, rows, token=str(uuid.uuid4()))
    assert store.query(f"SELECT count() FROM {table}") == [(len(rows),)]
    assert store.query("SELECT count() FROM signals") == [(eventful,)]
    assert store.query(
        "SELECT count() FROM signals WHERE event_time < toDateTime64('2000-01-01', 9, 'UTC')"
        " OR event_time > ingest_time + INTERVAL 1 DAY OR NOT weight > 0"
    ) == [(0,)]


def in_range(when: datetime) -> bool:
    return datetime(2000, 1, 1, tzinfo=UTC) <= when <= datetime.now(UTC) + timedelta(days=1)


properties = settings(
    max_examples=40,
    deadline=None,
    # A failure is shown as it was found: shrinking it would take an insert per step.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@properties
@given(
    st.lists(
        st.tuples(
            st.fixed_dictionaries(SPAN),
            st.lists(st.tuples(times, texts | st.just("exception"), attributes), max_size=3),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_span_is_stored(store: Store, spans: list[tuple[dict[str, Any], list[Any]]]) -> None:
    rows = []
    for number, (said, events) in enumerate(spans):
        span = {**said, "SpanId": f"{number} {said['SpanId']}"}
        values = in_order(span, SPAN)
        values.append([exact(when) for when, _, _ in events])
        values.append([name for _, name, _ in events])
        values.append([said for _, _, said in events])
        rows.append(values)
    eventful = sum(in_range(span["Timestamp"]) for span, _ in spans)
    check(store, "otel_traces", [*SPAN, *EVENTS], rows, eventful)


@properties
@given(st.lists(st.fixed_dictionaries(LOG), min_size=1, max_size=12))
def test_any_log_record_is_stored(store: Store, records: list[dict[str, Any]]) -> None:
    rows = [in_order(distinct(record, number), LOG) for number, record in enumerate(records)]
    eventful = sum(
        in_range(record["Timestamp"])
        and any(
            (
                record["EventName"],
                record["LogAttributes"].get("mlp.action"),
                record["LogAttributes"].get("error.type"),
                record["LogAttributes"].get("exception.type"),
            )
        )
        for record in records
    )
    check(store, "otel_logs", list(LOG), rows, eventful)


@pytest.mark.parametrize(
    ("threshold", "weight"), [("0", 1), ("8", 2), ("c", 4), ("ffffffffffffff", 2.0**56)]
)
def test_the_weight_of_a_sampled_span_is_finite(
    store: Store, threshold: str, weight: float
) -> None:
    store.execute("TRUNCATE TABLE signals")
    row = [exact(datetime(2026, 1, 5, tzinfo=UTC)), "t", threshold, f"ot=th:{threshold}"]
    store.insert_rows(
        "otel_traces",
        ["Timestamp", "TraceId", "SpanId", "TraceState"],
        [row],
        token=str(uuid.uuid4()),
    )
    assert store.query("SELECT weight FROM signals") == [(weight,)]
