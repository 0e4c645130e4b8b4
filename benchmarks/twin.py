"""What must be equal of two services that got the same telemetry in different ways."""

from __future__ import annotations

import sys
from pathlib import Path

from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.server.client import RemoteAnalyzer
from benchmarks.load import Payload
from benchmarks.poison import MARKER, POISON

# The programs are started as the end-to-end tests start them.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from collector_program import SAME_IDENTITY, service_tokens
from programs import Program, Service

SETTLED = ("attempts_daily", "failures", "repeats_daily", "sessions_daily")
"""What an analysis reads."""
OURS = f"ServiceName NOT IN ('{MARKER}', '{POISON}')"


def new_service(folder: Path) -> Service:
    """Return a service with a store of its own, not started."""
    folder.mkdir(parents=True)
    return Service(Program(folder, variables=SAME_IDENTITY))


def client(service: Service) -> RemoteAnalyzer:
    return RemoteAnalyzer(service.server, token=service_tokens(service)["operator"])


def state(service: Service) -> dict[str, object]:
    """Return everything that must not depend on what happened on the way."""
    found: dict[str, object] = {}
    for rules in ("paper", "calibrated"):
        service.json("analyze", "--rules", rules)
        found[f"report {rules}"] = service.json("report")
    with client(service) as analyzer:

        def rows(sql: str) -> list[str]:
            return list(analyzer.query(sql, max_rows=100_000))

        for table in SETTLED:
            columns = "* EXCEPT (ingest_time)" if table == "failures" else "*"
            found[table] = rows(
                f"SELECT count(), sum(cityHash64(*)) FROM (SELECT {columns} FROM {table})"
            )
        found["event names"] = rows(
            f"SELECT EventName, count() FROM otel_logs WHERE {OURS} GROUP BY EventName"
            " ORDER BY EventName"
        )
        found["spans"] = rows(f"SELECT count() FROM otel_traces WHERE {OURS}")
    return found


def twin(load: list[Payload], folder: Path) -> dict[str, object]:
    """Return the state of a service that got the payloads straight and in peace."""
    with new_service(folder) as service:
        with OtlpSender(service.otlp) as sender:
            for kind, request, records in load:
                send = sender.send_traces if kind == "traces" else sender.send_logs
                send(request, records=records)
            sender.drain()
        return state(service)
