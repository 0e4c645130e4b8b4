"""The ways in and out that a Collector and a ClickHouse client use, against the shortest ones.

In, in one run, with the same payloads: Collector, clickhouse exporter and endpoint, against OTLP
straight into the receiver: spans per second, and processor time of each process. Bytes on disk come
from the first. Out: queries through the endpoint against the same text run in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect

from analyzer_service.endpoint import Endpoint, EndpointSettings
from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.server.client import RemoteAnalyzer
from analyzer_service.store.connect import open_store
from analyzer_service.store.gate import QueryLimits
from benchmarks.ingest import payloads
from benchmarks.machine import RESULTS, commit, machine

# The programs are started as the end-to-end tests start them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from collector_program import SAME_IDENTITY, clickhouse, counted, service_tokens
from programs import Program, Service

RECORDS = 200_000
SLICE_RECORDS = 5_000
ROUNDS = 3
"""Each way this often, in turns; the best counts, since others use the machine too."""
TICKS = os.sysconf("SC_CLK_TCK")
POLL_SECONDS = 0.1
ARRIVAL_SECONDS = 600.0
TABLES = ("otel_traces", "otel_logs", "signals")
ROWS = 1_000_000
"""The default limit on a query's rows."""
SLICE_ROWS = 10_000
QUERY_ROUNDS = 5
OPERATOR = "operator"

Payload = tuple[str, bytes, int]


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far, its own and the system's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def send(address: str, batches: list[Payload]) -> None:
    with OtlpSender(address) as sender:
        for kind, request, records in batches:
            one = sender.send_traces if kind == "traces" else sender.send_logs
            one(request, records=records)
        sender.drain()


def wait_until_stored(service: Service, rows: int) -> None:
    query = "SELECT sum(n) FROM (SELECT count() AS n FROM {}) ".format(
        " UNION ALL SELECT count() AS n FROM ".join(TABLES[:2])
    )
    deadline = time.monotonic() + ARRIVAL_SECONDS
    with RemoteAnalyzer(service.server, token=service_tokens(service)["operator"]) as analyzer:
        while counted(analyzer, query) < rows:
            assert time.monotonic() < deadline, "the rows did not arrive"
            time.sleep(POLL_SECONDS)


def straight(folder: Path, batches: list[Payload], rows: int) -> dict[str, object]:
    """OTLP from the sender to the receiver."""
    with Service(_program(folder)) as service:
        assert service.process is not None
        before, begun = cpu_seconds(service.process.pid), time.monotonic()
        send(service.otlp, batches)
        wait_until_stored(service, rows)
        seconds = time.monotonic() - begun
        used = {"service": cpu_seconds(service.process.pid) - before}
    return figures("embedded receiver", rows, seconds, used)


def gateway(folder: Path, batches: list[Payload], rows: int) -> dict[str, object]:
    """OTLP to the Collector, its clickhouse exporter, the endpoint."""
    with Service(_program(folder)) as service:
        with clickhouse(folder / "collector", service) as collector:
            assert service.process is not None
            assert collector.process is not None
            pids = {"service": service.process.pid, "collector": collector.process.pid}
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            begun = time.monotonic()
            send(collector.otlp, batches)
            wait_until_stored(service, rows)
            seconds = time.monotonic() - begun
            used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        disk = bytes_on_disk(service)
    return {**figures("collector, exporter, endpoint", rows, seconds, used), "disk": disk}


def figures(way: str, rows: int, seconds: float, used: dict[str, float]) -> dict[str, object]:
    return {
        "way": way,
        "seconds": round(seconds, 2),
        "records_per_second": round(rows / seconds),
        "cpu_seconds_per_million": {k: round(v / rows * 1e6, 1) for k, v in used.items()},
    }


def bytes_on_disk(service: Service) -> dict[str, float]:
    """Return compressed bytes per row of each table of the raw chain, merges included."""
    names = ", ".join(f"'{name}'" for name in TABLES)
    rows = service.json(
        "sql",
        "SELECT table, sum(bytes_on_disk) / sum(rows) AS size FROM system.parts WHERE active"
        f" AND table IN ({names}) GROUP BY table ORDER BY table",
    )
    return {row["table"]: round(row["size"], 1) for row in rows}


def ways_in(records: int, scratch: Path, rounds: int) -> dict[str, object]:
    batches = payloads(records)
    rows = sum(count for _, _, count in batches)
    found: list[dict[str, object]] = []
    for number in range(rounds):
        found.append(straight(scratch / f"straight{number}", batches, rows))
        found.append(gateway(scratch / f"gateway{number}", batches, rows))
    best = {
        way: min((one for one in found if one["way"] == way), key=lambda one: float(one["seconds"]))
        for way in ("embedded receiver", "collector, exporter, endpoint")
    }
    slow, quick = best["collector, exporter, endpoint"], best["embedded receiver"]
    used = {name: sum(one["cpu_seconds_per_million"].values()) for name, one in best.items()}
    return {
        "records": rows,
        "rounds": found,
        "best": best,
        "seconds_to_straight": round(float(slow["seconds"]) / float(quick["seconds"]), 2),
        "cpu_to_straight": round(
            used["collector, exporter, endpoint"] / used["embedded receiver"], 2
        ),
    }


QUERIES = {
    "SELECT 1": "SELECT 1",
    "an aggregate": "SELECT n % 100 AS k, sum(n) AS s FROM t GROUP BY k",
    "every row out": "SELECT n, s FROM t",
}
WAYS_OUT = (
    ("SELECT 1", "Native"),
    ("an aggregate", "Native"),
    ("every row out", "Native"),
    ("every row out", "ArrowStream"),
    ("every row out", "Parquet"),
)


def ways_out(rows: int, folder: Path) -> list[dict[str, object]]:
    """Time queries through the endpoint against the same text on a handle of this process."""
    with open_store(f"chdb://{folder}") as store:
        store.execute("CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
        store.execute(
            "INSERT INTO t SELECT number, toString(number) FROM numbers({rows:UInt64})",
            {"rows": rows},
        )
        endpoint = Endpoint(
            store,
            settings=EndpointSettings(address="127.0.0.1:0", limits=QueryLimits(result_rows=rows)),
            authenticate=lambda _, token: OPERATOR if token == OPERATOR else None,
        )
        endpoint.start()
        try:
            client = clickhouse_connect.get_client(
                host="127.0.0.1", port=endpoint.port, password=OPERATOR, compress=False
            )
            with client, store.lend("measure") as inside:
                return [
                    compared(
                        name,
                        data_format,
                        rows,
                        lambda sql=QUERIES[name], fmt=data_format: inside.raw_query(sql, fmt=fmt),
                        lambda sql=QUERIES[name], fmt=data_format: client.raw_query(sql, fmt=fmt),
                    )
                    for name, data_format in WAYS_OUT
                ]
        finally:
            endpoint.stop()


def compared(
    name: str,
    data_format: str,
    rows: int,
    inside: Callable[[], bytes],
    through: Callable[[], bytes],
) -> dict[str, object]:
    seconds: dict[str, list[float]] = {"inside": [], "through": []}
    sizes: dict[str, int] = {}
    for _ in range(QUERY_ROUNDS):
        for way, ask in (("inside", inside), ("through", through)):
            begun = time.perf_counter()
            sizes[way] = len(ask())
            seconds[way].append(time.perf_counter() - begun)
    quickest = {way: min(times) for way, times in seconds.items()}
    return {
        "query": name,
        "format": data_format,
        "rows": rows,
        "bytes": sizes["through"],
        "milliseconds_in_process": round(quickest["inside"] * 1000, 2),
        "milliseconds_through_endpoint": round(quickest["through"] * 1000, 2),
        "endpoint_to_in_process": round(quickest["through"] / quickest["inside"], 2),
    }


def _program(folder: Path) -> Program:
    folder.mkdir(parents=True)
    return Program(folder, variables=SAME_IDENTITY)


def run(*, records: int, rows: int, rounds: int, scratch: Path) -> dict[str, object]:
    return {
        "in": ways_in(records, scratch, rounds),
        "out": ways_out(rows, scratch / "queries"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collector")
    parser.add_argument("--slice", action="store_true", help="a small run that writes nothing")
    small = parser.parse_args().slice
    with tempfile.TemporaryDirectory() as folder:
        measured = run(
            records=SLICE_RECORDS if small else RECORDS,
            rows=SLICE_ROWS if small else ROWS,
            rounds=1 if small else ROUNDS,
            scratch=Path(folder),
        )
    results = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        **measured,
    }
    text = json.dumps(results, indent=2)
    print(text)
    if not small:
        (RESULTS / "collector.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
