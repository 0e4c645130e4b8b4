"""Points in time: clicks, views, key actions without a duration, session boundaries.

Each is a log record with an event name and an identity of its own (``log.record.uid``), so
that a receiver can tell a record sent twice from two records.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.util.types import AnyValue

from otel_instrumentation import _guard, _identifiers, _settings, _telemetry, privacy, semconv
from otel_instrumentation._text import name_of
from otel_instrumentation.operation import NO_ARGUMENTS, UNNAMED, cleaned


def click(
    action: str,
    *,
    widget: str | None = None,
    widget_name: str | None = None,
    screen: str | None = None,
    target: object = None,
    arguments: object = NO_ARGUMENTS,
    stage: str | None = None,
    component: str | None = None,
    attributes: Mapping[str, AnyValue] | None = None,
) -> None:
    """Records a click.

    Args:
        action: What the click does: low cardinality.
        widget: Id of the widget; the action where it has none.
        widget_name: Name of the widget as people see it.
        screen: Name of the screen it is on.
        target: Id of what is acted on.
        arguments: What the action is done with; only a keyed digest is sent.
        stage: Stage, where it differs from the context's.
        component: Component, where it differs from the context's.
        attributes: Further attributes.
    """
    own = {
        semconv.ACTION: action,
        semconv.ACTION_KIND: semconv.ACTION_KIND_CLICK,
        semconv.WIDGET_ID: widget or action,
        semconv.WIDGET_NAME: widget_name,
        semconv.SCREEN_NAME: screen,
        semconv.STAGE: stage,
        semconv.COMPONENT: component,
    }
    _act(semconv.EVENT_CLICK, own, target, arguments, attributes)


def view(
    action: str,
    *,
    screen: str | None = None,
    target: object = None,
    arguments: object = NO_ARGUMENTS,
    stage: str | None = None,
    component: str | None = None,
    attributes: Mapping[str, AnyValue] | None = None,
) -> None:
    """Records that somebody looked at something; arguments as in :func:`click`."""
    own = {
        semconv.ACTION: action,
        semconv.ACTION_KIND: semconv.ACTION_KIND_VIEW,
        semconv.SCREEN_NAME: screen,
        semconv.STAGE: stage,
        semconv.COMPONENT: component,
    }
    _act(semconv.EVENT_VIEW, own, target, arguments, attributes)


def action(
    name: str,
    *,
    kind: str = semconv.ACTION_KIND_KEY,
    target: object = None,
    arguments: object = NO_ARGUMENTS,
    stage: str | None = None,
    component: str | None = None,
    attributes: Mapping[str, AnyValue] | None = None,
) -> None:
    """Records an action without a duration; arguments as in :func:`click`.

    ``kind`` is one of ``semconv.ACTION_KINDS``. What takes time or can fail is an
    :func:`~otel_instrumentation.operation.operation` instead.
    """
    own = {
        semconv.ACTION: name,
        semconv.ACTION_KIND: kind,
        semconv.STAGE: stage,
        semconv.COMPONENT: component,
    }
    _act(semconv.EVENT_ACTION, own, target, arguments, attributes)


def session_start(session_id: str | None = None, *, previous_id: str | None = None) -> str:
    """Records that a session begins; carrying it is :func:`~.context.session`'s work.

    Args:
        session_id: Id of the session; a random one where none is given.
        previous_id: Id of the session that it continues.

    Returns:
        The id of the session.
    """
    session_id = session_id or _identifiers.hex_id()
    _emit(
        semconv.EVENT_SESSION_START,
        {semconv.SESSION_ID: session_id, semconv.SESSION_PREVIOUS_ID: previous_id},
    )
    return session_id


def session_end(session_id: str | None = None) -> None:
    """Records that a session ends: the given one, or the context's."""
    _emit(semconv.EVENT_SESSION_END, {semconv.SESSION_ID: session_id})


def _act(
    event_name: str,
    own: Mapping[str, object],
    target: object,
    arguments: object,
    attributes: Mapping[str, AnyValue] | None,
) -> None:
    try:
        everything: dict[str, Any] = {**own, **(attributes or {})}
        everything[semconv.ACTION] = name_of(own[semconv.ACTION]) or UNNAMED
        if target is not None:
            everything[semconv.TARGET_ID] = name_of(target)
        if arguments is not NO_ARGUMENTS:
            salt = _settings.current().user_salt
            everything[semconv.ACTION_DIGEST] = privacy.digest(arguments, salt)
    except Exception as error:
        _guard.swallow(event_name, error)
    else:
        _emit(event_name, everything)


def _emit(event_name: str, attributes: Mapping[str, Any]) -> None:
    try:
        everything = cleaned(attributes)
        everything[semconv.LOG_RECORD_UID] = _identifiers.hex_id()
        _telemetry.logger().emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            event_name=event_name,
            attributes=everything,
        )
    except Exception as error:
        _guard.swallow(event_name, error)
