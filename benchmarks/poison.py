"""Requests that are valid OTLP for a Collector and poison for what stands behind it."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer_service.otlp import encode

POISON = "poison"
"""The service name of the records of poison."""
MARKER = "marker"
"""The service name of records whose way is timed."""

START_NS = 1_767_571_200 * 10**9
LARGE_ATTRIBUTE_BYTES = 1_000_000
LARGE_SPANS = 300
"""The exporter repeats a resource in each row: 300 MB of rows from one megabyte, more than one
insert of the endpoint may usually have."""
ATTRIBUTES = 100_000

Poison = tuple[str, str, bytes]
"""What it is, the kind of data, the request."""


def marker(number: int) -> bytes:
    """Return one span of its own identity."""
    return _spans(MARKER, [_span(number)])


def poisons(*, large: bool) -> list[Poison]:
    """Return one request of each kind.

    Args:
        large: whether the one that grows to hundreds of megabytes is among them.
    """
    found = [
        ("no ids", "traces", _changed(1, trace_id=b"", span_id=b"")),
        ("zero ids", "traces", _changed(2, trace_id=bytes(16), span_id=bytes(8))),
        ("a time after 2262", "traces", _at(2**63)),
        ("a time before 1970, to a signed reader", "traces", _at(2**64 - 1)),
        ("invalid UTF-8", "traces", _invalid_text()),
        (
            "statements and NUL in values",
            "traces",
            _spans(POISON, [_span(4, attributes={"a\0": "\n\nDROP TABLE otel_traces\n\n"})]),
        ),
        (
            "a hundred thousand attributes",
            "traces",
            _spans(POISON, [_span(5, attributes={f"k{n}": "v" for n in range(ATTRIBUTES)})]),
        ),
    ]
    if large:
        attributes = {"notebook.source": "x" * LARGE_ATTRIBUTE_BYTES}
        spans = [_span(100 + number) for number in range(LARGE_SPANS)]
        found.append(("a large resource", "traces", _spans(POISON, spans, attributes)))
    return found


def _at(nanoseconds: int) -> bytes:
    return _changed(3, start_time_unix_nano=nanoseconds, end_time_unix_nano=nanoseconds)


def _changed(number: int, **fields: bytes | int) -> bytes:
    request = ExportTraceServiceRequest.FromString(_spans(POISON, [_span(number)]))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    for name, value in fields.items():
        setattr(span, name, value)
    return request.SerializeToString()


def _invalid_text() -> bytes:
    text = "replaced below"
    request = _spans(POISON, [_span(6, attributes={"text": text})])
    return request.replace(text.encode(), b"\xff\xfe\xc3\x28".ljust(len(text), b"\x80"))


def _span(number: int, *, attributes: dict[str, str] | None = None) -> bytes:
    return encode.span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="poison",
        start_ns=START_NS + number,
        end_ns=START_NS + number + 1,
        attributes=encode.span_attributes(attributes or {}),
    )


def _spans(service: str, spans: list[bytes], resource: dict[str, str] | None = None) -> bytes:
    return encode.traces_request(
        encode.resource({"service.name": service, **(resource or {})}),
        encode.scope("poison"),
        spans,
    )
