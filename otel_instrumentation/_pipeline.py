"""What stands between the SDK's queues and the network.

Two ways: straight, where a batch that no receiver takes in time is lost and counted; and over
a spool on disk, where it waits. Either way nothing that fails to encode takes its batch along,
and a forked process opens connections of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from opentelemetry.metrics import get_meter_provider
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from otel_instrumentation import _exporters, _guard, _settings, semconv
from otel_instrumentation._counters import (
    CountingMeterProvider,
    count_exported,
    count_unprocessed,
)
from otel_instrumentation._drain import Drainer
from otel_instrumentation._exporters import NamedExporter
from otel_instrumentation._forks import fork_aware, gate, speaks_grpc
from otel_instrumentation._senders import Answer, Sender, count_records
from otel_instrumentation._spool import FULL, SEGMENT_BYTES, Limits, Spool, is_supported

SPOOLED_DELAY_MILLIS: Final = 200
"""How long records wait in memory where a spool is in use: what a kill costs. Writing to disk is
cheap; the SDK's five seconds spare the network."""

_SUCCESS: Final = {
    _exporters.TRACES: SpanExportResult.SUCCESS,
    _exporters.LOGS: LogRecordExportResult.SUCCESS,
}
_FAILURE: Final = {
    _exporters.TRACES: SpanExportResult.FAILURE,
    _exporters.LOGS: LogRecordExportResult.FAILURE,
}
_DELAY_VARIABLES: Final = {
    _exporters.TRACES: "OTEL_BSP_SCHEDULE_DELAY",
    _exporters.LOGS: "OTEL_BLRP_SCHEDULE_DELAY",
}
_QUEUE_VARIABLES: Final = {
    _exporters.TRACES: "OTEL_BSP_MAX_QUEUE_SIZE",
    _exporters.LOGS: "OTEL_BLRP_MAX_QUEUE_SIZE",
}
_BATCH_VARIABLES: Final = {
    _exporters.TRACES: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    _exporters.LOGS: "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
}
_QUEUE_SIZE: Final = 2048
_BATCH_SIZE: Final = 512
"""The SDK's own defaults."""

_FLUSH_MILLIS: Final = 10_000
"""As long as one export of the SDK, for a flush that names no time."""

_INTERNAL_METRICS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"

_ACCEPTED: Final = ""


class _Exporter(ABC):
    """What both ways share: batches are cut where a part of them cannot be sent."""

    def __init__(self, signal: str, component: str) -> None:
        self._signal = signal
        self._component = component

    def export(self, batch: Sequence[Any]) -> Any:
        """Hands a batch over; counts what was lost."""
        lost = self._export(batch)
        return _FAILURE[self._signal] if lost else _SUCCESS[self._signal]

    def _export(self, batch: Sequence[Any]) -> int:
        try:
            error_type = self._hand_over(batch)
        except Exception as error:
            if len(batch) > 1:
                # One record that cannot be encoded must not cost the others.
                middle = len(batch) // 2
                return self._export(batch[:middle]) + self._export(batch[middle:])
            _guard.warn_once(f"exporting {self._signal}", "A record could not be sent: %s", error)
            error_type = type(error).__qualname__
        if error_type is None:
            return 0  # counted by whoever sends it in the end
        count_exported(self._signal, self._component, len(batch), error_type)
        return len(batch) if error_type else 0

    @abstractmethod
    def _hand_over(self, batch: Sequence[Any]) -> str | None:
        """Returns why the batch was lost, empty if it was sent, None if it is kept."""

    @abstractmethod
    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Sends what is held here."""


class DirectExporter(_Exporter):
    """Sends with an exporter of the SDK, and counts."""

    def __init__(self, signal: str, named: NamedExporter, built: Any = None) -> None:
        super().__init__(signal, f"{named.name}_{signal}_exporter")
        self._build = fork_aware(named.build if built is None else lambda: built)
        self._exporter = self._build()
        self._build = fork_aware(named.build)

    def _hand_over(self, batch: Sequence[Any]) -> str | None:
        if gate.is_broken and speaks_grpc(self._exporter):
            return semconv.LOST_FORKED
        done = self._exporter.export(batch) is _SUCCESS[self._signal]
        return _ACCEPTED if done else semconv.LOST_EXPORT_FAILED

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flushes the exporter, if it holds anything."""
        flush = getattr(self._exporter, "force_flush", None)
        return flush is None or flush(timeout_millis) is not False

    def shutdown(self) -> None:
        """Stops the exporter."""
        self._exporter.shutdown()

    def give_up(self) -> None:
        """Stops an exporter that is trying."""
        self._exporter.shutdown()

    def renew(self) -> None:
        """Builds another exporter: connections do not survive a fork."""
        if gate.is_broken and speaks_grpc(self._exporter):
            return
        try:
            self._exporter = self._build()
        except Exception as error:
            _guard.swallow("exporter after a fork", error)


class SpoolExporter(_Exporter):
    """Writes batches to a spool, from which a thread sends them."""

    def __init__(self, signal: str, build: Callable[[], Any], settings: _settings.Settings) -> None:
        super().__init__(signal, f"spool_{signal}_exporter")
        self._encode = _encoder(signal)
        self._build = build
        self._writing = threading.local()
        self._sender = Sender(signal, build)
        self._spool = Spool(
            Path(settings.spool_folder),
            signal,
            _destination(signal),
            Limits(settings.spool_max_bytes, settings.spool_max_age_seconds),
            _count_dropped,
        )
        self._drainer = Drainer(self._spool, self._sender, self._settled)

    @property
    def is_writing(self) -> bool:
        """Whether this thread is inside an export: then it must not wait for another."""
        return getattr(self._writing, "here", False)

    def export(self, batch: Sequence[Any]) -> Any:
        """Writes a batch; quick, whatever the receiver does."""
        self._writing.here = True
        try:
            return super().export(batch)
        finally:
            self._writing.here = False

    def _hand_over(self, batch: Sequence[Any]) -> str | None:
        payload = self._encode(batch).SerializePartialToString()
        if len(payload) > SEGMENT_BYTES and len(batch) > 1:
            message = "cut"
            raise _TooLargeError(message)
        try:
            self._spool.append(payload)
        except OverflowError:
            return semconv.LOST_SPOOL_FULL
        except OSError as error:
            _guard.warn_once("spool", "Telemetry cannot be written to the spool: %s", error)
            return self._send_past_the_spool(payload)
        self._drainer.wake()
        return None

    def _send_past_the_spool(self, payload: bytes) -> str:
        sender = Sender(self._signal, self._build)
        try:
            accepted = sender.send(payload) is Answer.ACCEPTED
        finally:
            sender.close()
        return _ACCEPTED if accepted else semconv.LOST_SPOOL_FAILED

    def _settled(self, payload: bytes, answer: Answer) -> None:
        lost = "" if answer is Answer.ACCEPTED else semconv.LOST_REFUSED
        count_exported(self._signal, self._component, count_records(self._signal, payload), lost)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Sends what waits on disk, if the receiver answers."""
        return self._drainer.hurry(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = _FLUSH_MILLIS) -> None:
        """Sends what it can, and leaves the rest to the next process."""
        self._drainer.hurry(timeout_millis / 1000)
        self._drainer.stop()
        self._spool.close()

    def give_up(self) -> None:
        """Ends the wait in :meth:`shutdown`: there is no time left."""
        self._drainer.stop()

    def renew(self) -> None:
        """Begins anew in a forked process; what waited is the parent's."""
        self._spool.renew()
        self._drainer.renew()


class _TooLargeError(Exception):
    """The batch has to be cut: a file of the spool is one request."""


class _Room:
    """Tells when the queue of a processor gets short of room, without asking every time."""

    def __init__(self, meters: CountingMeterProvider, queue_size: int) -> None:
        self._meters = meters
        self._asked_every = max(1, queue_size // 8)
        self._enough = queue_size // 2
        self._since = 0

    def is_short(self) -> bool:
        self._since += 1  # threads may lose counts: the other half of the queue is the reserve
        if self._since < self._asked_every:
            return False
        self._since = 0
        return self._meters.queued() > self._enough


class _SpoolingSpanProcessor(BatchSpanProcessor):
    """Lets a program that is faster than its background thread write to the disk itself."""

    def __init__(self, exporter: SpoolExporter, room: _Room, **options: Any) -> None:
        super().__init__(cast("Any", exporter), **options)
        self._spool_exporter = exporter
        self._room = room

    def on_end(self, span: ReadableSpan) -> None:
        """Queues a span."""
        if self._room.is_short() and not self._spool_exporter.is_writing:
            super().force_flush()
        super().on_end(span)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Writes what is queued, and tries to send what waits."""
        super().force_flush(timeout_millis)
        return self._spool_exporter.force_flush(timeout_millis or _FLUSH_MILLIS)


class _SpoolingLogRecordProcessor(BatchLogRecordProcessor):
    """The same for log records."""

    def __init__(self, exporter: SpoolExporter, room: _Room, **options: Any) -> None:
        super().__init__(cast("Any", exporter), **options)
        self._spool_exporter = exporter
        self._room = room

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queues a log record."""
        if self._room.is_short() and not self._spool_exporter.is_writing:
            super().force_flush()
        super().on_emit(log_record)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Writes what is queued, and tries to send what waits."""
        super().force_flush(timeout_millis)
        return self._spool_exporter.force_flush(timeout_millis or _FLUSH_MILLIS)


class Pipeline:
    """The way of one signal from the SDK's queue to one exporter.

    Attributes:
        processor: What a provider of the SDK is given.
    """

    def __init__(self, signal: str, named: NamedExporter, built: Any = None) -> None:
        settings = _settings.current()
        asked = os.environ.get(_INTERNAL_METRICS, "").strip().lower() == "true"
        self._meters = CountingMeterProvider(get_meter_provider() if asked else None)
        self._signal = signal
        self.exporter: DirectExporter | SpoolExporter
        with _counting():
            if settings.spool_folder and named.is_otlp and is_supported():
                if built is not None:
                    built.shutdown()
                self.exporter = SpoolExporter(signal, named.build, settings)
                self.processor: Any = self._spooling(self.exporter)
            else:
                self.exporter = DirectExporter(signal, named, built)
                self.processor = _DIRECT[signal](self.exporter, meter_provider=self._meters)

    def _spooling(self, exporter: SpoolExporter) -> Any:
        size = _number(_QUEUE_VARIABLES[self._signal], _QUEUE_SIZE)
        return _SPOOLING[self._signal](
            exporter,
            _Room(self._meters, size),
            max_queue_size=size,
            max_export_batch_size=min(size, _number(_BATCH_VARIABLES[self._signal], _BATCH_SIZE)),
            schedule_delay_millis=_number(_DELAY_VARIABLES[self._signal], SPOOLED_DELAY_MILLIS),
            meter_provider=self._meters,
        )

    def renew(self) -> None:
        """Begins anew in a forked process."""
        self.exporter.renew()

    def give_up(self) -> None:
        """Stops an exporter that is still trying."""
        self.exporter.give_up()

    def count_left(self) -> int:
        """Counts what is still queued as lost: the process ends now."""
        left = self._meters.queued()
        if left:
            count_unprocessed(self._signal, left, semconv.LOST_AT_EXIT)
        return left


@contextlib.contextmanager
def _counting() -> Iterator[None]:
    """Has the SDK's processors count, which they decide when they are built."""
    if os.environ.get(_INTERNAL_METRICS, "").strip():
        yield
        return
    os.environ[_INTERNAL_METRICS] = "true"
    try:
        yield
    finally:
        del os.environ[_INTERNAL_METRICS]


def _count_dropped(signal: str, payload: bytes, why: str) -> None:
    lost = semconv.LOST_SPOOL_FULL if why == FULL else semconv.LOST_SPOOL_EXPIRED
    _guard.warn_once(lost, "The spool is full or too old: the oldest telemetry is dropped")
    count_exported(signal, f"spool_{signal}_exporter", count_records(signal, payload), lost)


def _destination(signal: str) -> str:
    """Tells receivers apart by all that says where a signal goes and as whom."""
    names = [
        f"OTEL_EXPORTER_OTLP{part}_{what}"
        for part in ("", f"_{signal.upper()}")
        for what in ("ENDPOINT", "PROTOCOL", "HEADERS")
    ]
    text = "\n".join(os.environ.get(name, "").strip() for name in names)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _encoder(signal: str) -> Callable[[Sequence[Any]], Any]:
    # gRPC's and HTTP's exporters both bring the package; neither is loaded on import.
    if signal == _exporters.TRACES:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import (  # noqa: PLC0415
            encode_spans,
        )

        return encode_spans
    from opentelemetry.exporter.otlp.proto.common._log_encoder import (  # noqa: PLC0415
        encode_logs,
    )

    return encode_logs


def _number(variable: str, otherwise: int) -> int:
    try:
        return int(os.environ.get(variable, "")) or otherwise
    except ValueError:
        return otherwise


_DIRECT: Final[dict[str, Any]] = {
    _exporters.TRACES: BatchSpanProcessor,
    _exporters.LOGS: BatchLogRecordProcessor,
}
_SPOOLING: Final[dict[str, Any]] = {
    _exporters.TRACES: _SpoolingSpanProcessor,
    _exporters.LOGS: _SpoolingLogRecordProcessor,
}
