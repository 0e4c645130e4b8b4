"""How an operation ended, and what is written about an exception that ended it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import traceback
from typing import Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context

from otel_instrumentation import _identifiers, _telemetry, semconv
from otel_instrumentation._text import clean, qualified_name

MAX_MESSAGE_LENGTH: Final = 1_000
"""Characters kept of an exception's message: some carry whole responses or tables."""

MAX_STACKTRACE_LENGTH: Final = 8_000
"""Characters kept of a stack trace, from its end, where the failure is."""

_CANCELLATIONS: Final = (
    KeyboardInterrupt,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    GeneratorExit,
)


def outcome_of(exception: BaseException | None) -> str:
    """Says how work ended that this exception, or none, ended.

    Somebody stopping the work (an interrupt, a cancelled task, a consumer that wants no more)
    is ``cancelled``, not a failure; so is ``sys.exit()`` without a complaint ``ok``.
    """
    if exception is None:
        return semconv.OUTCOME_OK
    if isinstance(exception, _CANCELLATIONS):
        return semconv.OUTCOME_CANCELLED
    if isinstance(exception, SystemExit) and exception.code in {None, 0}:
        return semconv.OUTCOME_OK
    return semconv.OUTCOME_ERROR


def message_of(exception: BaseException) -> str:
    """Returns an exception's message, shortened; empty where it cannot say one."""
    try:
        return clean(str(exception))[:MAX_MESSAGE_LENGTH]
    except Exception:
        return ""


def emit_exception(exception: BaseException, context: Context) -> None:
    """Writes an exception as a log record of its span (semantic conventions: in logs).

    It carries no ``mlp.action`` and no ``error.type``: the span counts the failure, the record
    explains it.
    """
    _telemetry.logger().emit(
        timestamp=time.time_ns(),
        context=context,
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        event_name=semconv.EXCEPTION_EVENT,
        attributes={
            semconv.EXCEPTION_TYPE: qualified_name(type(exception)),
            semconv.EXCEPTION_MESSAGE: message_of(exception),
            semconv.EXCEPTION_STACKTRACE: _stacktrace_of(exception),
            semconv.LOG_RECORD_UID: _identifiers.hex_id(),
        },
    )


def _stacktrace_of(exception: BaseException) -> str:
    lines = traceback.format_exception(type(exception), exception, exception.__traceback__)
    return clean("".join(lines))[-MAX_STACKTRACE_LENGTH:]
