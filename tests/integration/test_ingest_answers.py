"""What the receiver answers: to bad input, and to those who may not send."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import status_pb2
from ingest_support import MONDAY, log, logs, traces
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from store_fixture import fresh_store

from analyzer_service.ingest.attributes import LONGEST_TEXT
from analyzer_service.store.connect import Store
from tests.integration.receiver_support import (
    LIMIT,
    LOGS,
    METRICS,
    PROTOBUF,
    TRACES,
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
    with pytest.raises(grpc.RpcError) as caught:
        running.export(bytes(2 * LIMIT))
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
        traces(
            fresh_span({"deep": [deep] * 2, "long": "y" * 500_000, "list": ["y" * 500_000]})
        ).SerializeToString()
    )
    assert running.rows("SELECT max(length(SpanAttributes)) FROM otel_traces") == [(10_000,)]
    [(long, listed)] = running.rows(
        "SELECT max(length(SpanAttributes['long'])), max(length(SpanAttributes['list'])) FROM otel_traces"
    )
    assert (long, listed) == (LONGEST_TEXT, 500_004)


def test_unknown_stage_and_end_before_start(running: Running) -> None:
    request = traces(fresh_span({"mlp.stage": "training"}, end=MONDAY - 1)).SerializeToString()
    answer = running.export(request).partial_success
    assert answer.rejected_spans == 0
    assert "mlp.stage 'training'" in answer.error_message
    assert "endTimeUnixNano" in answer.error_message
    assert running.rows("SELECT Duration, SpanAttributes['mlp.stage'] FROM otel_traces") == [
        (0, "training")
    ]


def test_metrics_that_accounting_does_not_read_are_counted_and_let_go(running: Running) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="a").gauge.data_points.add(as_int=1)
    total = scope.metrics.add(name="b").sum
    total.data_points.add(as_double=1)
    total.data_points.add(as_double=2)
    answer = running.export(request.SerializeToString(), METRICS, ExportMetricsServiceResponse)
    # No mistake of the sender's: an SDK would log it every minute.
    assert answer == ExportMetricsServiceResponse()
    body = (
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"gauge": {"dataPoints": [{}]}}]}]}]}'
    )
    assert running.post("/v1/metrics", body, "application/json").status == 200
    assert running.receiver.statistics.metrics.rejected == {"not_kept": 4}
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
