"""The same telemetry on one server and over two shards: the same settled tables and the same report.

One fixture fills both; everything the service sends (views, settling, analysis, evidence, accounting,
a user's SQL) then runs through real Distributed tables (tests/two_shards.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from store_fixture import fresh_store
from telemetry_rows import Span, add_spans, person
from two_shards import NAME, SHARDS, two_shards

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest
from analyzer_service.errors import SchemaError
from analyzer_service.store.cluster import Cluster
from analyzer_service.store.connect import Store
from analyzer_service.store.layout import shipped_layout
from analyzer_service.store.location import StoreLocation
from analyzer_service.store.migrations import check_schema, migrate
from analyzer_service.store.settling import settle_again
from analyzer_service.store.signal_map.derivation import derive
from otel_instrumentation import semconv

pytestmark = pytest.mark.slow

SETTLED = ("attempts_daily", "failures", "repeats_daily", "sessions_daily", "services_daily")
ARRIVAL = "ingest_time|arrival_day"
"""Columns that differ because the rows arrived at another time."""

TRACES = 2_400
BATCH = 1_200

MAP_ROW: dict[str, Any] = {
    "rule_id": 1,
    "priority": 1,
    "pattern": "^gateway\n",
    "stage": "model_deployment",
    "component": "mapped",
    "action": "called",
    "action_kind": "key",
    "map_version": 1,
}

SPANS = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName,
    SpanAttributes, Duration, StatusCode)
WITH
    intDiv(number, 4) AS trace,
    number % 4 AS depth,
    trace % 90 AS person,
    -- A third know the platform well: more kinds of actions, fewer failures, none at the backend.
    person < 30 AS expert,
    cityHash64(trace, 'kind') % if(expert, 7, 3) AS kind,
    cityHash64(trace) % if(expert, 4, 2) = 0 AS fails,
    fails AND depth != 2 AND NOT (expert AND depth = 3) AS shows,
    lower(hex(sipHash128('user', person))) AS hash
SELECT
    toDateTime64('2026-01-05 08:00:00', 9, 'UTC') + toIntervalMinute(trace * 13 % 14400) + toIntervalSecond(depth),
    lower(hex(sipHash128(trace))),
    lower(hex(sipHash64(number))),
    if(depth = 0, '', lower(hex(sipHash64(number - 1)))),
    concat('operation', toString(depth)),
    ['Server', 'Internal', 'Client', 'Server'][depth + 1],
    ['gateway', 'studio', 'studio', 'backend'][depth + 1],
    mapFilter((key, value) -> value != '', map(
        -- The map says what the gateway is for.
        'mlp.stage', if(depth = 0, '', ['data_collection', 'feature_engineering', 'model_training', 'model_deployment'][1 + kind % 4]),
        'mlp.component', ['gateway', 'studio', 'studio', 'backend'][depth + 1],
        'mlp.action', concat('action', toString(kind)),
        'mlp.action.kind', if(depth = 1, 'key', ''),
        'mlp.action.digest', if(depth = 1, toString(trace % 450), ''),
        'error.type', if(shows, 'OutOfMemory', ''),
        'session.id', concat('s', toString(trace % 450)),
        'mlp.wait.seconds', if(depth = 3, toString(trace % 9), ''),
        -- Only the second span says whose it is, and in every seventh trace nobody does; in every
        -- fiftieth the last one is somebody else's.
        'user.hash', multiIf(trace % 7 = 5, '', depth = 1, hash, depth = 3 AND trace % 50 = 1,
            lower(hex(sipHash128('user', (person + 1) % 90))), '')
    )),
    1000000 * (1 + trace % 5000),
    if(shows, 'Error', 'Unset')
FROM numbers({first:UInt64}, {count:UInt64})
"""

RECORDS = """
INSERT INTO otel_logs (Timestamp, TraceId, SpanId, ServiceName, LogAttributes, EventName)
SELECT
    toDateTime64('2026-01-05 08:00:00', 9, 'UTC') + toIntervalMinute(number * 7 % 14400),
    if(number % 3 = 0, lower(hex(sipHash128(number))), ''),
    '',
    'notebook',
    map('log.record.uid', toString(number), 'mlp.stage', 'feature_engineering', 'mlp.component', 'notebook',
        'mlp.action', 'run_cell', 'error.type', if(cityHash64(number) % 5 = 0, 'KernelDied', ''), 'user.hash', if(number % 4 = 0, '', lower(hex(sipHash128('user', number % 90))))),
    if(number % 2 = 0, 'mlp.action', 'mlp.view')
FROM numbers({first:UInt64}, {count:UInt64})
"""


@dataclass(frozen=True)
class Outcome:
    tables: dict[str, list[tuple[Any, ...]]]
    counts: list[tuple[Any, ...]]
    reports: dict[str, dict[str, object]]
    users: list[Any]
    evidence: list[Any]
    again: dict[str, list[tuple[Any, ...]]]
    derived: dict[str, list[tuple[Any, ...]]]


def fill(store: Store) -> None:
    use_map(store, MAP_ROW)
    # Twice: the second delivery changes nothing.
    for _ in range(2):
        for first in range(0, TRACES * 4, BATCH * 4):
            store.execute(SPANS, {"first": first, "count": BATCH * 4})
        store.execute(RECORDS, {"first": 0, "count": 3_000})


def use_map(store: Store, row: dict[str, Any]) -> None:
    store.insert_rows("signal_map", list(row), [list(row.values())])
    for dictionary in ("signal_map_match", "signal_map_rule"):
        store.execute(f"SYSTEM RELOAD DICTIONARY {dictionary}")


def columns_of(store: Store, table: str) -> str:
    rows = store.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
        f" AND NOT match(name, '{ARRIVAL}') ORDER BY position",
        {"table": table},
    )
    return ", ".join(name for (name,) in rows)


def settled_tables(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: store.query(f"SELECT {columns_of(store, table)} FROM {table} ORDER BY ALL")
        for table in SETTLED
    }


def outcome(store: Store) -> Outcome:
    fill(store)
    analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
    analyzer.settle()
    tables = settled_tables(store)
    reports, evidence = {}, []
    for rules in ("paper", "calibrated"):
        analyzer.run(AnalysisRequest(rule_set=rules))
        reports[rules] = analyzer.report()
        page = analyzer.list_challenges(
            kind=None, stage="", grade=None, page_size=100, page_token=""
        )
        for challenge in page.items:
            with store.ask(challenge.evidence_query) as answer:
                evidence.append((challenge.challenge_id, list(answer)))
            signals = analyzer.list_challenge_signals(
                challenge.challenge_id, page_size=50, page_token=""
            )
            evidence.append(signals.total)
    users = list(analyzer.list_users(segment=None, page_size=500, page_token="").items)
    counts = store.query(
        "SELECT source, count(), uniqExact(user_key) FROM signals FINAL GROUP BY source ORDER BY source"
    ) + store.query(
        "SELECT sum(signals), sum(attempts), sum(failures), sum(propagated), sum(without_user)"
        " FROM settled_days FINAL"
    )
    # A late span of an old day: only that day is computed again, on every shard.
    store.execute(SPANS, {"first": TRACES * 4, "count": 4})
    analyzer.settle()
    again = settled_tables(store)
    # Another map, and every signal derived again.
    use_map(store, {**MAP_ROW, "stage": "feature_engineering", "map_version": 2})
    touched: set[date] = set()
    clock = SystemClock()
    for _ in derive(store, clock, window_start=None, window_end=None, touched=touched):
        pass
    settle_again(store, clock, sorted(touched), stages=semconv.STAGES)
    return Outcome(tables, counts, reports, users, evidence, again, settled_tables(store))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Outcome:
    with fresh_store(folder, name="plain") as store:
        return outcome(store)


@pytest.fixture(scope="module")
def sharded(folder: Path, plain: Outcome) -> Iterator[tuple[Store, Outcome]]:
    with two_shards(folder) as store:
        yield store, outcome(store)


@pytest.mark.parametrize("table", SETTLED)
def test_settled_tables_are_the_same(
    plain: Outcome, sharded: tuple[Store, Outcome], table: str
) -> None:
    assert plain.tables[table]
    assert sharded[1].tables[table] == plain.tables[table]
    assert sharded[1].again[table] == plain.again[table]
    assert sharded[1].derived[table] == plain.derived[table]


def test_a_late_span_did_change_something(plain: Outcome) -> None:
    assert plain.again["attempts_daily"] != plain.tables["attempts_daily"]


def test_another_map_did_change_something(plain: Outcome) -> None:
    def stages(rows: list[tuple[Any, ...]]) -> set[str]:
        return {row[2] for row in rows if row[3] == "gateway"}

    assert stages(plain.again["attempts_daily"]) == {"model_deployment"}
    assert stages(plain.derived["attempts_daily"]) == {"feature_engineering"}


@pytest.mark.parametrize("rules", ["paper", "calibrated"])
def test_reports_are_the_same(plain: Outcome, sharded: tuple[Store, Outcome], rules: str) -> None:
    assert plain.reports[rules]["challenges"]
    assert sharded[1].reports[rules] == plain.reports[rules]


def test_users_counts_and_evidence_are_the_same(
    plain: Outcome, sharded: tuple[Store, Outcome]
) -> None:
    assert plain.users
    assert plain.evidence
    assert sharded[1].users == plain.users
    assert sharded[1].counts == plain.counts
    assert sharded[1].evidence == plain.evidence


def test_rows_really_lie_on_both_shards(sharded: tuple[Store, Outcome]) -> None:
    store, _ = sharded
    for table in ("otel_traces", "otel_logs", "signals", "attempts_daily", "failures"):
        found = store.query(f"SELECT shardNum() AS shard, count() FROM {table} GROUP BY shard")
        assert {shard for shard, _ in found} == {1, 2}, table
        [(whole,)] = store.query(f"SELECT count() FROM {table}_local")
        assert sum(count for _, count in found) == whole


def test_a_signal_lies_where_its_raw_row_does(sharded: tuple[Store, Outcome]) -> None:
    store, _ = sharded
    tables = shipped_layout().tables
    for raw, source in (("otel_traces", "span"), ("otel_logs", "log")):
        identity = "RecordId" if source == "log" else "sipHash128('span', TraceId, SpanId)"
        astray = store.query(
            f"SELECT count() FROM (SELECT {identity} AS id, {tables[raw].shard_key} % {SHARDS} AS shard"
            f" FROM {raw}_local FINAL) AS raw INNER JOIN (SELECT signal_id AS id,"
            f" {tables['signals'].shard_key} % {SHARDS} AS shard FROM signals_local FINAL"
            f" WHERE source = '{source}') AS made ON made.id = raw.id WHERE made.shard != raw.shard"
        )
        assert astray == [(0,)]


def test_a_batch_sent_again_is_dropped_on_every_shard(sharded: tuple[Store, Outcome]) -> None:
    """Not only FINAL hides it: the time of arrival is set by the shard, so the blocks are alike."""
    store, _ = sharded
    spans = [Span(f"again{n}", "op", user=f"u{n % 7}") for n in range(200)]
    for _ in range(2):
        add_spans(store, spans)
    rows = "SELECT count(), uniqExact(shardNum()) FROM {} WHERE {} = 'op'"
    assert store.query(rows.format("otel_traces", "SpanName")) == [(200, 2)]
    assert store.query("SELECT count() FROM signals WHERE user_key IN"
                       " (SELECT unhex(arrayJoin({users:Array(String)})))",
                       {"users": [person(f"u{n}") for n in range(7)]}) == [(200,)]  # fmt: skip


def test_an_unknown_cluster_is_named(sharded: tuple[Store, Outcome]) -> None:
    store, _ = sharded
    elsewhere = Store(
        StoreLocation(url=store.url, embedded=True, path=Path(store.url.removeprefix("chdb://"))),
        lock=None,
        engine_threads=None,
        cluster=Cluster("nowhere", coordinated=False),
    )
    with elsewhere, pytest.raises(SchemaError, match="knows no cluster nowhere"):
        check_schema(elsewhere)


def test_tables_of_a_cluster_are_refused_without_it(sharded: tuple[Store, Outcome]) -> None:
    """Otherwise settling would truncate and swap one server's tables only."""
    store, _ = sharded
    check_schema(store)
    alone = Store(
        StoreLocation(url=store.url, embedded=True, path=Path(store.url.removeprefix("chdb://"))),
        lock=None,
        engine_threads=None,
    )
    with alone:
        for call in (check_schema, migrate):
            with pytest.raises(SchemaError, match=f"made for the cluster {NAME}") as refused:
                call(alone)
            assert refused.value.hint == f"Set MLP_ANALYZER_CLUSTER={NAME}."
