"""Who may talk to the endpoint: requests for a known host name, from no web page, with a token.

Loopback is no protection from a browser: a page can post to it, and a page whose name is made to
resolve to 127.0.0.1 can read the answer. Origin stops the first, Host the second. No page has any
business here, so there are no allowed origins.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers

from analyzer_service.endpoint.errors import EndpointError
from analyzer_service.endpoint.settings import OPERATOR, READER, WRITER, Authenticate
from analyzer_service.hosts import is_known_host


def check_source(headers: Headers, hosts: Sequence[str]) -> None:
    """Refuse requests for other hosts, and those a web page sends.

    Raises:
        EndpointError: with status 403 and the reason.
    """
    if not is_known_host(headers.get("host", ""), hosts):
        raise EndpointError(
            "ACCESS_DENIED",
            "The Host header names no host of this service: add it to the allowed hosts",
        )
    if "origin" in headers:
        raise EndpointError("ACCESS_DENIED", "Web pages may not send requests here")


def role_of(headers: Headers, parameters: Mapping[str, str], authenticate: Authenticate) -> str:
    """Return the role of whoever sends a request.

    The credentials are looked for where ClickHouse's clients put them: Basic or Bearer, then
    X-ClickHouse-User and -Key, then the parameters user and password.

    Raises:
        EndpointError: there are none, or none that are known.
    """
    user, password = _credentials(headers, parameters)
    role = authenticate(user, password)
    if role not in (READER, WRITER, OPERATOR):
        raise EndpointError(
            "AUTHENTICATION_FAILED",
            "Authentication failed: the password must be one of the service's tokens",
        )
    return str(role)


def _credentials(headers: Headers, parameters: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise EndpointError(
                "AUTHENTICATION_FAILED", "The Authorization header cannot be read"
            ) from None
        return user, password
    if scheme.lower() == "bearer":
        return "", value.strip()
    if "x-clickhouse-key" in headers or "x-clickhouse-user" in headers:
        return headers.get("x-clickhouse-user", ""), headers.get("x-clickhouse-key", "")
    return parameters.get("user", ""), parameters.get("password", "")
