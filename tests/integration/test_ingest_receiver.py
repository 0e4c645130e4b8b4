"""The receiver with real clients before it and a real engine behind it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ingest_support import MONDAY, SALT, attributes, traces
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from store_fixture import fresh_store

from analyzer_service.errors import SettingsError, UnavailableError
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.store.connect import Store
from analyzer_service.store.writer import RawWriter
from otel_instrumentation.privacy import pseudonym
from tests.integration.receiver_support import (
    SETTINGS,
    Running,
    fresh_span,
    running_receiver,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_store(tmp_path_factory.mktemp("ingest")) as opened:
        yield opened


@pytest.fixture
def running(store: Store) -> Iterator[Running]:
    with running_receiver(store) as receiver:
        yield receiver


# --- unmodified OpenTelemetry programs -------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http", "http-gzip"])
def test_spans_of_an_otel_sdk(running: Running, protocol: str) -> None:
    exporter: Any
    if protocol == "grpc":
        exporter = GrpcExporter(f"127.0.0.1:{running.receiver.grpc_port}", insecure=True)
    else:
        exporter = HttpExporter(
            f"http://127.0.0.1:{running.receiver.http_port}/v1/traces",
            compression=Compression.Gzip if protocol == "http-gzip" else None,
        )
    provider = TracerProvider(resource=Resource.create({"service.name": "studio"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("sdk", "2.0")
    with tracer.start_as_current_span("parent", attributes={"n": 1, "user.id": "alice"}) as parent:
        parent.add_event("note", {"k": [1, 2]})
        with tracer.start_as_current_span("child"):
            pass
    provider.shutdown()
    found = running.rows(
        "SELECT SpanName, ServiceName, ScopeName, ScopeVersion, SpanKind, SpanAttributes,"
        " `Events.Name`, `Events.Attributes` FROM otel_traces ORDER BY SpanName"
    )
    user = {"n": "1", "user.hash": pseudonym("alice", SALT)}
    assert found == [
        ("child", "studio", "sdk", "2.0", "Internal", {}, [], []),
        ("parent", "studio", "sdk", "2.0", "Internal", user, ["note"], [{"k": "[1,2]"}]),
    ]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_log_records_of_an_otel_sdk(running: Running, protocol: str) -> None:
    exporter: Any
    if protocol == "grpc":
        exporter = GrpcLogExporter(f"127.0.0.1:{running.receiver.grpc_port}", insecure=True)
    else:
        exporter = HttpLogExporter(f"http://127.0.0.1:{running.receiver.http_port}/v1/logs")
    provider = LoggerProvider(resource=Resource.create({"service.name": "studio"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("sdk").emit(
        ApiLogRecord(timestamp=MONDAY, event_name="mlp.view", body="seen", attributes={"a": True})
    )
    provider.shutdown()
    found = running.rows(
        "SELECT toUnixTimestamp64Nano(Timestamp), EventName, Body, LogAttributes FROM otel_logs"
    )
    assert found == [(MONDAY, "mlp.view", "seen", {"a": "true"})]


def test_json_by_any_http_client(running: Running) -> None:
    document = {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "curl"}}]
                },
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "spanId": "eee19b7ec3c1b174",
                                "name": "submit",
                                "startTimeUnixNano": str(MONDAY),
                                "endTimeUnixNano": str(MONDAY + 10**9),
                            }
                        ]
                    }
                ],
            }
        ]
    }
    body = gzip.compress(json.dumps(document).encode())
    answer = running.post(
        "/v1/traces", body, "application/json; charset=utf-8", Content_Encoding="gzip"
    )
    assert (answer.status, answer.json) == (200, {})
    assert answer.headers["Content-Type"] == "application/json"
    assert running.rows("SELECT ServiceName, SpanId, Duration FROM otel_traces") == [
        ("curl", "eee19b7ec3c1b174", 10**9)
    ]


def test_an_accepted_span_becomes_a_signal(running: Running) -> None:
    said = {"user.id": "alice", "mlp.stage": "model_training", "mlp.action": "submit"}
    running.export(traces(fresh_span(said)).SerializeToString())
    assert running.rows("SELECT stage, action, lower(hex(user_key)) FROM signals") == [
        ("model_training", "submit", pseudonym("alice", SALT))
    ]


def test_health(running: Running) -> None:
    assert running.ask("GET", "/healthz").status == 200


# --- starting ---------------------------------------------------------------------------------


def test_a_port_that_is_taken(running: Running) -> None:
    for field, port in (
        ("grpc_address", running.receiver.grpc_port),
        ("http_address", running.receiver.http_port),
    ):
        addresses = {"grpc_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}
        taken = IngestSettings(**{**addresses, field: f"127.0.0.1:{port}"})
        with pytest.raises(UnavailableError, match=str(port)):
            Receiver(RawWriter(running.store), settings=taken)


@pytest.mark.parametrize("field", ["grpc_address", "http_address"])
def test_an_address_that_is_none(running: Running, field: str) -> None:
    with pytest.raises(SettingsError, match=field):
        Receiver(RawWriter(running.store), settings=IngestSettings(**{field: "localhost"}))


def test_the_salt_is_not_shown() -> None:
    assert SALT not in repr(SETTINGS)


def test_attributes_helper_is_what_senders_send() -> None:
    (one,) = attributes({"a": "b"})
    assert (one.key, one.value.string_value) == ("a", "b")
