"""A small real OTLP/gRPC receiver that keeps what it was sent and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Answering = Callable[[int, grpc.ServicerContext], str | None]
"""Called with the number of the request (from 1); may abort, or return a partial complaint."""


class Capture:
    """What arrived and was answered with success."""

    def __init__(self, answering: Answering | None = None) -> None:
        self.answering = answering
        self.traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.logs: list[logs_service_pb2.ExportLogsServiceRequest] = []
        self.metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self.metadata: list[dict[str, object]] = []
        self.requests = 0
        self.port = 0
        self._lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _answer(self, context: grpc.ServicerContext) -> str:
        with self._lock:
            self.requests += 1
            number = self.requests
            self.metadata.append(dict(context.invocation_metadata()))
        return (self.answering(number, context) if self.answering else None) or ""

    def _export_traces(self, request, context):
        complaint = self._answer(context)
        with self._lock:
            self.traces.append(request)
        response = trace_service_pb2.ExportTraceServiceResponse()
        if complaint:
            response.partial_success.rejected_spans = 1
            response.partial_success.error_message = complaint
        return response

    def _export_logs(self, request, context):
        self._answer(context)
        with self._lock:
            self.logs.append(request)
        return logs_service_pb2.ExportLogsServiceResponse()

    def _export_metrics(self, request, context):
        with self._lock:
            self.metrics.append(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, capture: Capture) -> None:
        self.Export = capture._export_traces


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, capture: Capture) -> None:
        self.Export = capture._export_logs


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, capture: Capture) -> None:
        self.Export = capture._export_metrics


@contextmanager
def receiving(capture: Capture | None = None, *, port: int = 0) -> Iterator[Capture]:
    """Serve on a free port (or the given one) until the block ends."""
    capture = capture or Capture()
    with ThreadPoolExecutor(8) as workers:
        # so_reuseport off: a test that wants a port taken must find it taken
        server = grpc.server(workers, options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(capture), server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_Logs(capture), server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(capture), server)
        capture.port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield capture
        finally:
            server.stop(grace=None).wait()


def try_again_after(context: grpc.ServicerContext, code: grpc.StatusCode, seconds: float) -> None:
    """Abort with the wish to be asked again after some time."""
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(int(seconds * 1000))
    status = Status(code=code.value[0], message="busy")
    status.details.add().Pack(info)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "busy")


def plain(value: AnyValue) -> object:
    """Return an attribute's value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def plain_attributes(pairs: list[KeyValue]) -> dict[str, object]:
    """Return attributes as a dictionary."""
    return {pair.key: plain(pair.value) for pair in pairs}
