"""Log records and events, from the wire to rows of ``otel_logs``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from analyzer_service.ingest import records, rowbinary, values, wire
from analyzer_service.ingest.attributes import as_map
from analyzer_service.ingest.frames import Resource, Scope, Tools

_TIME: Final = wire.tag(1, wire.FIXED64)
_SEVERITY_NUMBER: Final = wire.tag(2, wire.VARINT)
_SEVERITY_TEXT: Final = wire.tag(3, wire.LENGTH_DELIMITED)
_BODY: Final = wire.tag(5, wire.LENGTH_DELIMITED)
_ATTRIBUTES: Final = wire.tag(6, wire.LENGTH_DELIMITED)
_FLAGS: Final = wire.tag(8, wire.FIXED32)
_TRACE_ID: Final = wire.tag(9, wire.LENGTH_DELIMITED)
_SPAN_ID: Final = wire.tag(10, wire.LENGTH_DELIMITED)
_OBSERVED_TIME: Final = wire.tag(11, wire.FIXED64)
_EVENT_NAME: Final = wire.tag(12, wire.LENGTH_DELIMITED)

_NO_FLAGS: Final = b"\x00"
_BYTE: Final = 0xFF


class LogRows:
    """Makes the rows of one request's log records."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._resource_user = False
        self._service_name = b""
        self._shared = b""

    def enter(self, resource: Resource, scope: Scope) -> None:
        """Take the resource and scope of the records that follow."""
        self._resource_user = resource.has_user
        self._service_name = resource.service_name
        self._shared = b"".join(
            (
                resource.schema_url,
                resource.attributes,
                scope.schema_url,
                scope.name,
                scope.version,
                scope.attributes,
            )
        )

    def row(self, message: bytes) -> bytes:
        """Return a log record as a row.

        Raises:
            RejectedRecordError: A field makes it unusable.
            WireError: It is broken.
        """
        fields = wire.split(message)
        get = dict(fields).get
        return b"".join(
            (
                self._time(get),
                self._id("traceId", get(_TRACE_ID, b""), records.TRACE_ID_BYTES),
                self._id("spanId", get(_SPAN_ID, b""), records.SPAN_ID_BYTES),
                get(_FLAGS, b"")[:1] or _NO_FLAGS,
                self._string(get(_SEVERITY_TEXT, b"")),
                bytes((get(_SEVERITY_NUMBER, 0) & _BYTE,)),
                self._service_name,
                self._body(get(_BODY, b"")),
                self._shared,
                self._attributes(fields),
                self._string(get(_EVENT_NAME, b"")),
            )
        )

    def describe(self, message: bytes) -> Mapping[str, object]:
        """Return what identifies a log record that is rejected."""
        get = records.readable(message).get
        return {
            "eventName": records.shown(get(_EVENT_NAME, b"")),
            "timeUnixNano": records.number(get(_TIME, b"")),
            "observedTimeUnixNano": records.number(get(_OBSERVED_TIME, b"")),
            "traceId": get(_TRACE_ID, b"").hex(),
            "spanId": get(_SPAN_ID, b"").hex(),
        }

    def _time(self, get: Callable[[int, bytes], Any]) -> bytes:
        name, key = "timeUnixNano", _TIME
        if not any(get(_TIME, b"")):
            name, key = "observedTimeUnixNano", _OBSERVED_TIME
        value = records.time(name, get(key, b""))
        when = int.from_bytes(value, "little")
        if not records.EARLIEST_TIME <= when <= self._tools.latest_time:
            self._tools.findings.warn(records.outside("log record", name))
        return value

    def _id(self, name: str, value: bytes, size: int) -> bytes:
        if len(value) in (0, size):
            return records.optional_id(value)
        # An event stands by itself; without its trace it is still what happened.
        self._tools.findings.warn(
            f"{name} of a log record has {len(value)} bytes, not {size}, and was left out: "
            "send the whole id or none"
        )
        return rowbinary.EMPTY

    def _body(self, message: bytes) -> bytes:
        if not message:
            return rowbinary.EMPTY
        return rowbinary.string(values.as_text(message, self._tools.findings))

    def _attributes(self, fields: list[wire.Field]) -> bytes:
        tools = self._tools
        encoded = records.repeated(fields, _ATTRIBUTES)
        attributes = tools.attributes.read(encoded, tools.findings)
        return as_map(
            tools.identity.settle(attributes, tools.findings, inherited=self._resource_user)
        )

    def _string(self, value: bytes) -> bytes:
        return rowbinary.string(self._tools.findings.text(value)) if value else rowbinary.EMPTY
