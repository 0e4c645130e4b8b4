"""Metrics: counted and declined. The Analyzer reads spans and log records only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer_service.ingest import wire
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.payload import MEMBERS, RESOURCES, UndecodableError
from analyzer_service.ingest.pipeline import UNDECODABLE, Outcome
from analyzer_service.ingest.records import repeated
from analyzer_service.ingest.statistics import SignalCounters

NOT_STORED: Final = "not_stored"
EXPLANATION: Final = "metrics are not stored: send spans and log records"

_DATA: Final = tuple(wire.tag(number, wire.LENGTH_DELIMITED) for number in (5, 7, 9, 10, 11))
"""Gauge, sum, histogram, exponential histogram, summary."""
_DATA_POINTS: Final = wire.tag(1, wire.LENGTH_DELIMITED)


class MetricsPipeline:
    """Answers requests with metrics, as :class:`.pipeline.Pipeline` those with traces and logs."""

    def __init__(self) -> None:
        self.counters = SignalCounters()

    def accept(self, payload: bytes, findings: Findings | None = None) -> Outcome:
        """Count the data points of a request; none is stored.

        Raises:
            UndecodableError: It is not a request with metrics.
        """
        try:
            points = sum(_data_points(payload))
        except wire.WireError as broken:
            self.counters.refused(UNDECODABLE)
            raise UndecodableError(f"the body is not an OTLP export request: {broken}") from None
        self.counters.answered(
            received=points,
            stored=0,
            repaired=0 if findings is None else findings.repaired,
            warned=0,
            rejected={NOT_STORED: points},
        )
        return Outcome(points, EXPLANATION) if points else Outcome()


def _data_points(payload: bytes) -> Iterator[int]:
    for resource in repeated(wire.split(payload), RESOURCES):
        for scope in repeated(wire.split(resource), MEMBERS):
            for metric in repeated(wire.split(scope), MEMBERS):
                for key, data in wire.split(metric):
                    if key in _DATA:
                        yield len(repeated(wire.split(data), _DATA_POINTS))
