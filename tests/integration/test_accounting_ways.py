"""Every way in is accounted for: OTLP over gRPC and HTTP, and the ClickHouse endpoint."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from ingest_support import MONDAY, log, logs, span, traces
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Sum
from store_fixture import fresh_store

from analyzer_service.accounts import SourceStatus
from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.endpoint import Endpoint, EndpointSettings
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.store.connect import Store
from analyzer_service.store.turned_away import TurnedAway
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv
from tests.integration.endpoint_support import Running, running_endpoint

PROTOBUF = "application/x-protobuf"
WHEN = "2026-01-05 00:00:00"
SETTINGS = IngestSettings(
    grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", salt="s" * 32, max_body_bytes=1 << 20
)
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"


@dataclass
class Ways:
    store: Store
    receiver: Receiver
    endpoint: Endpoint
    turned_away: TurnedAway

    def post(self, kind: str, body: bytes, content_type: str = PROTOBUF, **headers: str) -> int:
        url = f"http://127.0.0.1:{self.receiver.http_port}/v1/{kind}"
        named = {"Content-Type": content_type}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, named)) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def export(self, payload: bytes, service: str = TRACES) -> Any:
        response = {TRACES: ExportTraceServiceResponse, METRICS: ExportMetricsServiceResponse}
        options = (("grpc.max_send_message_length", -1),)
        with grpc.insecure_channel(f"127.0.0.1:{self.receiver.grpc_port}", options) as channel:
            call = channel.unary_unary(
                f"/{service}/Export", response_deserializer=response[service].FromString
            )
            return call(payload, timeout=30)

    def insert(self, table: str, *rows: dict[str, object], role: str = "writer") -> int:
        body = "\n".join(map(json.dumps, rows)).encode()
        query = f"INSERT INTO {table} FORMAT JSONEachRow"
        running = Running(self.store, self.endpoint)
        return running.ask(body, role, query=query).status

    def services(self) -> dict[tuple[str, str], SourceStatus]:
        found = Analyzer(self.store, SystemClock(), stages=semconv.STAGES).status()
        for one in (*found.services, *found.sources):
            assert one.received == one.stored + one.duplicated + one.rejected
        return {(one.service_name, one.source): one for one in found.services}

    def turned(self) -> list[tuple[str, str, str, int, int]]:
        self.turned_away.flush()
        return self.store.query(
            "SELECT way, source, reason, sum(requests), sum(records) FROM turned_away"
            " GROUP BY ALL ORDER BY ALL"
        )


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[Ways]:
    tokens = {"writer-token": "writer", "reader-token": "reader"}
    with fresh_store(tmp_path) as store:
        turned_away = TurnedAway(store, SystemClock())
        receiver = Receiver(RawWriter(store), settings=SETTINGS, turned_away=turned_away)
        endpoint = Endpoint(
            store,
            settings=EndpointSettings(address="127.0.0.1:0", max_body_bytes=100_000),
            authenticate=lambda _, password: tokens.get(password),
            turned_away=turned_away,
        )
        receiver.start()
        endpoint.start()
        yield Ways(store, receiver, endpoint, turned_away)
        endpoint.stop()
        receiver.stop(1)


def numbered(*numbers: int) -> list[Any]:
    return [span(span_id=number.to_bytes(8, "big")) for number in numbers]


BAD = span(span_id=b"short")


def test_otlp_with_bad_records_sent_again_and_recut(ways: Ways) -> None:
    whole = traces(*numbered(1, 2, 3), BAD).SerializeToString()
    ways.export(whole)
    assert ways.post("traces", whole) == 200
    ways.export(traces(*numbered(1)).SerializeToString())
    ways.export(traces(BAD, *numbered(2)).SerializeToString())
    ways.export(traces(*numbered(4), resource={"service.name": "hub"}).SerializeToString())
    assert ways.post("logs", logs(log(event_name="e")).SerializeToString()) == 200
    found = ways.services()
    studio = found["studio", "traces"]
    assert (studio.received, studio.stored, studio.duplicated) == (11, 3, 7)
    assert studio.rejected_by_reason == {"span_id": 1}
    assert found["hub", "traces"].received == 1
    assert found["studio", "logs"].stored == 1


def test_otlp_json_says_whose_a_broken_record_was(ways: Ways) -> None:
    broken = {"traceId": 7}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "page"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [broken]}]}]}
    assert ways.post("traces", json.dumps(body).encode(), "application/json") == 200
    assert ways.services()["page", "traces"].rejected_by_reason == {"malformed": 1}


def test_the_endpoint_with_poison_sent_again(ways: Ways) -> None:
    rows = [
        {"Timestamp": WHEN, "TraceId": f"t{n}", "SpanId": "s", "ServiceName": "jobs"}
        for n in range(5)
    ]
    poison = {**rows[0], "Timestamp": "no time at all", "ServiceName": "poisonous"}
    for _ in range(2):
        assert ways.insert("otel_traces", *rows[:3], poison, *rows[3:]) == 200
    found = ways.services()
    jobs = found["jobs", "traces"]
    assert (jobs.received, jobs.stored, jobs.duplicated, jobs.rejected) == (10, 5, 5, 0)
    poisonous = found["poisonous", "traces"]
    assert (poisonous.received, poisonous.rejected, poisonous.duplicated) == (2, 1, 1)


def test_requests_of_which_nothing_is_kept(ways: Ways) -> None:
    large = bytes(2 << 20)
    assert ways.post("traces", large) == 413
    assert ways.post("logs", gzip.compress(large), Content_Encoding="gzip") == 413
    assert ways.post("traces", b"x", "text/plain") == 415
    assert ways.post("traces", b"\xff\xff") == 400
    assert ways.post("traces", b"{", "application/json") == 400
    assert ways.post("traces", b"", Host="evil.example.org") == 403
    for payload in (large, b"\xff\xff"):
        with pytest.raises(grpc.RpcError):
            ways.export(payload)
    assert ways.insert("otel_traces", role="nobody") == 403
    assert ways.insert("otel_logs", role="reader") == 403
    assert ways.insert("otel_metrics_gauge", {"Value": 1}) == 501
    assert ways.turned() == [
        ("clickhouse_http", "logs", "access_denied", 1, 0),
        ("clickhouse_http", "unknown", "authentication_failed", 1, 0),
        ("clickhouse_http", "unknown", "not_implemented", 1, 0),
        ("otlp_grpc", "traces", "too_large", 1, 0),
        ("otlp_grpc", "traces", "undecodable", 1, 0),
        ("otlp_http", "logs", "too_large", 1, 0),
        ("otlp_http", "traces", "too_large", 1, 0),
        ("otlp_http", "traces", "undecodable", 2, 0),
        ("otlp_http", "traces", "unsupported", 1, 0),
        ("otlp_http", "unknown", "access", 1, 0),
    ]


def counters() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for name, value in (("service.name", "hub"), ("service.instance.id", "7"), ("user.id", "ann")):
        group.resource.attributes.add(key=name).value.string_value = value
    scope = group.scope_metrics.add()
    kept = Sum(
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        is_monotonic=True,
    )
    for reason, numbers in (("queue_full", {"as_int": 5}), ("timeout", {"as_double": 2.0})):
        point = kept.data_points.add(
            start_time_unix_nano=MONDAY, time_unix_nano=MONDAY + 10**9, **numbers
        )
        for name, value in (("error.type", reason), ("user.id", "ann")):
            point.attributes.add(key=name).value.string_value = value
    # A time that no column holds.
    kept.data_points.add(as_int=1, time_unix_nano=2**64 - 1)
    scope.metrics.add(name=semconv.SDK_PROCESSED["traces"], sum=kept)
    scope.metrics.add(name="http.requests", sum=kept)
    gauge = scope.metrics.add(name=semconv.SDK_PROCESSED["logs"]).gauge
    gauge.data_points.add(as_int=9)
    return request


def test_counters_by_grpc_and_http_alike(ways: Ways) -> None:
    assert ways.export(counters().SerializeToString(), METRICS) == ExportMetricsServiceResponse()
    assert ways.post("metrics", counters().SerializeToString()) == 200
    assert ways.store.query(
        "SELECT service_name, instance, outcome, reason, records FROM accounting_path ORDER BY ALL"
    ) == [
        ("hub", "7", "lost", "queue_full", 5),
        ("hub", "7", "lost", "timeout", 2),
    ]
    assert ways.turned() == [
        ("otlp_grpc", "metrics", "not_kept", 0, 5),
        ("otlp_http", "metrics", "not_kept", 0, 5),
    ]
    everything = str(ways.store.query("SELECT attributes, instance FROM path_metrics"))
    assert "ann" not in everything


def test_broken_metrics_are_refused_whole(ways: Ways) -> None:
    payload = counters().SerializeToString()
    assert ways.post("metrics", payload[:-3]) == 400
    assert ways.store.query("SELECT count() FROM path_metrics") == [(0,)]


def test_a_reader_at_the_endpoint_sees_the_accounting(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as running:
        rows = json.dumps(
            {"Timestamp": WHEN, "TraceId": "t", "SpanId": "s", "ServiceName": "jobs"}
        ).encode()
        assert running.ask(rows, "writer", query="INSERT INTO otel_traces FORMAT JSONEachRow").status == 200  # fmt: skip
        Analyzer(running.store, SystemClock(), stages=semconv.STAGES).status()
        answer = running.ask("SELECT service_name, received, stored FROM accounting", "reader")
        assert answer.text == "jobs\t1\t1\n"
        for table in ("accounting_path", "turned_away", "path_metrics", "services_daily"):
            assert running.ask(f"SELECT count() FROM {table}", "reader").text == "0\n"
        assert running.ask("SELECT count() FROM rejected", "reader").status != 200
