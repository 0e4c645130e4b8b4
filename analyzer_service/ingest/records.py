"""What spans and log records have in common: ids, times, fields by tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from analyzer_service.ingest import rowbinary, wire
from analyzer_service.ingest.findings import VALUE_CHARACTERS, RejectedRecordError, shortened
from analyzer_service.ingest.frames import Resource, Scope

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8

EARLIEST_TIME: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 10**9
"""Events before make no signal (design.md section 3)."""

_SIGN_BYTE: Final = 7
"""Where a little-endian 64-bit number has its sign; DateTime64(9) is signed and ends in 2262."""

_NO_TIME: Final = bytes(8)


class RecordRows(Protocol):
    """Makes rows of one kind of record; :class:`~analyzer_service.ingest.spans.SpanRows` is one."""

    def enter(self, resource: Resource, scope: Scope) -> None:
        """Take the resource and scope of the records that follow."""
        ...

    def row(self, message: bytes) -> bytes:
        """Return a record as a row."""
        ...

    def describe(self, message: bytes) -> Mapping[str, object]:
        """Return what identifies a record that is rejected."""
        ...


def readable(message: bytes) -> dict[int, Any]:
    """Return the fields of a message that may be broken, up to the fault."""
    try:
        return dict(wire.split(message))
    except wire.WireError as broken:
        return dict(broken.fields)


def repeated(fields: Sequence[wire.Field], key: int) -> list[bytes]:
    """Return all values of a length-delimited field."""
    return [value for tag, value in fields if tag == key]


def trace_id(value: bytes) -> bytes:
    """Return a span's trace id as a column value: lower-case hexadecimal digits."""
    if len(value) != TRACE_ID_BYTES or not any(value):
        raise _bad_id("traceId", "trace_id", value, TRACE_ID_BYTES)
    return b"\x20" + value.hex().encode()


def span_id(value: bytes) -> bytes:
    """Return a span's own id as a column value."""
    if len(value) != SPAN_ID_BYTES or not any(value):
        raise _bad_id("spanId", "span_id", value, SPAN_ID_BYTES)
    return b"\x10" + value.hex().encode()


def parent_span_id(value: bytes) -> bytes:
    """Return the parent's id as a column value; zeros mean that there is none."""
    if len(value) != SPAN_ID_BYTES:
        # Left out, the span would count as the entry of its trace.
        raise _bad_id("parentSpanId", "parent_span_id", value, SPAN_ID_BYTES)
    return optional_id(value)


def optional_id(value: bytes) -> bytes:
    """Return an id that may be missing as a column value; zeros are as good as missing."""
    return rowbinary.string(value.hex().encode()) if any(value) else rowbinary.EMPTY


def _bad_id(field: str, reason: str, value: bytes, size: int) -> RejectedRecordError:
    if not value:
        problem = "is empty"
    elif len(value) != size:
        problem = f"has {len(value)} bytes"
    else:
        problem = "is all zeros"
    return RejectedRecordError(
        reason, f"{field} {problem}: send {size} bytes ({2 * size} hexadecimal digits in JSON)"
    )


def time(field: str, value: bytes) -> bytes:
    """Return a time in nanoseconds since 1970 as a column value: its own eight bytes."""
    if not value:
        return _NO_TIME
    if value[_SIGN_BYTE] >= wire.SINGLE_BYTE:
        raise RejectedRecordError(
            "time",
            f"{field} is after 2262-04-11, which no column can hold: send nanoseconds since 1970",
        )
    return value


def shown(value: bytes) -> str:
    """Return the beginning of a string for a message."""
    return shortened(value.decode("utf-8", "replace"), VALUE_CHARACTERS)


def number(value: bytes) -> int:
    """Return the number in a field of fixed size."""
    return int.from_bytes(value, "little")


def outside(record: str, field: str) -> str:
    """Return the warning about a time that makes no signal."""
    return (
        f"{field} is before 2000 or more than a day ahead: the {record} is stored but makes no "
        "signal; send nanoseconds since 1970 from a set clock"
    )
