"""The tracer and the logger this library writes with."""

from __future__ import annotations

from typing import Final

from opentelemetry import _logs, trace

from otel_instrumentation import __version__

SCOPE_NAME: Final = "otel_instrumentation"
"""Name of the instrumentation scope of everything this library writes itself."""

_tracer: trace.Tracer | None = None
_logger: _logs.Logger | None = None


def tracer() -> trace.Tracer:
    """Returns the tracer; remembered once a provider is there."""
    global _tracer  # noqa: PLW0603 - providers are set once per process
    if _tracer is not None:
        return _tracer
    found = trace.get_tracer(SCOPE_NAME, __version__)
    if not isinstance(found, trace.ProxyTracer):
        _tracer = found
    return found


def logger() -> _logs.Logger:
    """Returns the logger; remembered once a provider is there."""
    global _logger  # noqa: PLW0603 - providers are set once per process
    if _logger is not None:
        return _logger
    found = _logs.get_logger(SCOPE_NAME, __version__)
    # The API exports neither the provider nor the logger that stand in until one is set.
    if type(found).__name__ != "ProxyLogger":
        _logger = found
    return found
