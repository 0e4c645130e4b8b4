"""The raw tables as the Collector's clickhouse exporter fills them: names and order of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DATA_FORMAT: Final = "RowBinary"

SERVICE_COLUMN: Final = "ServiceName"


@dataclass(frozen=True)
class RawTable:
    """A raw table and the columns an insert names, in the exporter's order, with their kinds.

    ``source`` is what ``rejected`` calls its records, the same as the store does.
    """

    name: str
    source: str
    columns: tuple[tuple[str, str], ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _ in self.columns)


TRACES: Final = RawTable(
    name="otel_traces",
    source="traces",
    columns=(
        ("Timestamp", "int64"),
        ("TraceId", "string"),
        ("SpanId", "string"),
        ("ParentSpanId", "string"),
        ("TraceState", "string"),
        ("SpanName", "string"),
        ("SpanKind", "string"),
        ("ServiceName", "string"),
        ("ResourceAttributes", "map"),
        ("ScopeName", "string"),
        ("ScopeVersion", "string"),
        ("SpanAttributes", "map"),
        ("Duration", "uint64"),
        ("StatusCode", "string"),
        ("StatusMessage", "string"),
        ("Events.Timestamp", "array:int64"),
        ("Events.Name", "array:string"),
        ("Events.Attributes", "array:map"),
        ("Links.TraceId", "array:string"),
        ("Links.SpanId", "array:string"),
        ("Links.TraceState", "array:string"),
        ("Links.Attributes", "array:map"),
    ),
)

LOGS: Final = RawTable(
    name="otel_logs",
    source="logs",
    columns=(
        ("Timestamp", "int64"),
        ("TraceId", "string"),
        ("SpanId", "string"),
        ("TraceFlags", "uint8"),
        ("SeverityText", "string"),
        ("SeverityNumber", "uint8"),
        ("ServiceName", "string"),
        ("Body", "string"),
        ("ResourceSchemaUrl", "string"),
        ("ResourceAttributes", "map"),
        ("ScopeSchemaUrl", "string"),
        ("ScopeName", "string"),
        ("ScopeVersion", "string"),
        ("ScopeAttributes", "map"),
        ("LogAttributes", "map"),
        ("EventName", "string"),
    ),
)

METRICS: Final = RawTable(
    name="otel_metrics_sum",
    source="metrics",
    # Of the exporter's columns, those that accounting reads.
    columns=(
        ("ResourceAttributes", "map"),
        ("ServiceName", "string"),
        ("MetricName", "string"),
        ("Attributes", "map"),
        ("StartTimeUnix", "int64"),
        ("TimeUnix", "int64"),
        ("Value", "float64"),
        ("AggregationTemporality", "int32"),
        ("IsMonotonic", "uint8"),
    ),
)
