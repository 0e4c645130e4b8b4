"""Wiring of the OpenTelemetry SDK.

``configure()`` reads what OpenTelemetry's own variables say, among them
``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_EXPORTER_OTLP_PROTOCOL`` (``grpc`` or
``http/protobuf``) and their forms per signal, ``OTEL_SERVICE_NAME``,
``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_TRACES_EXPORTER`` and ``OTEL_LOGS_EXPORTER`` (``otlp``,
``console``, ``none``), ``OTEL_TRACES_SAMPLER``, ``OTEL_SDK_DISABLED``, and those of the batch
processors. Ours are listed in :mod:`otel_instrumentation._settings`.

Where somebody has set up the SDK already, its providers stay: ours only adds the stamps.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry import _logs, trace

from otel_instrumentation import _carried, _guard, _settings, _travel, semconv
from otel_instrumentation.context import ContextValues, attributes_of

if TYPE_CHECKING:
    # Loaded inside configure(): importing the library must stay cheap.
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from otel_instrumentation._process import ProcessTelemetry

FLUSH_SECONDS: Final = 10.0
"""How long a flush may take: as long as one export of the SDK."""

_UNSET_LOGGER_PROVIDER: Final = "ProxyLoggerProvider"
"""What the API answers where nobody set a provider of log records; it does not export it."""

_lock = threading.Lock()


class _State:
    """What was set up in this process."""

    def __init__(self) -> None:
        self.configured = False
        self.automatic = False
        self.stamped: list[object] = []
        self.process: ProcessTelemetry | None = None


_state = _State()


def configure(
    *,
    service_name: str | None = None,
    stage: str | None = None,
    component: str | None = None,
    team: str | None = None,
    span_processors: Sequence[SpanProcessor] | None = None,
    log_record_processors: Sequence[LogRecordProcessor] | None = None,
) -> None:
    """Sets up traces and log records of this process; once, a second call changes nothing.

    Where ``opentelemetry-instrument`` has set them up, the program's own call still says at
    which stage and in which component it works. The arguments say what the environment cannot
    know; where both speak, the arguments win, as everywhere in the SDK. What is in the SDK's
    queues is sent when the process ends.

    Args:
        service_name: Name of the service (``service.name``).
        stage: Default stage of what this process does.
        component: Default component of what this process does.
        team: Default team of what this process does.
        span_processors: Processors of spans in place of the exporters of the environment.
        log_record_processors: The same for log records.
    """
    with _lock:
        if _state.configured:
            _guard.logger.warning("configure() was called before; this call changes nothing")
            return
        _state.configured = True
        try:
            _use_defaults({"stage": stage, "component": component, "team": team})
            if not _disabled():
                with _settings.empty_is_unset():
                    install(service_name, span_processors, log_record_processors)
                _travel.install()
        except Exception as error:
            _guard.swallow("configure", error)


def configure_automatically() -> ProcessTelemetry | None:
    """Makes ready for a set-up of the SDK without a word from the program.

    Returns:
        What makes the processors of this process; None where telemetry is switched off, or
        set up already.
    """
    with _lock:
        if _state.configured or _state.automatic or _disabled():
            return None
        _state.automatic = True
        _use_defaults({})
        _travel.install()
        return _process()


def stamp_present() -> None:
    """Adds stamping to the SDK's providers that are there, and to them alone."""
    with _lock:
        if _disabled():
            return
        if not _state.configured and not _state.automatic:
            _use_defaults({})
            _travel.install()
        _stamp_present_traces()
        _stamp_present_logs()


def own_shutdown_of(*providers: object) -> None:
    """Shuts providers down at the end of the process, in the time an end may take."""
    if _state.process is None:
        return
    for provider in providers:
        if callable(shutdown := getattr(provider, "shutdown", None)):
            # The provider's own handler would run first, for as long as it likes.
            atexit.unregister(shutdown)
            _state.process.own(shutdown)


def _process() -> ProcessTelemetry:
    from otel_instrumentation._process import ProcessTelemetry  # noqa: PLC0415 - see module

    if _state.process is None:
        _state.process = ProcessTelemetry(flush)
        _state.process.start()
    return _state.process


def install(
    service_name: str | None,
    span_processors: Sequence[SpanProcessor] | None,
    log_record_processors: Sequence[LogRecordProcessor] | None,
) -> None:
    """Puts stamping providers in force, or stamping into the providers that are.

    Args:
        service_name: Name of the service, None to leave it to the environment.
        span_processors: Processors of spans, None for the exporters of the environment.
        log_record_processors: The same for log records.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see module

    if service_name and _state.automatic:
        _guard.logger.warning(
            "The service's name is OTEL_SERVICE_NAME's under opentelemetry-instrument; %r is"
            " ignored",
            service_name,
        )
    # One process is one resource: a signal set up by us joins one set up by somebody else.
    resource = getattr(trace.get_tracer_provider(), "resource", None) or getattr(
        _logs.get_logger_provider(), "resource", None
    )
    if not isinstance(resource, Resource):
        resource = Resource.create({semconv.SERVICE_NAME: service_name} if service_name else None)
    _install_traces(resource, span_processors)
    _install_logs(resource, log_record_processors)


def shutdown() -> None:
    """Sends what is queued and ends the telemetry of this process.

    Needed only where a process ends without Python's exit (``os._exit``, a fatal signal): at
    every other end it happens by itself, bounded by ``EXIT_SECONDS``.

    Providers that somebody else set up are flushed, never shut down.
    """
    try:
        if _state.process is not None:
            _state.process.close()
    except Exception as error:
        _guard.swallow("shutdown", error)
    flush()


def flush(timeout_seconds: float = FLUSH_SECONDS) -> bool:
    """Sends what is queued, and waits for it.

    Args:
        timeout_seconds: How long each signal may take.

    Returns:
        Whether everything was handed over in time.
    """
    try:
        providers = (trace.get_tracer_provider(), _logs.get_logger_provider())
    except Exception as error:
        _guard.swallow("flush", error)
        return False
    # All of them first: the second signal is sent although the first was not.
    flushed = [_flush(provider, timeout_seconds) for provider in providers]
    return all(flushed)


def _flush(provider: object, timeout_seconds: float) -> bool:
    try:
        force_flush = getattr(provider, "force_flush", None)
        # Providers that hold nothing have no such method.
        return force_flush is None or force_flush(int(timeout_seconds * 1000)) is not False
    except Exception as error:
        _guard.swallow("flush", error)
        return False


def _install_traces(resource: Resource, processors: Sequence[SpanProcessor] | None) -> None:
    from otel_instrumentation import _exporters, _sdk  # noqa: PLC0415 - see module

    present = _stamp_present_traces()
    if present is not None:
        for processor in processors or ():
            present.add_span_processor(processor)
    elif isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        if processors is None:
            processors = _process().processors(_exporters.TRACES)
        provider = _sdk.build_tracer_provider(resource, processors)
        trace.set_tracer_provider(provider)
        _state.stamped.append(provider)
        _process().own(provider.shutdown)
    else:
        _leave_alone("traces", trace.get_tracer_provider())


def _install_logs(resource: Resource, processors: Sequence[LogRecordProcessor] | None) -> None:
    from otel_instrumentation import _exporters, _sdk  # noqa: PLC0415 - see module

    present = _stamp_present_logs()
    if present is not None:
        for processor in processors or ():
            present.add_log_record_processor(processor)
    elif type(_logs.get_logger_provider()).__name__ == _UNSET_LOGGER_PROVIDER:
        if processors is None:
            processors = _process().processors(_exporters.LOGS)
        provider = _sdk.build_logger_provider(resource, processors)
        _logs.set_logger_provider(provider)
        _state.stamped.append(provider)
        _process().own(provider.shutdown)
    else:
        _leave_alone("log records", _logs.get_logger_provider())


def _stamp_present_traces() -> TracerProvider | None:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see module

    from otel_instrumentation import _sdk  # noqa: PLC0415 - see module

    present = trace.get_tracer_provider()
    if not isinstance(present, TracerProvider):
        return None
    if present not in _state.stamped:
        _sdk.stamp_spans_of(present)
        _state.stamped.append(present)
    return present


def _stamp_present_logs() -> LoggerProvider | None:
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - see module

    from otel_instrumentation import _sdk  # noqa: PLC0415 - see module

    present = _logs.get_logger_provider()
    if not isinstance(present, LoggerProvider):
        return None
    if present not in _state.stamped:
        _sdk.stamp_log_records_of(present)
        _state.stamped.append(present)
    return present


def _leave_alone(what: str, provider: object) -> None:
    _guard.logger.warning(
        "The provider of %s is a %s, not the SDK's: its records get no stamps",
        what,
        type(provider).__name__,
    )


def _use_defaults(given: ContextValues) -> None:
    """Puts the environment's defaults in force, then the program's, then what is set already."""
    settings = _settings.use(None)
    from_environment: ContextValues = {
        "stage": settings.stage,
        "component": settings.component,
        "team": settings.team,
    }
    defaults = _carried.overlay(attributes_of(from_environment), attributes_of(given))
    _carried.set_process_attributes(_carried.overlay(defaults, _carried.process_attributes()))


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
