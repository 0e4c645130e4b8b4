"""Settling and a whole analysis of many signals, against one scan of the same signals.

The signals are made by the engine itself: 28 days, four stages of 60 actions with Zipf-like
frequencies, traces of four spans, one in twenty of which fails at its leaf.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from benchmarks.memory import peak_mebibytes, reset_peak
from otel_instrumentation import semconv

BATCH = 1_000_000
DAYS = 28

GENERATE = """
INSERT INTO signals (signal_id, source, trace_id, span_id, parent_span_id, event_time, ingest_time,
    user_key, session_id, service_name, span_kind, stage, component, action, action_kind, outcome,
    error_type, duration_ns, digest, weight)
WITH
    intDiv(number, 4) AS trace,
    number % 4 AS depth,
    cityHash64(trace) AS dice,
    -- heavy-tailed users: the square of a uniform draw
    (cityHash64(trace, 'user') % 1000000) / 1000000 AS draw,
    toUInt64(floor(draw * draw * {users:UInt64})) AS person,
    cityHash64(trace, 't') % {seconds:UInt64} AS second,
    1 + dice % 4 AS stage_number,
    toUInt32(floor(pow(60, (cityHash64(trace, 'action') % 1000000) / 1000000))) AS action_number,
    dice % 20 = 0 AS fails
SELECT
    sipHash128('span', lower(hex(sipHash128(trace))), lower(hex(number))),
    'span',
    lower(hex(sipHash128(trace))),
    lower(hex(number)),
    if(depth = 0, '', lower(hex(number - 1))),
    toDateTime64('2026-01-05 00:00:00', 9, 'UTC') + toIntervalSecond(second),
    now64(3, 'UTC'),
    reinterpret(sipHash128(person), 'FixedString(16)'),
    concat('s', toString(person), '-', toString(second % 86400 % 5)),
    ['gateway', 'studio', 'studio', 'backend'][depth + 1],
    ['Server', 'Internal', 'Client', 'Server'][depth + 1],
    ['data_collection', 'feature_engineering', 'model_training', 'model_deployment'][stage_number],
    concat(['gateway', 'studio', 'studio', 'backend'][depth + 1], toString(action_number % 8)),
    concat('action', toString(action_number)),
    if(depth = 1, 'key', ''),
    if(fails, 'error', 'ok'),
    if(fails, concat('Error', toString(dice % 7)), ''),
    1000000 * (1 + dice % 100000),
    if(depth = 1, toString(cityHash64(trace, 'digest') % 1000000), ''),
    1
FROM numbers({first:UInt64}, {count:UInt64})
"""

SCAN = """
SELECT sum(cityHash64(signal_id, trace_id, parent_span_id, event_time, ingest_time, user_key,
    session_id, service_name, span_kind, stage, component, action, action_kind, outcome, error_type,
    duration_ns, wait_ns, digest, weight))
FROM signals
"""


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Return the seconds some work took and its peak memory in MiB."""
    reset_peak()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun, peak_mebibytes()


def fill(store: Store, *, signals: int, users: int, days: int = DAYS) -> None:
    for first in range(0, signals, BATCH):
        count = min(BATCH, signals - first)
        store.execute(
            GENERATE,
            {"first": first, "count": count, "users": users, "seconds": days * 86_400},
        )


def run(*, signals: int, users: int, folder: str, days: int = DAYS) -> dict[str, object]:
    with open_store(f"chdb://{folder}") as store:
        migrate(store)
        fill(store, signals=signals, users=users, days=days)
        scans = [measured(lambda: store.query(SCAN)) for _ in range(3)]
        scan_seconds = sorted(seconds for seconds, _ in scans)[1]
        analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
        settle_seconds, settle_peak = measured(analyzer.settle)
        request = AnalysisRequest(rule_set="calibrated")
        analyze_seconds, analyze_peak = measured(lambda: analyzer.run(request))
        return {
            "signals": signals,
            "users": users,
            "scan_seconds": round(scan_seconds, 2),
            "scan_peak_mebibytes": max(peak for _, peak in scans),
            "settle_seconds": round(settle_seconds, 2),
            "settle_to_scan": round(settle_seconds / scan_seconds, 1),
            "settle_peak_mebibytes": settle_peak,
            "analysis_seconds": round(analyze_seconds, 2),
            "analysis_to_scan": round(analyze_seconds / scan_seconds, 1),
            "analysis_peak_mebibytes": analyze_peak,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--signals", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--days", type=int, default=DAYS, help="1: all in one settled piece")
    given = parser.parse_args()
    result = run(signals=given.signals, users=given.users, folder=given.folder, days=given.days)
    print(json.dumps(result))
