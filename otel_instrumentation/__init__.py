"""Instrumentation library of the Analyzer: who did what on the platform, and how it went.

Thin by intent: it imports OpenTelemetry's API alone; ``configure()`` loads the SDK and the
exporters. It never raises into the program it observes.
"""

from __future__ import annotations

__version__ = "0.1.0"

from otel_instrumentation.configure import configure, flush, shutdown
from otel_instrumentation.context import (
    attach,
    component,
    detach,
    propagate,
    scope,
    session,
    set_process_context,
    stage,
    team,
    user,
)
from otel_instrumentation.events import action, click, session_end, session_start, view
from otel_instrumentation.operation import Operation, operation
from otel_instrumentation.privacy import digest, is_pseudonym, pseudonym

__all__ = [
    "Operation",
    "__version__",
    "action",
    "attach",
    "click",
    "component",
    "configure",
    "detach",
    "digest",
    "flush",
    "is_pseudonym",
    "operation",
    "propagate",
    "pseudonym",
    "scope",
    "session",
    "session_end",
    "session_start",
    "set_process_context",
    "shutdown",
    "stage",
    "team",
    "user",
    "view",
]
