"""Spans, from the wire to rows of ``otel_traces``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer_service.ingest import identity, records, rowbinary, wire
from analyzer_service.ingest.attributes import as_map, mask_route
from analyzer_service.ingest.findings import RejectedRecordError
from analyzer_service.ingest.frames import Resource, Scope, Tools

_TRACE_ID: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_SPAN_ID: Final = wire.tag(2, wire.LENGTH_DELIMITED)
_TRACE_STATE: Final = wire.tag(3, wire.LENGTH_DELIMITED)
_PARENT_SPAN_ID: Final = wire.tag(4, wire.LENGTH_DELIMITED)
_NAME: Final = wire.tag(5, wire.LENGTH_DELIMITED)
_KIND: Final = wire.tag(6, wire.VARINT)
_START: Final = wire.tag(7, wire.FIXED64)
_END: Final = wire.tag(8, wire.FIXED64)
_ATTRIBUTES: Final = wire.tag(9, wire.LENGTH_DELIMITED)
_EVENTS: Final = wire.tag(11, wire.LENGTH_DELIMITED)
_LINKS: Final = wire.tag(13, wire.LENGTH_DELIMITED)
_STATUS: Final = wire.tag(15, wire.LENGTH_DELIMITED)

_EVENT_TIME: Final = wire.tag(1, wire.FIXED64)
_EVENT_NAME: Final = wire.tag(2, wire.LENGTH_DELIMITED)
_EVENT_ATTRIBUTES: Final = wire.tag(3, wire.LENGTH_DELIMITED)

_LINK_TRACE_ID: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_LINK_SPAN_ID: Final = wire.tag(2, wire.LENGTH_DELIMITED)
_LINK_TRACE_STATE: Final = wire.tag(3, wire.LENGTH_DELIMITED)
_LINK_ATTRIBUTES: Final = wire.tag(4, wire.LENGTH_DELIMITED)

_STATUS_MESSAGE: Final = wire.tag(2, wire.LENGTH_DELIMITED)
_STATUS_CODE: Final = wire.tag(3, wire.VARINT)

SPAN_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUS_CODES: Final = ("Unset", "Ok", "Error")

# A kind or code that OTLP does not know is stored as nothing, as the exporter does.
_KIND_COLUMN: Final = {i: rowbinary.string(kind.encode()) for i, kind in enumerate(SPAN_KINDS)}
_CODE_COLUMN: Final = {i: rowbinary.string(code.encode()) for i, code in enumerate(STATUS_CODES)}
_NO_STATUS: Final = _CODE_COLUMN[0] + rowbinary.EMPTY
_NO_EVENTS: Final = rowbinary.EMPTY * 3
_NO_LINKS: Final = rowbinary.EMPTY * 4
_NO_DURATION: Final = bytes(8)


class SpanRows:
    """Makes the rows of one request's spans."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._resource_user = False
        self._shared = b""

    def enter(self, resource: Resource, scope: Scope) -> None:
        """Take the resource and scope of the spans that follow."""
        self._resource_user = resource.has_user
        self._shared = resource.service_name + resource.attributes + scope.name + scope.version

    def row(self, message: bytes) -> bytes:
        """Return a span as a row.

        Raises:
            RejectedRecordError: A field makes it unusable.
            WireError: It is broken.
        """
        fields = wire.split(message)
        # Of a field given twice the last one counts, as protobuf says.
        single = dict(fields)
        get = single.get
        trace_id = records.trace_id(get(_TRACE_ID, b""))
        span_id = records.span_id(get(_SPAN_ID, b""))
        parent = get(_PARENT_SPAN_ID, b"")
        start = records.time("startTimeUnixNano", get(_START, b""))
        duration = self._duration(start, get(_END, b""))
        return b"".join(
            (
                start,
                trace_id,
                span_id,
                records.parent_span_id(parent) if parent else rowbinary.EMPTY,
                self._string(get(_TRACE_STATE, b"")),
                self._string(mask_route(get(_NAME, b""))),
                _KIND_COLUMN.get(get(_KIND, 0), rowbinary.EMPTY),
                self._shared,
                self._attributes(fields),
                duration,
                self._status(get(_STATUS, b"")),
                self._events(fields) if _EVENTS in single else _NO_EVENTS,
                self._links(fields) if _LINKS in single else _NO_LINKS,
            )
        )

    def describe(self, message: bytes) -> Mapping[str, object]:
        """Return what identifies a span that is rejected."""
        get = records.readable(message).get
        return {
            "traceId": get(_TRACE_ID, b"").hex(),
            "spanId": get(_SPAN_ID, b"").hex(),
            "name": records.shown(mask_route(get(_NAME, b""))),
            "startTimeUnixNano": records.number(get(_START, b"")),
            "endTimeUnixNano": records.number(get(_END, b"")),
        }

    def _attributes(self, fields: list[wire.Field]) -> bytes:
        tools = self._tools
        encoded = [value for key, value in fields if key == _ATTRIBUTES]
        attributes = tools.attributes.read(encoded, tools.findings)
        return as_map(
            tools.identity.settle(attributes, tools.findings, inherited=self._resource_user)
        )

    def _duration(self, start: bytes, end: bytes) -> bytes:
        began = int.from_bytes(start, "little")
        ended = int.from_bytes(end, "little")
        if not records.EARLIEST_TIME <= began <= self._tools.latest_time:
            self._tools.findings.warn(records.outside("span", "startTimeUnixNano"))
        if ended < began:
            self._tools.findings.warn(
                "endTimeUnixNano is before startTimeUnixNano: the span is stored with duration 0; "
                "take both from one clock"
            )
            return _NO_DURATION
        return (ended - began).to_bytes(8, "little")

    def _status(self, message: bytes) -> bytes:
        if not message:
            return _NO_STATUS
        get = dict(wire.split(message)).get
        code = _CODE_COLUMN.get(get(_STATUS_CODE, 0), rowbinary.EMPTY)
        return code + self._string(get(_STATUS_MESSAGE, b""))

    def _events(self, fields: list[wire.Field]) -> bytes:
        times, names, attributes = [], [], []
        for encoded in records.repeated(fields, _EVENTS):
            inner = wire.split(encoded)
            get = dict(inner).get
            times.append(records.time("events.timeUnixNano", get(_EVENT_TIME, b"")))
            names.append(self._string(get(_EVENT_NAME, b"")))
            attributes.append(self._inner_attributes(inner, _EVENT_ATTRIBUTES))
        return b"".join(map(rowbinary.array, (times, names, attributes)))

    def _links(self, fields: list[wire.Field]) -> bytes:
        columns: tuple[list[bytes], ...] = ([], [], [], [])
        for encoded in records.repeated(fields, _LINKS):
            inner = wire.split(encoded)
            get = dict(inner).get
            columns[0].append(self._link_id(get(_LINK_TRACE_ID, b""), records.TRACE_ID_BYTES))
            columns[1].append(self._link_id(get(_LINK_SPAN_ID, b""), records.SPAN_ID_BYTES))
            columns[2].append(self._string(get(_LINK_TRACE_STATE, b"")))
            columns[3].append(self._inner_attributes(inner, _LINK_ATTRIBUTES))
        return b"".join(map(rowbinary.array, columns))

    def _link_id(self, value: bytes, size: int) -> bytes:
        if len(value) not in (0, size):
            raise RejectedRecordError(
                "link", f"an id in links has {len(value)} bytes, not {size}: send the whole id"
            )
        return records.optional_id(value)

    def _inner_attributes(self, fields: list[wire.Field], key: int) -> bytes:
        encoded = records.repeated(fields, key)
        tools = self._tools
        return as_map(identity.scrub(tools.attributes.read(encoded, tools.findings)))

    def _string(self, value: bytes) -> bytes:
        return rowbinary.string(self._tools.findings.text(value)) if value else rowbinary.EMPTY
