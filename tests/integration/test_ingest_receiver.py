"""The receiver with real clients before it and a real engine behind it."""

from __future__ import annotations

import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from ingest_support import MONDAY, SALT, attributes, log, logs, span, traces
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
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

PROTOBUF = "application/x-protobuf"
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"
METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"
LIMIT = 1024 * 1024
"""A small limit keeps the tests of it quick."""

SETTINGS = IngestSettings(
    grpc_address="127.0.0.1:0",
    http_address="127.0.0.1:0",
    salt=SALT,
    max_body_bytes=LIMIT,
    cors_origins=("https://hub.example.org",),
)


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    store: Store
    receiver: Receiver

    def post(self, path: str, body: bytes, content_type: str = PROTOBUF, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {"Content-Type": content_type, **named})

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        url = f"http://127.0.0.1:{self.receiver.http_port}{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def export(self, payload: bytes, service: str = TRACES, response: Any = None) -> Any:
        response = ExportTraceServiceResponse if response is None else response
        with grpc.insecure_channel(
            f"127.0.0.1:{self.receiver.grpc_port}",
            options=(("grpc.max_send_message_length", -1),),
        ) as channel:
            call = channel.unary_unary(
                f"/{service}/Export", response_deserializer=response.FromString
            )
            return call(payload, timeout=30)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.store.query(sql)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_store(tmp_path_factory.mktemp("ingest")) as opened:
        yield opened


@pytest.fixture
def running(store: Store) -> Iterator[Running]:
    for table in ("otel_traces", "otel_logs", "rejected", "signals"):
        store.execute(f"TRUNCATE TABLE {table}")
    receiver = Receiver(RawWriter(store), settings=SETTINGS)
    receiver.start()
    yield Running(store, receiver)
    receiver.stop(1)


COUNTER = iter(range(1, 1_000_000))


def fresh_span(said: dict[str, object] | None = None, **fields: Any) -> Any:
    """A span with an id of its own: what is sent twice is stored once."""
    return span(said, **{"span_id": next(COUNTER).to_bytes(8, "big"), **fields})


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


# --- answers to bad input --------------------------------------------------------------------


def test_partial_success_over_both_protocols(running: Running) -> None:
    request = traces(fresh_span(), fresh_span(span_id=b""), fresh_span()).SerializeToString()
    over_grpc = running.export(request).partial_success
    assert over_grpc.rejected_spans == 1
    assert "spanId is empty: send 8 bytes" in over_grpc.error_message
    over_http = running.post("/v1/traces", request)
    assert over_http.status == 200
    assert ExportTraceServiceResponse.FromString(over_http.body).partial_success == over_grpc
    assert running.rows("SELECT count() FROM otel_traces FINAL") == [(2,)]
    # The same record rejected twice is kept once.
    ((source, reason, detail, record),) = running.rows(
        "SELECT source, reason, detail, record FROM rejected"
    )
    assert (source, reason) == ("traces", "span_id")
    assert "spanId" in detail
    assert json.loads(record)["name"] == "train"


def test_partial_success_in_json(running: Running) -> None:
    one = {"traceId": "01" * 16, "spanId": "xx", "name": "bad"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()
    answer = running.post("/v1/traces", body, "application/json")
    assert answer.status == 200
    assert answer.json["partialSuccess"]["rejectedSpans"] == "1"
    assert "spanId" in answer.json["partialSuccess"]["errorMessage"]
    assert running.rows("SELECT reason FROM rejected") == [("malformed",)]


def test_log_records_in_part(running: Running) -> None:
    request = logs(log(), log(time=2**64 - 1)).SerializeToString()
    answer = running.export(request, LOGS, ExportLogsServiceResponse)
    assert answer.partial_success.rejected_log_records == 1
    assert running.rows("SELECT count() FROM otel_logs") == [(1,)]
    assert running.rows("SELECT source, reason FROM rejected") == [("logs", "time")]


def test_truncated_protobuf(running: Running) -> None:
    request = traces(fresh_span(), fresh_span()).SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        running.export(request[:30])
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "truncated" in caught.value.details()
    answer = running.post("/v1/traces", request[:30])
    assert answer.status == 400
    assert answer.headers["Content-Type"] == PROTOBUF
    status = status_pb2.Status.FromString(answer.body)
    assert (status.code, "truncated" in status.message) == (3, True)
    # Cut later, its first span is saved.
    answer = running.post("/v1/traces", request[:-3])
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
    assert running.rows("SELECT count() FROM otel_traces") == [(1,)]
    assert running.receiver.statistics.traces.refused == {"undecodable": 2}


def test_truncated_json(running: Running) -> None:
    answer = running.post("/v1/traces", b'{"resourceSpans": [', "application/json")
    assert answer.status == 400
    assert answer.json["code"] == 3
    assert "not valid JSON" in answer.json["message"]


def test_wrong_content_type(running: Running) -> None:
    answer = running.post("/v1/traces", b"a,b", "text/csv")
    assert answer.status == 415
    message = status_pb2.Status.FromString(answer.body).message
    assert "application/x-protobuf" in message
    assert "application/json" in message


def test_wrong_compression(running: Running) -> None:
    for body, encoding in ((b"x", "gzip"), (gzip.compress(b"x" * 99)[:-9], "gzip"), (b"x", "zstd")):
        assert running.post("/v1/traces", body, Content_Encoding=encoding).status == 415


def test_wrong_method_and_path(running: Running) -> None:
    assert running.ask("GET", "/v1/traces").status == 405
    assert running.post("/v1/spans", b"").status == 404


def test_fifty_megabytes(running: Running) -> None:
    body = bytes(50 * 1024 * 1024)
    answer = running.post("/v1/traces", body)
    assert answer.status == 413
    assert str(LIMIT) in status_pb2.Status.FromString(answer.body).message
    bomb = running.post("/v1/traces", gzip.compress(body), Content_Encoding="gzip")
    assert bomb.status == 413
    with pytest.raises(grpc.RpcError) as caught:
        running.export(body)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(LIMIT) in caught.value.details()
    assert running.export(traces(fresh_span()).SerializeToString())


def test_a_compressed_bomb_over_grpc(running: Running) -> None:
    with grpc.insecure_channel(
        f"127.0.0.1:{running.receiver.grpc_port}", compression=grpc.Compression.Gzip
    ) as channel:
        call = channel.unary_unary(f"/{TRACES}/Export")
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(8 * LIMIT), timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_invalid_utf8_in_one_attribute(running: Running) -> None:
    request = traces(fresh_span({"note": "GOOD"}), fresh_span({"note": "fine\x00"}))
    answer = running.export(request.SerializeToString().replace(b"GOOD", b"\xff\x00\xfe!"))
    assert answer.partial_success.rejected_spans == 0
    assert "UTF-8" in answer.partial_success.error_message
    assert running.rows("SELECT SpanAttributes['note'] FROM otel_traces ORDER BY SpanId") == [
        ("\ufffd\x00\ufffd!",),
        ("fine\x00",),
    ]
    assert running.receiver.statistics.traces.repaired == 1


def test_times_over_two_hundred_years_in_one_insert(running: Running) -> None:
    day = 24 * 3600 * 10**9
    starts = [year * 365 * day for year in range(0, 237, 4)]
    many = [fresh_span(start=start, end=start + 1) for start in starts]
    answer = running.export(traces(*many).SerializeToString())
    assert answer.partial_success.rejected_spans == 0
    assert "makes no signal" in answer.partial_success.error_message
    found = running.rows("SELECT toUnixTimestamp64Nano(Timestamp) FROM otel_traces ORDER BY 1")
    assert [start for (start,) in found] == starts
    assert running.rows("SELECT min(event_time) >= '2000-01-01' FROM signals") == [(1,)]


def test_values_that_are_large_deep_or_many(running: Running) -> None:
    deep: object = "leaf"
    for _ in range(31):
        deep = [deep]
    said = {f"a{number}": "x" for number in range(10_000)}
    running.export(traces(fresh_span(said)).SerializeToString())
    running.export(
        traces(fresh_span({"deep": [deep] * 2, "long": "y" * 500_000})).SerializeToString()
    )
    assert running.rows("SELECT max(length(SpanAttributes)) FROM otel_traces") == [(10_000,)]
    assert running.rows("SELECT max(length(SpanAttributes['long'])) FROM otel_traces") == [
        (500_000,)
    ]


def test_unknown_stage_and_end_before_start(running: Running) -> None:
    request = traces(fresh_span({"mlp.stage": "training"}, end=MONDAY - 1)).SerializeToString()
    answer = running.export(request).partial_success
    assert answer.rejected_spans == 0
    assert "mlp.stage 'training'" in answer.error_message
    assert "endTimeUnixNano" in answer.error_message
    assert running.rows("SELECT Duration, SpanAttributes['mlp.stage'] FROM otel_traces") == [
        (0, "training")
    ]


def test_metrics_are_counted_and_declined(running: Running) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="a").gauge.data_points.add(as_int=1)
    total = scope.metrics.add(name="b").sum
    total.data_points.add(as_double=1)
    total.data_points.add(as_double=2)
    answer = running.export(request.SerializeToString(), METRICS, ExportMetricsServiceResponse)
    assert answer.partial_success.rejected_data_points == 3
    assert "not stored" in answer.partial_success.error_message
    body = (
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [{}]}}]}]}]}'
    )
    assert running.post("/v1/metrics", body, "application/json").status == 200
    assert running.receiver.statistics.metrics.rejected == {"not_stored": 4}
    assert running.post("/v1/metrics", b"\xff").status == 400


# --- who may send -----------------------------------------------------------------------------


def test_a_foreign_host_is_refused(running: Running) -> None:
    request = traces(fresh_span()).SerializeToString()
    assert running.post("/v1/traces", request, Host="evil.example.org").status == 403
    assert running.post("/v1/traces", request, Host="localhost:4318").status == 200
    assert running.rows("SELECT count() FROM otel_traces") == [(1,)]


def test_a_foreign_page_is_refused_and_a_configured_one_is_not(running: Running) -> None:
    request = traces(fresh_span()).SerializeToString()
    foreign = running.post("/v1/traces", request, Origin="https://evil.example.org")
    assert foreign.status == 403
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert running.rows("SELECT count() FROM otel_traces") == [(0,)]
    own = running.post("/v1/traces", request, Origin="https://hub.example.org")
    assert own.status == 200
    assert own.headers["Access-Control-Allow-Origin"] == "https://hub.example.org"
    preflight = running.ask("OPTIONS", "/v1/traces", None, {"Origin": "https://hub.example.org"})
    assert preflight.status == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    refused = running.ask("OPTIONS", "/v1/traces", None, {"Origin": "https://evil.example.org"})
    assert refused.status == 403


# --- storing ----------------------------------------------------------------------------------


def test_sending_again_changes_nothing(running: Running) -> None:
    request = traces(*(fresh_span() for _ in range(20))).SerializeToString()
    for _ in range(3):
        running.export(request)
    assert running.rows("SELECT count() FROM otel_traces FINAL") == [(20,)]
    assert running.rows("SELECT count() FROM signals FINAL") == [(20,)]


def test_many_senders_at_once_over_both_protocols(running: Running) -> None:
    senders, requests, records = 6, 8, 25

    def send(number: int) -> None:
        for _ in range(requests):
            spans = traces(*(fresh_span() for _ in range(records))).SerializeToString()
            events = logs(*(log({"log.record.uid": f"{next(COUNTER)}"}) for _ in range(records)))
            if number % 2:
                running.export(spans)
                running.export(events.SerializeToString(), LOGS, ExportLogsServiceResponse)
            else:
                assert running.post("/v1/traces", spans).status == 200
                assert running.post("/v1/logs", events.SerializeToString()).status == 200

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = senders * requests * records
    assert running.rows("SELECT count() FROM otel_traces FINAL") == [(expected,)]
    assert running.rows("SELECT count() FROM otel_logs FINAL") == [(expected,)]
    statistics = running.receiver.statistics
    for counted in (statistics.traces, statistics.logs):
        assert (counted.received, counted.stored) == (expected, expected)
        assert counted.requests == senders * requests


def test_statistics(running: Running) -> None:
    running.export(traces(fresh_span(), fresh_span(trace_id=b"")).SerializeToString())
    counted = running.receiver.statistics.traces
    assert (counted.received, counted.stored, dict(counted.rejected)) == (2, 1, {"trace_id": 1})
    assert counted.requests == 1
    assert running.receiver.statistics.logs.received == 0


class Gated(RawWriter):
    """A writer whose inserts wait for permission, and are counted."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.gate = threading.Event()
        self.inserts = 0

    def write_whole(self, *arguments: Any, **named: Any) -> bool:
        self.inserts += 1
        assert self.gate.wait(20)
        return super().write_whole(*arguments, **named)


def _gated(store: Store) -> tuple[Gated, Running]:
    store.execute("TRUNCATE TABLE otel_traces")
    sink = Gated(store)
    receiver = Receiver(sink, settings=SETTINGS)
    receiver.start()
    return sink, Running(store, receiver)


def _send(running: Running, requests: int, answers: list[Any]) -> list[threading.Thread]:
    def send() -> None:
        answers.append(running.export(traces(fresh_span()).SerializeToString()))

    threads = [threading.Thread(target=send) for _ in range(requests)]
    for thread in threads:
        thread.start()
    return threads


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_that_wait_become_one_insert_and_none_is_answered_early(store: Store) -> None:
    sink, running = _gated(store)
    answers: list[Any] = []
    threads = _send(running, 1, answers)
    _until(lambda: sink.inserts == 1)
    threads += _send(running, 12, answers)
    waiting = running.receiver._committers[0]._waiting
    _until(lambda: len(waiting) == 12)
    assert answers == []
    sink.gate.set()
    for thread in threads:
        thread.join()
    assert len(answers) == 13
    assert sink.inserts == 2
    assert running.rows("SELECT count() FROM otel_traces") == [(13,)]
    running.receiver.stop(1)


def test_stopping_stores_what_was_under_way(store: Store) -> None:
    sink, running = _gated(store)
    answers: list[Any] = []
    threads = _send(running, 3, answers)
    _until(lambda: sink.inserts)
    stopping = threading.Thread(target=running.receiver.stop, args=(10,))
    stopping.start()
    sink.gate.set()
    stopping.join()
    for thread in threads:
        thread.join()
    assert running.rows("SELECT count() FROM otel_traces") == [(len(answers),)]
    assert len(answers) == 3


def test_one_record_that_can_never_be_stored_delays_nothing(running: Running) -> None:
    running.store.execute(
        "ALTER TABLE otel_traces ADD CONSTRAINT poison CHECK SpanName != 'poison'"
    )
    try:
        answers: list[Any] = []
        threads = _send(running, 5, answers)
        said = {"user.email": "alice@example.org", "kept": "yes"}
        bad = traces(fresh_span(), fresh_span(said, name="poison"), fresh_span())
        answer = running.export(bad.SerializeToString())
        threads += _send(running, 5, answers)
        for thread in threads:
            thread.join()
    finally:
        running.store.execute("ALTER TABLE otel_traces DROP CONSTRAINT poison")
    assert answer.partial_success.rejected_spans == 1
    assert all(not other.partial_success.error_message for other in answers)
    assert running.rows("SELECT count() FROM otel_traces") == [(12,)]
    ((source, reason, record),) = running.rows("SELECT source, reason, record FROM rejected")
    assert (source, reason) == ("traces", "violated_constraint")
    assert json.loads(record)["SpanAttributes"] == {"kept": "yes"}
    assert running.receiver.statistics.traces.rejected == {"store": 1}


class Dissecting(RawWriter):
    """A writer that holds a refused request back while it is taken apart."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.begun = threading.Event()
        self.finish = threading.Event()

    def write(self, *arguments: Any, **named: Any) -> Any:
        self.begun.set()
        assert self.finish.wait(20)
        return super().write(*arguments, **named)


def test_a_request_that_is_taken_apart_holds_up_only_its_own_sender(store: Store) -> None:
    store.execute("TRUNCATE TABLE otel_traces")
    sink = Dissecting(store)
    running = Running(store, Receiver(sink, settings=SETTINGS))
    running.receiver.start()
    store.execute("ALTER TABLE otel_traces ADD CONSTRAINT poison CHECK SpanName != 'poison'")
    try:
        refused: list[Any] = []
        spans = [fresh_span(name="poison" if n % 3 == 0 else "good") for n in range(30)]
        bad = traces(*spans).SerializeToString()
        sender = threading.Thread(target=lambda: refused.append(running.export(bad)))
        sender.start()
        assert sink.begun.wait(20)
        answers: list[Any] = []
        for thread in _send(running, 8, answers):
            thread.join()
        assert len(answers) == 8
        assert running.rows("SELECT count() FROM otel_traces") == [(8,)]
        assert refused == []
        sink.finish.set()
        sender.join()
    finally:
        sink.finish.set()
        store.execute("ALTER TABLE otel_traces DROP CONSTRAINT poison")
        running.receiver.stop(5)
    assert refused[0].partial_success.rejected_spans == 10
    assert running.rows("SELECT count() FROM otel_traces") == [(28,)]


def test_a_store_that_fails_asks_senders_to_try_again(running: Running) -> None:
    request = traces(fresh_span()).SerializeToString()
    running.store.execute("RENAME TABLE otel_traces TO away")
    try:
        with pytest.raises(grpc.RpcError) as caught:
            running.export(request)
        status = rpc_status.from_call(caught.value)
        answer = running.post("/v1/traces", request, PROTOBUF)
        in_json = running.post(
            "/v1/traces",
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101",'
            b'"spanId":"0101010101010101"}]}]}]}',
            "application/json",
        )
    finally:
        running.store.execute("RENAME TABLE away TO otel_traces")
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.seconds > 0
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) == retry.retry_delay.seconds
    assert status_pb2.Status.FromString(answer.body).code == 14
    assert in_json.status == 503
    assert running.receiver.statistics.traces.refused == {"store_failed": 3}
    running.export(request)
    assert running.rows("SELECT count() FROM otel_traces") == [(1,)]


def test_a_full_queue_asks_senders_to_slow_down(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("analyzer_service.ingest.commit.QUEUE_WAIT_SECONDS", 0.05)
    sink, running = _gated(store)
    committer = running.receiver._committers[0]
    committer._queue_bytes = 1
    answers: list[Any] = []
    threads = _send(running, 1, answers)
    _until(lambda: sink.inserts)
    threads += _send(running, 1, answers)
    _until(lambda: len(committer._waiting) == 1)
    request = traces(fresh_span()).SerializeToString()
    answer = running.post("/v1/traces", request)
    assert answer.status == 429
    assert answer.headers["Retry-After"]
    with pytest.raises(grpc.RpcError) as caught:
        running.export(request)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    sink.gate.set()
    for thread in threads:
        thread.join()
    assert len(answers) == 2
    assert running.receiver.statistics.traces.refused == {"overloaded": 2}
    running.receiver.stop(1)


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
