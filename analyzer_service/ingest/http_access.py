"""Who may talk HTTP to the receiver: known host names, and pages of known origins only.

Loopback is no protection from a browser: any page can post to it, and a page whose name is made
to resolve to 127.0.0.1 can even read the answer. The first is stopped by Origin, the second by
Host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analyzer_service.hosts import ANY, is_known_host
from analyzer_service.ingest.statistics import Forgotten, TurnedAwaySink

WAY: Final = "otlp_http"
"""What the accounting calls this way in."""

ACCESS: Final = "access"
UNKNOWN: Final = "unknown"
"""What was in such a request is not looked at."""

PREFLIGHT_SECONDS: Final = 7200
"""How long a browser may remember a permission: the longest that all of them honour."""

ALLOWED_HEADERS: Final = "Content-Type, Content-Encoding, User-Agent"


@dataclass(frozen=True)
class Access:
    """Which hosts and origins are let in; ``*`` lets in any."""

    hosts: Sequence[str]
    origins: Sequence[str]
    turned_away: TurnedAwaySink = field(default_factory=Forgotten)

    def refusal(self, headers: Headers) -> str:
        """Return why a request is refused, empty if it is not."""
        if not is_known_host(headers.get("host", ""), self.hosts):
            return "the Host header names no host of this service: add it to the allowed hosts"
        origin = headers.get("origin")
        if origin is not None and not self.allows(origin):
            return "pages of this origin may not send: add it to the CORS origins"
        return ""

    def allows(self, origin: str) -> bool:
        """Say whether pages of an origin may send."""
        return ANY in self.origins or origin in self.origins

    def guarded(self, application: ASGIApp) -> ASGIApp:
        """Return an application that lets in only what is allowed, and answers preflights."""

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            refusal = self.refusal(headers)
            if refusal:
                self.turned_away.count(WAY, UNKNOWN, ACCESS)
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
            elif origin is None:
                await application(scope, receive, send)
            elif scope["method"] == "OPTIONS":
                await _preflight(origin)(scope, receive, send)
            else:
                await application(scope, receive, _with_origin(send, origin))

        return guard


def _preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            "Vary": "Origin",
        },
    )


def _with_origin(send: Send, origin: str) -> Send:
    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_origin
