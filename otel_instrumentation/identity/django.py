"""Users of a Django project.

In ``MIDDLEWARE``, after ``AuthenticationMiddleware``::

    "otel_instrumentation.identity.django.IdentityMiddleware",

A platform with users of its own kind writes a subclass with another ``user_of``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from inspect import iscoroutinefunction
from typing import Any

from otel_instrumentation import _guard
from otel_instrumentation.context import detach
from otel_instrumentation.identity._request import begin, found, hidden, user_in_headers


class IdentityMiddleware:
    """Says of every request whom it is for, in projects served by WSGI and by ASGI.

    Args:
        get_response: The rest of the project.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            from asgiref.sync import markcoroutinefunction  # noqa: PLC0415 - Django brings it

            markcoroutinefunction(self)
            self._asynchronous = True
        else:
            self._asynchronous = False

    def __call__(self, request: Any) -> Any:
        """Handles a request as its user's."""
        if self._asynchronous:
            return self._handle_asynchronously(request)
        with _not_looked_at(request):
            user, session = found(self.user_of, request), found(self.session_of, request)
        token = begin(user, session)
        try:
            return self._get_response(request)
        finally:
            detach(token)

    async def _handle_asynchronously(self, request: Any) -> Any:
        with _not_looked_at(request):
            try:
                if hasattr(request, "auser"):
                    # Loading the user may ask the database; once loaded, it is remembered.
                    request.user = await request.auser()
            except Exception as error:
                _guard.swallow("finding the user of a request", error)
            user, session = found(self.user_of, request), found(self.session_of, request)
        token = begin(user, session)
        try:
            response: Awaitable[Any] = self._get_response(request)
            return await response
        finally:
            detach(token)

    def user_of(self, request: Any) -> str | None:
        """Finds the user that Django, the server or the proxy authenticated."""
        user = getattr(request, "user", None)
        if user is not None and user.is_authenticated:
            return str(user.get_username())
        named = request.META.get("REMOTE_USER") or user_in_headers(request.headers.get)
        return str(named) if named else None

    def session_of(self, request: Any) -> str | None:
        """Finds the session: a digest of its key, which itself would open the session."""
        return hidden(getattr(getattr(request, "session", None), "session_key", None))


@contextlib.contextmanager
def _not_looked_at(request: Any) -> Iterator[None]:
    """Leaves no trace of looking at the session: Django would vary the page by cookie."""
    session = getattr(request, "session", None)
    before = getattr(session, "accessed", None)
    try:
        yield
    finally:
        if before is not None:
            session.accessed = before  # type: ignore[union-attr]
