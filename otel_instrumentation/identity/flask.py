"""Users of a Flask application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_instrumentation import _guard
from otel_instrumentation.context import detach
from otel_instrumentation.identity._request import Finder, begin, found, user_in_headers

if TYPE_CHECKING:
    from flask import Flask, Request

_PLACE: Final = "otel_instrumentation.identity"


def identify_users(
    app: Flask,
    *,
    user: Finder[Request] | None = None,
    session: Finder[Request] | None = None,
) -> None:
    """Says of every request of an application whom it is for.

    Call it after what authenticates, so that it runs after it.

    Args:
        app: The application.
        user: Finds the user's id in a request, in place of ``REMOTE_USER`` and the proxy's
            headers.
        session: Finds the session's id in a request; none by default.
    """

    def start() -> None:
        from flask import request  # noqa: PLC0415 - there is one where there is an application

        # The request itself: the proxy for it belongs to this moment.
        this = request._get_current_object()  # type: ignore[attr-defined]
        token = begin(found(user or user_of, this), found(session, this))
        this.environ[_PLACE] = token

    def end(_error: BaseException | None = None) -> None:
        from flask import request  # noqa: PLC0415 - as above

        detach(request.environ.pop(_PLACE, None))

    try:
        app.before_request(start)
        app.teardown_request(end)
    except Exception as error:
        _guard.swallow("identify_users", error)


def user_of(request: Request) -> str | None:
    """Finds the user that the server or the proxy authenticated."""
    return request.remote_user or user_in_headers(request.headers.get)
