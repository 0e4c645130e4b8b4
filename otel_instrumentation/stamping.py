"""Processors that stamp what is carried on every span and log record of the process.

They see the records of every instrumentation, not only this library's. What a record says
itself is never overwritten.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import Span, SpanProcessor

from otel_instrumentation import _carried, _guard, _identifiers, semconv
from otel_instrumentation._telemetry import SCOPE_NAME


class StampingSpanProcessor(SpanProcessor):
    """Stamps spans when they start, in the context they start in."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Adds the carried attributes that the span does not have."""
        try:
            written_by = span.instrumentation_scope
            if written_by is not None and written_by.name == SCOPE_NAME:
                return  # an operation, made with its stamps
            context = otel_context.get_current() if parent_context is None else parent_context
            own = span.attributes or {}
            span.set_attributes(_carried.missing(own, _carried.stamps(context)))
        except Exception as error:
            _guard.swallow("stamping a span", error)


class StampingLogRecordProcessor(LogRecordProcessor):
    """Stamps log records when they are emitted, and gives each its identity."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Adds the carried attributes and ``log.record.uid`` where the record lacks them."""
        try:
            record = log_record.log_record
            context = record.context if record.context else otel_context.get_current()
            own = record.attributes
            if not isinstance(own, MutableMapping):
                own = dict(own or {})
                record.attributes = own
            own.update(_carried.missing(own, _carried.stamps(context)))
            if semconv.LOG_RECORD_UID not in own:
                own[semconv.LOG_RECORD_UID] = _identifiers.hex_id()
        except Exception as error:
            _guard.swallow("stamping a log record", error)

    def shutdown(self) -> None:
        """Does nothing: nothing is held."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface
        """Does nothing: nothing is held."""
        return True
