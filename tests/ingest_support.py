"""What the tests of the receiver share: requests, and rows read back by column name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer_service.ingest import tables
from analyzer_service.ingest.attributes import AttributeReader
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.frames import Tools
from analyzer_service.ingest.identity import Identity
from analyzer_service.ingest.logs import LogRows
from analyzer_service.ingest.payload import PayloadReader
from analyzer_service.ingest.rowbinary import RowReader
from analyzer_service.ingest.spans import SpanRows
from otel_instrumentation import semconv

SALT = "pepper"
MONDAY = 1_767_571_200 * 10**9
"""2026-01-05T00:00Z in nanoseconds."""

TOMORROW = time.time_ns() + 24 * 3600 * 10**9


def value(content: object) -> AnyValue:
    if isinstance(content, bool):
        return AnyValue(bool_value=content)
    if isinstance(content, int):
        return AnyValue(int_value=content)
    if isinstance(content, float):
        return AnyValue(double_value=content)
    if isinstance(content, bytes):
        return AnyValue(bytes_value=content)
    made = AnyValue()
    if isinstance(content, str):
        made.string_value = content
    elif isinstance(content, list):
        made.array_value.SetInParent()
        made.array_value.values.extend(value(one) for one in content)
    elif isinstance(content, Mapping):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(attributes(content))
    return made


def attributes(content: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(one)) for key, one in content.items()]


def span(said: Mapping[str, object] | None = None, **fields: Any) -> Span:
    made = Span(
        trace_id=fields.pop("trace_id", b"\x01" * 16),
        span_id=fields.pop("span_id", b"\x02" * 8),
        name=fields.pop("name", "train"),
        start_time_unix_nano=fields.pop("start", MONDAY),
        end_time_unix_nano=fields.pop("end", MONDAY + 5),
        **fields,
    )
    made.attributes.extend(attributes(said or {}))
    return made


def traces(
    *spans: Span, resource: Mapping[str, object] | None = None, scope: str = "test"
) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    said = {"service.name": "studio"} if resource is None else resource
    group.resource.attributes.extend(attributes(said))
    inner = group.scope_spans.add()
    inner.scope.name = scope
    inner.spans.extend(spans)
    return request


def log(said: Mapping[str, object] | None = None, **fields: Any) -> LogRecord:
    made = LogRecord(time_unix_nano=fields.pop("time", MONDAY), **fields)
    made.attributes.extend(attributes(said or {}))
    return made


def logs(
    *records: LogRecord, resource: Mapping[str, object] | None = None
) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    said = {"service.name": "studio"} if resource is None else resource
    group.resource.attributes.extend(attributes(said))
    inner = group.scope_logs.add()
    inner.scope.name = "test"
    inner.log_records.extend(records)
    return request


class Reading:
    """A request read by the receiver's own reader, with its rows as dictionaries."""

    def __init__(self, payload: bytes | Message, *, kind: str = "traces") -> None:
        raw = payload if isinstance(payload, bytes) else payload.SerializeToString()
        self.findings = Findings()
        reader = AttributeReader(semconv.IDENTITY_HEADERS)
        tools = Tools(reader, Identity(reader, SALT), self.findings, TOMORROW)
        table = tables.TRACES if kind == "traces" else tables.LOGS
        rows = SpanRows(tools) if kind == "traces" else LogRows(tools)
        encoded = PayloadReader(rows, tools).read(raw)
        self.rows = [RowReader(row).record(table.columns) for row in encoded]
        self.message = self.findings.message()

    @property
    def row(self) -> Mapping[str, Any]:
        (row,) = self.rows
        return row

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.findings.rejections]
