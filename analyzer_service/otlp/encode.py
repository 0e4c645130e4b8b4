"""OTLP records as wire bytes, written by hand because a simulator sends millions of them.

Field numbers are those of ``opentelemetry/proto`` (trace.proto, logs.proto, common.proto); a test
decodes every form with the generated classes. A span of ten attributes costs about half of
what the generated classes take, and less where its attributes repeat, because the bytes of a
repeated key and value are kept.

A record is built in two steps: its attributes (:func:`span_attributes`, :func:`log_attributes`,
plain bytes that may be kept and concatenated), then the record (:func:`span`, :func:`log_record`).
Requests are records joined behind a resource and a scope (:func:`traces_request`,
:func:`logs_request`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import KeyValue

_Scalar: TypeAlias = str | bool | int | float | bytes
AttributeValue: TypeAlias = _Scalar | Sequence[_Scalar]
Attributes: TypeAlias = Mapping[str, AttributeValue] | Iterable[tuple[str, AttributeValue]]

KEPT_ATTRIBUTES: Final = 65_536
"""Encoded pairs kept for reuse: some 10 MB, far more than a platform has low-cardinality pairs."""

_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_CONTINUED: Final = 0x80
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_UINT64_MASK: Final = 2**64 - 1

_double = struct.Struct("<d").pack
_TIMES: Final = struct.Struct("<BQBQ")


class SpanKind(IntEnum):
    """Kinds of spans, with OTLP's numbers."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """Status of a span, with OTLP's numbers."""

    UNSET = 0
    OK = 1
    ERROR = 2


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= _CONTINUED:
        out.append(number % _CONTINUED | _CONTINUED)
        number //= _CONTINUED
    out.append(number)
    return bytes(out)


# Lengths are small and repeat: a table answers nearly all of them.
_SMALL_VARINTS: Final = tuple(_varint(number) for number in range(16_384))


def _length(number: int) -> bytes:
    return _SMALL_VARINTS[number] if number < len(_SMALL_VARINTS) else _varint(number)


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _delimited(tag: bytes, body: bytes) -> bytes:
    return tag + _length(len(body)) + body


def _utf8(text: str) -> bytes:
    # A lone surrogate has no UTF-8; one question mark loses less than the whole record.
    return text.encode("utf-8", "replace")


_SPAN_ATTRIBUTE: Final = _tag(9, _BYTES)
_LOG_ATTRIBUTE: Final = _tag(6, _BYTES)
_RESOURCE_ATTRIBUTE: Final = _tag(1, _BYTES)
_FIRST: Final = _tag(1, _BYTES)
_SECOND: Final = _tag(2, _BYTES)
_STRING_VALUE: Final = _tag(1, _BYTES)
_BOOL_VALUE: Final = _tag(2, _VARINT)
_INT_VALUE: Final = _tag(3, _VARINT)
_DOUBLE_VALUE: Final = _tag(4, _FIXED64)
_ARRAY_VALUE: Final = _tag(5, _BYTES)
_BYTES_VALUE: Final = _tag(7, _BYTES)


def _any_value(value: AttributeValue) -> bytes:
    match value:
        case str():
            encoded = _delimited(_STRING_VALUE, _utf8(value))
        case bool():  # before int, whose subclass it is
            encoded = _BOOL_VALUE + (b"\x01" if value else b"\x00")
        case int() if _INT64_MIN <= value <= _INT64_MAX:
            encoded = _INT_VALUE + _varint(value & _UINT64_MASK)
        case int():
            encoded = _delimited(_STRING_VALUE, str(value).encode())
        case float():
            encoded = _DOUBLE_VALUE + _double(value)
        case bytes():
            encoded = _delimited(_BYTES_VALUE, value)
        case _:
            items = b"".join(_delimited(_FIRST, _any_value(item)) for item in value)
            encoded = _delimited(_ARRAY_VALUE, items)
    return encoded


def _key_value(key: str, value: AttributeValue) -> bytes:
    return _delimited(_FIRST, _utf8(key)) + _delimited(_SECOND, _any_value(value))


# ``typed``: 1, 1.0 and True are equal as keys and differ on the wire. -0.0 equals 0.0 and loses
# its sign to whichever came first, which no attribute can mean anything by.
@lru_cache(maxsize=KEPT_ATTRIBUTES, typed=True)
def _kept(tag: bytes, key: str, value: _Scalar) -> bytes:
    return _delimited(tag, _key_value(key, value))


def _encoded(tag: bytes, pairs: Attributes) -> bytes:
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return b"".join(
        [
            _kept(tag, key, value)
            if isinstance(value, str | int | float | bytes)
            else _delimited(tag, _key_value(key, value))
            for key, value in items
        ]
    )


def span_attributes(pairs: Attributes) -> bytes:
    """Encode attributes of a span, to be given to :func:`span`; results may be concatenated."""
    return _encoded(_SPAN_ATTRIBUTE, pairs)


def log_attributes(pairs: Attributes) -> bytes:
    """Encode attributes of a log record, to be given to :func:`log_record`."""
    return _encoded(_LOG_ATTRIBUTE, pairs)


def resource(pairs: Attributes) -> bytes:
    """Encode a resource from its attributes, to be given to a request."""
    return _encoded(_RESOURCE_ATTRIBUTE, pairs)


@lru_cache(maxsize=1_024)
def scope(name: str, version: str = "") -> bytes:
    """Encode an instrumentation scope, to be given to a request."""
    body = _delimited(_FIRST, _utf8(name))
    return body + _delimited(_SECOND, _utf8(version)) if version else body


_TRACE_ID: Final = _tag(1, _BYTES) + b"\x10"
_SPAN_ID: Final = _tag(2, _BYTES) + b"\x08"
_PARENT_ID: Final = _tag(4, _BYTES) + b"\x08"
_NAME: Final = _tag(5, _BYTES)
_START: Final = _tag(7, _FIXED64)[0]
_END: Final = _tag(8, _FIXED64)[0]
_KINDS: Final = tuple(_tag(6, _VARINT) + bytes((kind,)) for kind in SpanKind)
_STATUS: Final = _tag(15, _BYTES)
_STATUS_MESSAGE: Final = _tag(2, _BYTES)
_STATUS_CODE: Final = _tag(3, _VARINT)


@lru_cache(maxsize=KEPT_ATTRIBUTES)
def _kept_name(tag: bytes, name: str) -> bytes:
    return _delimited(tag, _utf8(name))


@lru_cache(maxsize=4_096)
def _status(code: StatusCode, message: str) -> bytes:
    body = _delimited(_STATUS_MESSAGE, _utf8(message)) if message else b""
    return _delimited(_STATUS, body + _STATUS_CODE + bytes((code,)))


def span(
    *,
    trace_id: bytes,
    span_id: bytes,
    name: str,
    start_ns: int,
    end_ns: int,
    attributes: bytes = b"",
    parent_span_id: bytes = b"",
    kind: SpanKind = SpanKind.INTERNAL,
    status: StatusCode = StatusCode.UNSET,
    status_message: str = "",
) -> bytes:
    """Encode one span as an element of a request.

    Args:
        trace_id: 16 bytes, not all zero.
        span_id: 8 bytes, not all zero.
        name: What it is called; low cardinality.
        start_ns: Nanoseconds since 1970-01-01 UTC.
        end_ns: Likewise; not before ``start_ns``.
        attributes: From :func:`span_attributes`.
        parent_span_id: 8 bytes, or none for a root span.
        kind: Its kind.
        status: Its status.
        status_message: Only for people; programs read ``error.type``.
    """
    body = (
        _TRACE_ID
        + trace_id
        + _SPAN_ID
        + span_id
        + (_PARENT_ID + parent_span_id if parent_span_id else b"")
        + _kept_name(_NAME, name)
        + _KINDS[kind]
        + _TIMES.pack(_START, start_ns, _END, end_ns)
        + attributes
        + (_status(status, status_message) if status else b"")
    )
    return _SECOND + _length(len(body)) + body


_LOG_TIME: Final = _tag(1, _FIXED64)[0]
_LOG_OBSERVED: Final = _tag(11, _FIXED64)[0]
_LOG_SEVERITY: Final = _tag(2, _VARINT)
_LOG_BODY: Final = _tag(5, _BYTES)
_LOG_TRACE_ID: Final = _tag(9, _BYTES) + b"\x10"
_LOG_SPAN_ID: Final = _tag(10, _BYTES) + b"\x08"
_LOG_EVENT_NAME: Final = _tag(12, _BYTES)

SEVERITY_INFO: Final = 9
"""OTLP's number of plain information, the severity of events."""


def log_record(
    *,
    event_name: str,
    time_ns: int,
    attributes: bytes = b"",
    trace_id: bytes = b"",
    span_id: bytes = b"",
    severity: int = SEVERITY_INFO,
    body: str = "",
) -> bytes:
    """Encode one log record, an event where it has a name, as an element of a request.

    Args:
        event_name: Name of the event, or empty.
        time_ns: When it happened and was observed, nanoseconds since 1970-01-01 UTC.
        attributes: From :func:`log_attributes`; give ``log.record.uid``, its identity, there.
        trace_id: 16 bytes, or none outside a trace.
        span_id: 8 bytes of the span it happened in, or none.
        severity: OTLP's severity number, 1 to 24.
        body: Text for people, or none.
    """
    record = (
        _TIMES.pack(_LOG_TIME, time_ns, _LOG_OBSERVED, time_ns)
        + _LOG_SEVERITY
        + _length(severity)
        + (_delimited(_LOG_BODY, _any_value(body)) if body else b"")
        + attributes
        + (_LOG_TRACE_ID + trace_id if trace_id else b"")
        + (_LOG_SPAN_ID + span_id if span_id else b"")
        + (_kept_name(_LOG_EVENT_NAME, event_name) if event_name else b"")
    )
    return _SECOND + _length(len(record)) + record


def traces_request(resource: bytes, scope: bytes, spans: Iterable[bytes]) -> bytes:
    """Join spans of one resource and scope to a whole ``ExportTraceServiceRequest``.

    Serialized requests may be concatenated: the result holds the resources of both.
    """
    # ResourceSpans{1: resource, 2: ScopeSpans{1: scope, 2: spans}}; logs are numbered alike.
    records = _delimited(_FIRST, scope) + b"".join(spans)
    return _delimited(_FIRST, _delimited(_FIRST, resource) + _delimited(_SECOND, records))


def logs_request(resource: bytes, scope: bytes, records: Iterable[bytes]) -> bytes:
    """Join log records of one resource and scope to a whole ``ExportLogsServiceRequest``."""
    return traces_request(resource, scope, records)


def attributes(pairs: Attributes) -> list[KeyValue]:
    """Return attributes as messages, for who builds requests from the generated classes."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return [KeyValue.FromString(_key_value(key, value)) for key, value in items]
