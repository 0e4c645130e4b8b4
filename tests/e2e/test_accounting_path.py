"""What was lost before it arrived reaches `status`: from an SDK's queue, from the Collector."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from collector_program import Collector, PinnedService, clickhouse, embedded, send
from ingest_support import span, traces

pytestmark = pytest.mark.e2e

QUEUE = 8
STARTED = 100
OFTEN = {"MLP_COLLECTOR_METRICS_INTERVAL_MS": "500"}
PATIENCE_SECONDS = 30

# Stock OpenTelemetry: a queue of QUEUE spans that nobody empties before the end.
PROGRAM = f"""
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
metrics.set_meter_provider(meters)
meters.get_meter("mine").create_counter("http.requests").add(3, {{"user.id": "ann"}})
spans = TracerProvider()
spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = spans.get_tracer("test")
for number in range({STARTED}):
    tracer.start_span(f"span").end()
spans.shutdown()
meters.shutdown()
"""


def run_program(endpoint: str, name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_"))} | {
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{endpoint}",
        "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
        "OTEL_BSP_MAX_QUEUE_SIZE": str(QUEUE),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": str(QUEUE),
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)


def until(service: PinnedService, wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted(status := service.json("status")):
        assert time.monotonic() < deadline, (status["path"], status["services"])
        time.sleep(0.3)
    return status


def said(status: Any, **what: str) -> int:
    return sum(
        hop["records"]
        for hop in status["path"]
        if all(hop[name] == value for name, value in what.items())
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PinnedService]:
    with PinnedService(tmp_path_factory.mktemp("path") / "service") as running:
        yield running


def received(status: Any, name: str) -> int:
    return sum(one["received"] for one in status["services"] if one["service_name"] == name)


def test_what_an_sdk_dropped_is_told_without_a_collector(service: PinnedService) -> None:
    run_program(service.otlp, "straight")
    status = until(
        service, lambda status: any(one["source"] == "metrics" for one in status["turned_away"])
    )
    lost = said(status, hop="sdk", service_name="straight", outcome="lost", reason="queue_full")
    assert lost > 0
    came = received(status, "straight")
    assert nobody_is_missing(came, lost)
    assert said(status, hop="sdk", service_name="straight", outcome="sent") == came
    let_go = [one for one in status["turned_away"] if one["source"] == "metrics"]
    assert [(one["reason"], one["requests"]) for one in let_go] == [("not_kept", 0)]
    # The same numbers by SQL, and after a restart.
    query = "SELECT sum(records) AS n FROM accounting_path WHERE outcome = 'lost' AND service_name = 'straight'"
    assert service.count(query) == lost
    service.stop()
    service.start()
    again = service.json("status")
    assert again["path"] == status["path"]
    assert again["services"] == status["services"]
    assert again["turned_away"] == status["turned_away"]
    text = service.program.run("status", "--server", service.server)
    assert "Lost before it reached us" in text
    assert "queue_full" in text


def nobody_is_missing(came: int, lost: int) -> bool:
    """What was started arrived, or was dropped and said to be.

    The SDK looks at its queue and counts a drop without a lock: a batch taken out in between makes
    one drop that was none.
    """
    return STARTED <= came + lost <= STARTED + came // QUEUE


WAYS = {"embedded": embedded, "gateway": clickhouse}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_sdk_and_collector_say_passes_through_the_collector(
    service: PinnedService, tmp_path: Path, way: str
) -> None:
    named = tmp_path / "named.yaml"
    named.write_text(
        f"service: {{telemetry: {{resource: {{service.name: {way}-collector}}}}}}\n",
        encoding="utf-8",
    )
    collector: Collector = WAYS[way](tmp_path / "collector", service, str(named))
    collector.variables = {**collector.variables, **OFTEN}
    name = f"behind-{way}"
    own = {"hop": "collector", "service_name": f"{way}-collector", "source": "traces"}
    with collector:
        run_program(collector.otlp, name)
        send(collector.otlp, traces=(traces(span()).SerializeToString(),))
        assert refused(collector, bytes(9_000_000)) >= 400
        status = until(
            service,
            lambda status: (
                received(status, name) > 0
                and said(status, hop="sdk", service_name=name, outcome="lost") > 0
                and said(status, **own, outcome="sent") > received(status, name)
            ),
        )
    lost = said(status, hop="sdk", service_name=name, outcome="lost")
    came = received(status, name)
    assert nobody_is_missing(came, lost)
    assert said(status, **own, outcome="received", component="otlp/grpc") == came + 1
    assert said(status, **own, outcome="sent") == came + 1
    assert said(status, **own, outcome="lost") == 0
    mine = f"FROM accounting_path WHERE service_name = '{way}-collector'"
    assert service.count(f"SELECT uniqExact(instance) AS n {mine}") == 1


def refused(collector: Collector, body: bytes) -> int:
    request = Request(
        f"http://127.0.0.1:{collector.http_port}/v1/traces",
        data=body,
        headers={"Content-Type": "application/x-protobuf"},
    )
    try:
        with urlopen(request) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
