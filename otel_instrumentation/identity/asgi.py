"""Users of an ASGI application: FastAPI, Starlette and everything else that speaks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from otel_instrumentation.context import detach
from otel_instrumentation.identity._request import Finder, begin, found, user_in_headers

Scope = MutableMapping[str, Any]
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Application = Callable[[Scope, _Receive, _Send], Awaitable[None]]


class IdentityMiddleware:
    """Says of every request and websocket whom it is for.

    Starlette's middleware added last is the outermost: add this one before the one that
    authenticates.

    Args:
        app: The application.
        user: Finds the user's id in the scope of a request, in place of ``scope["user"]`` and
            the proxy's headers.
        session: Finds the session's id in the scope; none by default.
    """

    def __init__(
        self,
        app: _Application,
        *,
        user: Finder[Scope] | None = None,
        session: Finder[Scope] | None = None,
    ) -> None:
        self._app = app
        self._user = user or user_of
        self._session = session

    async def __call__(self, scope: Scope, receive: _Receive, send: _Send) -> None:
        """Handles a request as its user's."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        token = begin(found(self._user, scope), found(self._session, scope))
        try:
            await self._app(scope, receive, send)
        finally:
            detach(token)


def user_of(scope: Scope) -> str | None:
    """Finds the user that the application or the proxy authenticated."""
    user = scope.get("user")
    if user is not None and getattr(user, "is_authenticated", False):
        return getattr(user, "username", None) or getattr(user, "display_name", None)
    return user_in_headers(lambda name: header_of(scope, name))


def header_of(scope: Scope, name: str) -> str | None:
    """Returns a header of a request, the first where there are several."""
    wanted = name.lower().encode("latin-1")
    for header, value in scope.get("headers") or ():
        if header.lower() == wanted:
            return str(value.decode("latin-1"))
    return None
