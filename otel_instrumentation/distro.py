"""What ``opentelemetry-instrument`` finds: the SDK set up without a line in the program.

Three entry points, each named ``mlp``:

- the distro sets the defaults of OpenTelemetry's own Python distribution: OTLP over gRPC for
  traces and log records (metrics only where ``OTEL_METRICS_EXPORTER`` asks for them);
- the configurator is the SDK's own, with this library's stamps, processors and exits put in;
- the instrumentor adds the stamps where another distribution has set up the SDK.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Final

from opentelemetry import _logs, trace
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.sdk._configuration import _OTelSDKConfigurator

from otel_instrumentation import _exporters, _guard, _settings
from otel_instrumentation.configure import (
    configure_automatically,
    own_shutdown_of,
    stamp_present,
)

NAME: Final = "mlp"

_DEFAULTS: Final = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
}
_ENV_CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
_ENV_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_ENV_ID_GENERATOR: Final = "OTEL_PYTHON_ID_GENERATOR"


class MlpDistro(BaseDistro):  # type: ignore[misc]  # the base is not typed
    """Defaults for what the environment does not say."""

    def _configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - the interface
        _set_defaults()
        if not os.environ.get(_ENV_CONFIGURATOR):
            os.environ[_ENV_CONFIGURATOR] = NAME


class MlpConfigurator(_OTelSDKConfigurator):
    """Sets up the SDK as OpenTelemetry's variables say, stamping and without loss."""

    def _configure(self, **kwargs: Any) -> None:
        """Sets up the SDK; where this library's part of it fails, without that part."""
        _set_defaults()
        ours: dict[str, Any] = {}
        if not os.environ.get(_ENV_CONFIG_FILE):
            try:
                ours = _our_part()
            except Exception as error:
                _guard.swallow("configurator", error)
        with _settings.empty_is_unset():
            super()._configure(**kwargs, **ours)  # type: ignore[no-untyped-call]
        try:
            # What a configuration file described, and what the SDK has just built.
            stamp_present()
            _take_over_exit()
        except Exception as error:
            _guard.swallow("configurator", error)


class MlpInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # the base is not typed
    """Stamps the records of providers that another distribution set up.

    ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=mlp`` leaves them alone.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Needs nothing else."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the interface
        try:
            stamp_present()
        except Exception as error:
            _guard.swallow("instrumentor", error)

    def _uninstrument(self, **kwargs: Any) -> None:
        """Changes nothing: a processor cannot be taken out of a provider."""


def _set_defaults() -> None:
    for name, value in _DEFAULTS.items():
        if not os.environ.get(name, "").strip():
            os.environ[name] = value


def _our_part() -> dict[str, Any]:
    from otel_instrumentation import _sdk  # noqa: PLC0415 - loads the SDK

    process = configure_automatically()
    if process is None:
        return {}

    def export_spans(exporter: Any) -> Any:
        return process.processor_for(_exporters.TRACES, exporter) or _sdk.plain_spans(exporter)

    def export_log_records(exporter: Any) -> Any:
        found = process.processor_for(_exporters.LOGS, exporter)
        return found or _sdk.plain_log_records(exporter)

    parts: dict[str, Any] = {
        "export_span_processor": export_spans,
        "export_log_record_processor": export_log_records,
    }
    if os.environ.get(_ENV_ID_GENERATOR, "").strip().lower() in {"", "random"}:
        parts["id_generator"] = _sdk.UnseededIdGenerator()
    return parts


def _take_over_exit() -> None:
    """Has the providers shut down by what also bounds the time it takes."""
    own_shutdown_of(trace.get_tracer_provider(), _logs.get_logger_provider())
