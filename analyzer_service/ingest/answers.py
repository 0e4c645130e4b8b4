"""The kinds of telemetry OTLP knows, and the messages in which their senders are answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf import duration_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from analyzer_service.ingest.pipeline import Outcome

RETRY_SECONDS: Final = 2
"""When a sender should try again: the store reopens in milliseconds and merges in a second."""


@dataclass(frozen=True)
class Signal:
    """One kind of telemetry: its service, its path, its request and how it is answered."""

    service: str
    path: str
    request: Descriptor
    respond: Callable[[Outcome], Message]

    @property
    def source(self) -> str:
        """What the accounting calls it: ``traces``, ``logs`` or ``metrics``."""
        return self.path.rpartition("/")[2]


def _traces(outcome: Outcome) -> Message:
    response = trace_service_pb2.ExportTraceServiceResponse()
    if outcome.message:
        response.partial_success.rejected_spans = outcome.rejected
        response.partial_success.error_message = outcome.message
    return response


def _logs(outcome: Outcome) -> Message:
    response = logs_service_pb2.ExportLogsServiceResponse()
    if outcome.message:
        response.partial_success.rejected_log_records = outcome.rejected
        response.partial_success.error_message = outcome.message
    return response


def _metrics(outcome: Outcome) -> Message:
    response = metrics_service_pb2.ExportMetricsServiceResponse()
    if outcome.message:
        response.partial_success.rejected_data_points = outcome.rejected
        response.partial_success.error_message = outcome.message
    return response


TRACES: Final = Signal(
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "/v1/traces",
    trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR,
    _traces,
)
LOGS: Final = Signal(
    "opentelemetry.proto.collector.logs.v1.LogsService",
    "/v1/logs",
    logs_service_pb2.ExportLogsServiceRequest.DESCRIPTOR,
    _logs,
)
METRICS: Final = Signal(
    "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "/v1/metrics",
    metrics_service_pb2.ExportMetricsServiceRequest.DESCRIPTOR,
    _metrics,
)


def undecodable(message: str) -> Message:
    """Return the status for a request that will never do."""
    return _status(code_pb2.INVALID_ARGUMENT, message)


def too_large(message: str) -> Message:
    """Return the status for a request above the limit; without RetryInfo it is final."""
    return _status(code_pb2.RESOURCE_EXHAUSTED, message)


def retry_later(message: str) -> Message:
    """Return the status for a request that should be sent again, and when."""
    delay = duration_pb2.Duration(seconds=RETRY_SECONDS)
    return _status(code_pb2.UNAVAILABLE, message, error_details_pb2.RetryInfo(retry_delay=delay))


def _status(code: int, message: str, *details: Message) -> Message:
    status: Message = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)  # type: ignore[attr-defined]  # a google.rpc.Status
    return status
