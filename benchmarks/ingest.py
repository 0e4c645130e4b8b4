"""OTLP bytes to queryable rows, against the engine inserting the same columns in bulk.

Three ways into a fresh store, in one run: the receiver over gRPC on loopback; the finished columns
in one bulk insert into the same tables, through the same views; and into a copy without views.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.simulate import World, load_scenario
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.writer import RawWriter
from benchmarks.memory import peak_mebibytes, reset_peak

TABLES = ("otel_traces", "otel_logs")
ROUNDS = 2
"""The bulk inserts are quick, and the first of anything is slow; the faster round counts."""


def payloads(limit: int) -> list[tuple[str, bytes, int]]:
    """Return about ``limit`` spans and events of the simulated platform, encoded."""
    world = World(load_scenario("paper-2020"), seed=1)
    taken: list[tuple[str, bytes, int]] = []
    total = 0
    for kind, request, records in world.batches():
        taken.append((kind, request, records))
        total += records
        if total >= limit:
            break
    return taken


def through_receiver(store: Store, batches: list[tuple[str, bytes, int]]) -> None:
    settings = IngestSettings(grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt="s" * 32)
    receiver = Receiver(RawWriter(store), settings=settings)
    receiver.start()
    try:
        with OtlpSender(f"127.0.0.1:{receiver.grpc_port}") as sender:
            for kind, request, records in batches:
                if kind == "traces":
                    sender.send_traces(request, records=records)
                else:
                    sender.send_logs(request, records=records)
            sender.drain()
    finally:
        receiver.stop()


def measured(label: str, work: Callable[[], None], rows: int) -> dict[str, object]:
    reset_peak()
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    return {
        "way": label,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_mebibytes": peak_mebibytes(),
    }


def columns_of(store: Store, table: str) -> str:
    rows = store.query(
        "SELECT name FROM system.columns WHERE table = {table:String} AND default_kind = '' "
        "AND database = currentDatabase() ORDER BY position",
        {"table": table},
    )
    return ", ".join(f"`{name}`" for (name,) in rows)


def empty(store: Store, *tables: str) -> None:
    for table in tables:
        store.execute(f"TRUNCATE TABLE {table}")


def bulk(store: Store, source: str, suffix: str) -> None:
    for table in TABLES:
        columns = columns_of(store, table)
        store.execute(
            f"INSERT INTO {table}{suffix} ({columns}) SELECT {columns} FROM {table}{source}"
        )


def run(*, limit: int, folder: Path) -> dict[str, object]:
    batches = payloads(limit)
    rows = sum(records for _, _, records in batches)
    with open_store(f"chdb://{folder}") as store:
        migrate(store)
        results = [measured("receiver", lambda: through_receiver(store, batches), rows)]
        stored = sum(store.query(f"SELECT count() FROM {table}")[0][0] for table in TABLES)
        assert stored == rows, f"{stored} of {rows} rows were stored"
        for table in TABLES:
            store.execute(f"CREATE TABLE {table}_bare AS {table}")
        for _ in range(ROUNDS):
            empty(store, *(f"{table}_bare" for table in TABLES))
            results.append(measured("bulk, no views", lambda: bulk(store, "", "_bare"), rows))
            empty(store, *TABLES, "signals")
            results.append(measured("bulk, same views", lambda: bulk(store, "_bare", ""), rows))
        for suffix in ("_bare", ""):
            again = sum(store.query(f"SELECT count() FROM {name}{suffix}")[0][0] for name in TABLES)
            assert again == rows, f"{again} of {rows} rows were stored in bulk"
        made = store.query("SELECT count() FROM signals")[0][0]
        assert made == rows, f"the views made {made} signals of {rows} rows"
    seconds = {
        way: min(float(str(result["seconds"])) for result in results if result["way"] == way)
        for way in ("receiver", "bulk, no views", "bulk, same views")
    }
    return {
        "rows": rows,
        "ways": results,
        "receiver_to_bulk": round(seconds["receiver"] / seconds["bulk, no views"], 1),
        "receiver_to_bulk_with_views": round(seconds["receiver"] / seconds["bulk, same views"], 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(run(limit=given.rows, folder=Path(scratch) / "store")))
