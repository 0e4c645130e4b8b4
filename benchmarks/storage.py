"""Bytes on disk: per raw record, per signal and per settled row, after the engine has merged.

Two sources: a simulated platform (clicks, views, key actions, spans with attributes), and the job
log of a real cluster if it is at hand (in the folder `MLP_ANALYZER_TEST_DATA`), one span per job.
What the engine writes is compared with the same rows as uncompressed columns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.replay import load_mapping, replay
from analyzer_service.simulate import World, load_scenario, simulate
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.writer import RawWriter
from benchmarks.machine import RESULTS, commit, machine
from otel_instrumentation import semconv

PHILLY = "philly/*.csv.gz"

PARTS = """
SELECT table, sum(rows), sum(bytes_on_disk), sum(data_uncompressed_bytes), uniqExact(partition)
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY table
"""

RAW = ("otel_traces", "otel_logs")


def stored(store: Store) -> dict[str, dict[str, float]]:
    """Merge every table and return its rows, and its bytes per row."""
    tables = [row[0] for row in store.query(PARTS)]
    for table in tables:
        store.execute(f"OPTIMIZE TABLE {table} FINAL")
    return {
        table: {
            "rows": int(rows),
            "bytes_per_row": round(disk / rows, 1),
            "to_uncompressed": round(disk / plain, 3),
        }
        for table, rows, disk, plain, _ in store.query(PARTS)
        if rows
    }


def measured(name: str, send: Callable[[OtlpSender], object]) -> dict[str, object]:
    """Send through the receiver into a store of its own, settle, analyse, and weigh it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"chdb://{folder}/store") as store,
    ):
        migrate(store)
        settings = IngestSettings(
            grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt="s" * 32
        )
        receiver = Receiver(RawWriter(store), settings=settings)
        receiver.start()
        try:
            with OtlpSender(f"127.0.0.1:{receiver.grpc_port}") as sender:
                send(sender)
        finally:
            receiver.stop()
        analyzer = Analyzer(store, SystemClock(), stages=semconv.STAGES)
        analyzer.run(AnalysisRequest())
        tables = stored(store)
        [(users,)] = store.query("SELECT uniqExact(user_key) FROM attempts_daily")
    signals = tables["signals"]["rows"]
    return {
        "source": name,
        "signals": signals,
        "users": int(users),
        "tables": tables,
        "raw_bytes_per_signal": per_signal(tables, RAW, signals),
        "signal_bytes": tables["signals"]["bytes_per_row"],
        "settled_bytes_per_signal": per_signal(
            tables,
            ("attempts_daily", "failures", "repeats_daily", "sessions_daily", "services_daily"),
            signals,
        ),
        "result_bytes_per_user_and_analysis": per_signal(
            tables, ("user_segments", "user_bottlenecks"), users
        ),
    }


def per_signal(
    tables: dict[str, dict[str, float]], names: tuple[str, ...], signals: float
) -> float:
    """Return what some tables weigh per signal (or per whatever is counted)."""
    weight = sum(
        tables[name]["rows"] * tables[name]["bytes_per_row"] for name in names if name in tables
    )
    return round(weight / signals, 1)


def first_batches(world: World, count: int, sender: OtlpSender) -> None:
    for kind, request, records in itertools.islice(world.batches(), count):
        send = sender.send_traces if kind == "traces" else sender.send_logs
        send(request, records=records)
    sender.drain()


def run(*, scenario: str, batches: int, logs: Path | None) -> list[dict[str, object]]:
    world = World(load_scenario(scenario))
    if batches:
        return [measured(scenario, lambda sender: first_batches(world, batches, sender))]
    found = [measured(scenario, lambda sender: simulate(world, sender))]
    mapping = load_mapping("philly")
    found += [
        measured("philly", lambda sender, log=log: replay(log, mapping, sender))
        for log in (sorted(logs.glob(PHILLY)) if logs else ())
    ]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", default="paper-2020")
    parser.add_argument("--batches", type=int, default=0, help="only so many of the first; 0: all")
    parser.add_argument("--write", action="store_true", help="keep it in results/storage.json")
    given = parser.parse_args()
    folder = os.environ.get("MLP_ANALYZER_TEST_DATA", "")
    logs = Path(folder) if folder else None
    stores = run(scenario=given.scenario, batches=given.batches, logs=logs)
    print(json.dumps(stores))
    if given.write:
        when = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
        result = {**when, "machine": machine(), "stores": stores}
        (RESULTS / "storage.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
