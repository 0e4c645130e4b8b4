"""Metrics: the counters that accounting reads are kept, all others are counted and let go.

A counter of an SDK or a Collector says what happened to spans and log records before they arrived
(docs/accounting.md). Which ones are kept, and of which attributes, is a list in
:mod:`otel_instrumentation.semconv`: nothing about a person is among them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from analyzer_service.ingest import records, rowbinary, wire
from analyzer_service.ingest.attributes import Attribute, AttributeReader, as_map
from analyzer_service.ingest.commit import Committer, RetryLaterError
from analyzer_service.ingest.findings import Findings, RejectedRecordError
from analyzer_service.ingest.payload import HEAD, MEMBERS, RESOURCES, UndecodableError
from analyzer_service.ingest.pipeline import NOT_KEPT, UNDECODABLE, Outcome
from analyzer_service.ingest.records import repeated
from analyzer_service.ingest.statistics import SignalCounters
from otel_instrumentation import semconv

KEPT_METRICS: Final = frozenset(name.encode() for name in semconv.ACCOUNTING_METRICS)
KEPT_ATTRIBUTES: Final = frozenset(name.encode() for name in semconv.ACCOUNTING_ATTRIBUTES)
KEPT_OF_RESOURCE: Final = frozenset((semconv.SERVICE_INSTANCE_ID.encode(),))

_SERVICE_NAME: Final = semconv.SERVICE_NAME.encode()
_RESOURCE_ATTRIBUTES: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_NAME: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_SUM: Final = wire.tag(7, wire.LENGTH_DELIMITED)
_DATA: Final = tuple(wire.tag(number, wire.LENGTH_DELIMITED) for number in (5, 7, 9, 10, 11))
"""Gauge, sum, histogram, exponential histogram, summary."""
_DATA_POINTS: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_TEMPORALITY: Final = wire.tag(2, wire.VARINT)
_MONOTONIC: Final = wire.tag(3, wire.VARINT)
_POINT_ATTRIBUTES: Final = wire.tag(7, wire.LENGTH_DELIMITED)
_START: Final = wire.tag(2, wire.FIXED64)
_TIME: Final = wire.tag(3, wire.FIXED64)
_AS_DOUBLE: Final = wire.tag(4, wire.FIXED64)
_AS_INTEGER: Final = wire.tag(6, wire.FIXED64)


@dataclass
class _Read:
    """What a request came to."""

    rows: list[bytes]
    received: int = 0


class MetricsPipeline:
    """Takes requests with metrics, as :class:`.pipeline.Pipeline` those with traces and logs."""

    def __init__(self, committer: Committer, attributes: AttributeReader) -> None:
        self.counters = SignalCounters()
        self._committer = committer
        self._attributes = attributes

    def accept(self, payload: bytes, findings: Findings | None = None) -> Outcome:
        """Keep what accounting reads of a request; the rest is no mistake of its sender's.

        Raises:
            UndecodableError: It is not a request with metrics.
            RetryLaterError: It was not stored; sending it again will help.
        """
        findings = Findings() if findings is None else findings
        read = _Read([])
        try:
            for resource in repeated(wire.split(payload), RESOURCES):
                self._resource(resource, read, findings)
            refused = self._committer.commit(read.rows, ())
        except wire.WireError as broken:
            self.counters.refused(UNDECODABLE)
            raise UndecodableError(f"the body is not an OTLP export request: {broken}") from None
        except RetryLaterError as later:
            self.counters.refused(later.reason)
            raise
        kept = len(read.rows) - len(refused)
        let_go = read.received - kept
        self.counters.answered(
            received=read.received,
            stored=kept,
            repaired=findings.repaired,
            warned=0,
            rejected={NOT_KEPT: let_go} if let_go else {},
        )
        return Outcome(not_kept=let_go)

    def _resource(self, message: bytes, read: _Read, findings: Findings) -> None:
        fields = wire.split(message)
        head = wire.split(b"".join(repeated(fields, HEAD)))
        attributes = self._attributes.read(repeated(head, _RESOURCE_ATTRIBUTES), findings)
        service = next((one.text for one in attributes if one.key == _SERVICE_NAME), b"")
        whose = _kept(attributes, KEPT_OF_RESOURCE) + rowbinary.string(service)
        for scope in repeated(fields, MEMBERS):
            for metric in repeated(wire.split(scope), MEMBERS):
                self._metric(metric, whose, read, findings)

    def _metric(self, message: bytes, whose: bytes, read: _Read, findings: Findings) -> None:
        fields = wire.split(message)
        name = dict(fields).get(_NAME, b"")
        for key, data in fields:
            if key not in _DATA:
                continue
            inner = wire.split(data)
            points = repeated(inner, _DATA_POINTS)
            read.received += len(points)
            if key == _SUM and name in KEPT_METRICS:
                head = whose + rowbinary.string(name)
                read.rows += self._points(points, head, _kind(inner), findings)

    def _points(
        self, points: list[bytes], head: bytes, kind: bytes, findings: Findings
    ) -> Iterator[bytes]:
        for point in points:
            fields = wire.split(point)
            get = dict(fields).get
            value = _value(get(_AS_INTEGER), get(_AS_DOUBLE))
            try:
                times = records.time("startTimeUnixNano", get(_START, b"")) + records.time(
                    "timeUnixNano", get(_TIME, b"")
                )
            except RejectedRecordError:
                # A counter of another age counts nothing of ours.
                continue
            attributes = self._attributes.read(repeated(fields, _POINT_ATTRIBUTES), findings)
            yield head + _kept(attributes, KEPT_ATTRIBUTES) + times + value + kind


def _kept(attributes: list[Attribute], names: frozenset[bytes]) -> bytes:
    return as_map([one for one in attributes if one.key in names])


def _kind(fields: list[wire.Field]) -> bytes:
    """Return temporality and monotonicity as columns."""
    get = dict(fields).get
    temporality = int(get(_TEMPORALITY, 0)) & 0xFF
    return temporality.to_bytes(4, "little") + bytes((int(bool(get(_MONOTONIC, 0))),))


def _value(integer: bytes | None, double: bytes | None) -> bytes:
    """Return a point's value as a column: eight bytes of a double."""
    if integer is None:
        return double or bytes(8)
    return struct.pack("<d", int.from_bytes(integer, "little", signed=True))
