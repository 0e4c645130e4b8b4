"""What the helpers of all frameworks share."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.context import Context

from otel_instrumentation import _guard, _settings, privacy, semconv
from otel_instrumentation.context import ContextValues, attach, attributes_of

_Request = TypeVar("_Request")
Finder = Callable[[_Request], object]
"""Finds the id of a user or session in a request; None for nobody."""


def begin(user: object, session: object) -> Token[Context] | None:
    """Carries user and session from here on, and puts them on the server's span.

    The span began before anybody knew whom the request is for.

    Returns:
        A token for ``detach``; None where there is nothing to carry.
    """
    try:
        values: ContextValues = {
            "user": None if user is None else str(user),
            "session": None if session is None else str(session),
        }
        attributes = attributes_of(values)
        if not attributes:
            return None
        trace.get_current_span().set_attributes(attributes)
        return attach(**values)
    except Exception as error:
        _guard.swallow("identity of a request", error)
        return None


def found(finder: Finder[_Request] | None, request: _Request) -> object:
    """Asks a function of the platform's, which may fail like everything else."""
    try:
        return None if finder is None else finder(request)
    except Exception as error:
        _guard.swallow("finding the user of a request", error)
        return None


def user_in_headers(header: Callable[[str], str | None]) -> str | None:
    """Returns the user that an authenticating proxy named, if there is one."""
    for name in semconv.IDENTITY_HEADERS:
        if user := (header(name) or "").strip():
            return user
    return None


def hidden(secret: str | None) -> str | None:
    """Returns an id for a session whose own key would let anybody take it over."""
    return privacy.digest(secret, _settings.current().user_salt) if secret else None
