"""Building the SDK's providers, and putting our processors into providers of others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from otel_instrumentation import _guard, _identifiers
from otel_instrumentation.stamping import StampingLogRecordProcessor, StampingSpanProcessor

_ENV_ID_GENERATOR: Final = "OTEL_PYTHON_ID_GENERATOR"


class UnseededIdGenerator(IdGenerator):
    """Random ids that a program's ``random.seed()`` does not repeat."""

    def generate_trace_id(self) -> int:
        """Returns a trace id."""
        return _identifiers.trace_id()

    def generate_span_id(self) -> int:
        """Returns a span id."""
        return _identifiers.span_id()

    def is_trace_id_random(self) -> bool:
        """Says that all bits of a trace id are random."""
        return True


def build_tracer_provider(
    resource: Resource, processors: Iterable[SpanProcessor]
) -> TracerProvider:
    """Builds a provider of traces that stamps; sampler and limits come from the environment."""
    chosen = os.environ.get(_ENV_ID_GENERATOR, "").strip().lower()
    if chosen not in {"", "random"}:
        _guard.warn_once(
            _ENV_ID_GENERATOR,
            "%s=%s is not supported by configure(); set up the SDK yourself to use it",
            _ENV_ID_GENERATOR,
            chosen,
        )
    provider = TracerProvider(
        resource=resource, id_generator=UnseededIdGenerator(), shutdown_on_exit=False
    )
    provider.add_span_processor(StampingSpanProcessor())
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def build_logger_provider(
    resource: Resource, processors: Iterable[LogRecordProcessor]
) -> LoggerProvider:
    """Builds a provider of log records that stamps."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(StampingLogRecordProcessor())
    for processor in processors:
        provider.add_log_record_processor(processor)
    return provider


def stamp_spans_of(provider: TracerProvider) -> None:
    """Adds stamping to a provider that somebody else built."""
    provider.add_span_processor(StampingSpanProcessor())


def stamp_log_records_of(provider: LoggerProvider) -> None:
    """Adds stamping to a provider that somebody else built, before all its processors.

    Processors of log records run in the order in which they were added, and one that exports
    would send the record before a stamp added after it. The interface only appends, so the
    sequence is rewritten; where the SDK no longer has it, stamping is appended.
    """
    stamping = StampingLogRecordProcessor()
    multi: Any = provider._multi_log_record_processor
    before = getattr(multi, "_log_record_processors", None)
    if isinstance(before, tuple):
        multi._log_record_processors = (stamping, *before)
    else:
        _guard.warn_once(
            "stamping order",
            "Log records may leave unstamped: configure() came after another set-up of the SDK",
        )
        provider.add_log_record_processor(stamping)


def plain_spans(exporter: Any) -> SpanProcessor:
    """Builds the SDK's own processor of spans, where ours could not be."""
    return BatchSpanProcessor(exporter)


def plain_log_records(exporter: Any) -> LogRecordProcessor:
    """Builds the SDK's own processor of log records, where ours could not be."""
    return BatchLogRecordProcessor(exporter)
