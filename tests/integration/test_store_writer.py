"""Raw rows: what can be stored is, what cannot is kept with its reason, twice is once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from analyzer_service.errors import StoreError
from analyzer_service.store.connect import Store
from analyzer_service.store.writer import RECORD_CHARACTERS, RawWriter, WriteResult
from tests.store_fixture import fresh_store

COLUMNS = ["Timestamp", "TraceId", "SpanId", "ServiceName", "SpanName", "SpanAttributes"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


def spans(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "Timestamp": f"2026-01-05 10:00:00.{n:09d}",
            "TraceId": f"{n:032x}",
            "SpanId": f"{n:016x}",
            "ServiceName": f"service {n % 7}",
            "SpanName": "run",
            "SpanAttributes": {"mlp.stage": "model_training", "n": str(n)},
        }
        for n in range(first, first + count)
    ]


def write(store: Store, records: Sequence[dict[str, Any] | str]) -> WriteResult:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]

    def payload(start: int, stop: int) -> bytes:
        return "\n".join(lines[start:stop]).encode()

    return RawWriter(store).write(
        "otel_traces",
        COLUMNS,
        payload(0, len(lines)),
        data_format="JSONEachRow",
        rows=len(lines),
        split=payload,
        describe=lambda row: lines[row],
    )


def counts(store: Store) -> tuple[int, int, int]:
    return (
        store.query("SELECT count() FROM otel_traces FINAL")[0][0],
        store.query("SELECT count() FROM signals FINAL")[0][0],
        store.query("SELECT count() FROM rejected")[0][0],
    )


def test_a_good_batch(store: Store) -> None:
    assert write(store, spans(500)) == WriteResult(stored=500, rejected=())
    assert write(store, []) == WriteResult(stored=0, rejected=())
    assert counts(store) == (500, 500, 0)


def test_bad_rows_are_taken_out_one_by_one(store: Store) -> None:
    records: list[Any] = spans(300)
    records[17] = json.dumps(records[17]).replace("2026-01-05", "not a time")
    records[250] = '{"Timestamp": "2026-01-05", "SpanAttributes": 7}'
    records[299] = '{"Timestamp"'
    result = write(store, records)
    assert result.stored == 297
    assert [row for row, _ in result.rejected] == [17, 250, 299]
    assert counts(store) == (297, 297, 3)
    found = store.query("SELECT source, reason, detail, record FROM rejected ORDER BY record")
    assert {source for source, *_ in found} == {"traces"}
    assert all(reason and detail for _, reason, detail, _ in found)
    assert all("/" not in detail for *_, detail, _ in found)
    assert {record for *_, record in found} == {records[17], records[250], records[299]}
    # The same batch again changes nothing.
    write(store, records)
    assert counts(store) == (297, 297, 3)
    write(store, records[18:200])
    assert counts(store) == (297, 297, 3)


def test_a_batch_that_can_never_be_stored_ends_and_the_next_is_stored(store: Store) -> None:
    result = write(store, [f"{{{number}" for number in range(60)])
    assert result.stored == 0
    assert len(result.rejected) == 60
    assert counts(store) == (0, 0, 60)
    assert write(store, spans(10)).stored == 10


def test_a_throwing_view_is_the_contents_fault(store: Store) -> None:
    store.execute(
        "CREATE MATERIALIZED VIEW poison TO rejected AS SELECT 'x' AS source"
        " FROM otel_traces WHERE throwIf(SpanAttributes['n'] = '13')"
    )
    result = write(store, spans(40))
    assert result.stored == 39
    assert [row for row, _ in result.rejected] == [13]


@pytest.mark.parametrize("fault", ["missing table", "missing column", "closed"])
def test_a_store_that_is_not_ready_is_retried_by_the_sender(store: Store, fault: str) -> None:
    if fault == "missing table":
        store.execute("DROP TABLE otel_traces")
    elif fault == "missing column":
        store.execute("DROP VIEW otel_traces_to_signals")
        store.execute("ALTER TABLE otel_traces DROP COLUMN SpanAttributes")
    else:
        store.close()
    with pytest.raises(StoreError):
        write(store, spans(3))
    if fault != "closed":
        assert store.query("SELECT count() FROM rejected") == [(0,)]


def test_too_little_memory_is_not_the_contents_fault(store: Store) -> None:
    [(version,)] = store.query("SELECT version()")
    assert version
    with pytest.raises(StoreError) as caught:
        store.execute(
            "INSERT INTO otel_traces (TraceId) SELECT repeat('x', 1000) FROM numbers(1000000)",
            settings={"max_memory_usage": 20_000_000},
        )
    from analyzer_service.store.faults import content_at_fault

    assert not content_at_fault(caught.value)


def test_rejections_are_cut_and_may_hold_anything(store: Store) -> None:
    writer = RawWriter(store)
    for _ in range(2):
        writer.reject("logs", "why", "nul \0 and \ud800", "x" * (RECORD_CHARACTERS + 10))
    assert store.query("SELECT detail, length(record) FROM rejected") == [
        ("nul \0 and ?", RECORD_CHARACTERS)
    ]
    writer.reject_many([])


def test_whole_recut_reordered_and_after_a_restart(tmp_path: Path) -> None:
    with fresh_store(tmp_path) as store:
        records = spans(1000)
        write(store, records)
        write(store, records)
        assert counts(store) == (1000, 1000, 0)
    with fresh_store(tmp_path) as store:
        write(store, records)
        for start in range(0, 1000, 300):
            write(store, records[start : start + 300])
        write(store, records[::-1])
        write(store, [*spans(10, first=5000), *records[500:]])
        assert counts(store) == (1010, 1010, 0)
        write(store, spans(10, first=5000))
        assert counts(store) == (1010, 1010, 0)


def test_the_same_batch_again_does_not_even_grow_the_tables(store: Store) -> None:
    for _ in range(3):
        write(store, spans(100))
    assert store.query("SELECT count() FROM otel_traces") == [(100,)]
    assert store.query("SELECT count() FROM signals") == [(100,)]


def test_two_centuries_in_one_insert(store: Store) -> None:
    records = spans(200)
    for n, record in enumerate(records):
        record["Timestamp"] = f"{1950 + n}-06-01 00:00:00"
    assert write(store, records) == WriteResult(stored=200, rejected=())
    raw, signals, rejected = counts(store)
    assert (raw, rejected) == (200, 0)
    assert signals == 27  # 2000 to 2026 of the years; the rest stays raw
