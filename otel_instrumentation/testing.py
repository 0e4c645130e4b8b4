"""Telemetry of a block of code as plain objects, for tests of instrumented programs.

::

    with capture() as telemetry:
        run_notebook()
    assert telemetry.span("run_cell").attributes["mlp.outcome"] == "ok"

Everything the process emits meanwhile is there, stamped, also from other instrumentations and
other threads. Nothing is mocked: an ordinary SDK runs, without exporters.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id

from otel_instrumentation import _guard, _settings
from otel_instrumentation.configure import install

_Found = TypeVar("_Found")

TEST_SALT: Final = "a salt for tests, secret to nobody"


@dataclass(frozen=True, slots=True)
class CapturedSpan:
    """A finished span.

    Attributes:
        name: Name of the span.
        kind: ``INTERNAL``, ``SERVER``, ``CLIENT``, ``PRODUCER`` or ``CONSUMER``.
        status: ``UNSET``, ``OK`` or ``ERROR``.
        status_message: Description of the status, empty where there is none.
        attributes: Attributes, stamps included.
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_span_id: 16 hex digits, empty for a root.
        duration_seconds: From start to end.
        event_names: Names of the span's events.
        scope: Name of the instrumentation scope.
        resource: Attributes of the resource.
    """

    name: str
    kind: str
    status: str
    status_message: str
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str
    parent_span_id: str
    duration_seconds: float
    event_names: tuple[str, ...]
    scope: str
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CapturedRecord:
    """An emitted log record.

    Attributes:
        event_name: Name of the event, empty for an ordinary log line.
        body: Body of the record.
        severity: Severity number, 0 where there is none.
        attributes: Attributes, stamps included.
        trace_id: 32 hex digits, all zero outside a span.
        span_id: 16 hex digits, all zero outside a span.
        resource: Attributes of the resource.
    """

    event_name: str
    body: Any
    severity: int
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str
    resource: Mapping[str, Any]


@dataclass(slots=True)
class Captured:
    """What was captured, in the order in which spans ended and records were emitted."""

    spans: list[CapturedSpan] = field(default_factory=list)
    records: list[CapturedRecord] = field(default_factory=list)

    def span(self, name: str) -> CapturedSpan:
        """Returns the one span of a name.

        Raises:
            LookupError: There is none, or more than one.
        """
        return _only([span for span in self.spans if span.name == name], f"span {name!r}")

    def record(self, event_name: str) -> CapturedRecord:
        """Returns the one log record of an event name.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = [record for record in self.records if record.event_name == event_name]
        return _only(found, f"record {event_name!r}")


@contextlib.contextmanager
def capture(*, salt: str = TEST_SALT, swallow_errors: bool = False) -> Iterator[Captured]:
    """Captures what the process emits inside the block.

    Args:
        salt: The operator's secret inside the block; empty for none.
        swallow_errors: Lets the library swallow its own errors, as in production; else they
            are raised.
    """
    captured = Captured()
    before = _settings.current()
    guard = contextlib.nullcontext() if swallow_errors else _guard.raising()
    with guard:
        _listen()
        _settings.use(replace(before, user_salt=salt))
        with _lock:
            _active.append(captured)
        try:
            yield captured
        finally:
            with _lock:
                # By identity: two empty captures are equal.
                _active[:] = [other for other in _active if other is not captured]
            _settings.use(before)


_lock = threading.Lock()
_active: list[Captured] = []
_listening: list[object] = []


def _listen() -> None:
    """Listens to the process's providers, once each; sets up the SDK where nobody has."""
    install(None, (), ())
    with _lock:
        traces: Any = trace.get_tracer_provider()
        if traces not in _listening:
            traces.add_span_processor(_SpanListener())
            _listening.append(traces)
        logs: Any = _logs.get_logger_provider()
        if logs not in _listening:
            logs.add_log_record_processor(_LogRecordListener())
            _listening.append(logs)


class _SpanListener(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        for captured in tuple(_active):
            captured.spans.append(_plain_span(span))


class _LogRecordListener(LogRecordProcessor):
    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        for captured in tuple(_active):
            captured.records.append(_plain_record(log_record))

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - the interface
        return True


def _plain_span(span: ReadableSpan) -> CapturedSpan:
    context = span.get_span_context()
    return CapturedSpan(
        name=span.name,
        kind=span.kind.name,
        status=span.status.status_code.name,
        status_message=span.status.description or "",
        attributes=dict(span.attributes or {}),
        trace_id=format_trace_id(context.trace_id) if context else "",
        span_id=format_span_id(context.span_id) if context else "",
        parent_span_id=format_span_id(span.parent.span_id) if span.parent else "",
        duration_seconds=((span.end_time or 0) - (span.start_time or 0)) / 1e9,
        event_names=tuple(event.name for event in span.events),
        scope=span.instrumentation_scope.name if span.instrumentation_scope else "",
        resource=dict(span.resource.attributes),
    )


def _plain_record(log_record: ReadWriteLogRecord) -> CapturedRecord:
    record = log_record.log_record
    return CapturedRecord(
        event_name=record.event_name or "",
        body=record.body,
        severity=record.severity_number.value if record.severity_number else 0,
        attributes=dict(record.attributes or {}),
        trace_id=format_trace_id(record.trace_id),
        span_id=format_span_id(record.span_id),
        resource=dict(log_record.resource.attributes) if log_record.resource else {},
    )


def _only(found: list[_Found], what: str) -> _Found:
    if len(found) != 1:
        message = f"Expected one {what}, captured {len(found)}"
        raise LookupError(message)
    return found[0]
