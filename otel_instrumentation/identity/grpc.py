"""Users of a gRPC server."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from otel_instrumentation import _guard
from otel_instrumentation.context import detach
from otel_instrumentation.identity._request import Finder, begin, found, user_in_headers

Metadata = dict[str, str]
"""Metadata of a call whose values are text; of keys that come twice, the first."""

_END: Final = object()

_KINDS: Final = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class IdentityInterceptor(grpc.ServerInterceptor):
    """Says of every call whom it is for.

    After the interceptor that makes the server's spans, if one is given by hand.

    Args:
        user: Finds the user's id in the metadata of a call, in place of the proxy's headers.
        session: Finds the session's id in the metadata; none by default.
    """

    def __init__(
        self,
        *,
        user: Finder[Metadata] | None = None,
        session: Finder[Metadata] | None = None,
    ) -> None:
        self._user = user or user_of
        self._session = session

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of a call."""
        handler = continuation(handler_call_details)
        try:
            return handler and self._wrapped(handler, handler_call_details)
        except Exception as error:
            _guard.swallow("identity of a call", error)
            return handler

    def _wrapped(self, handler: Any, details: Any) -> Any:
        metadata: Metadata = {}
        for key, value in details.invocation_metadata or ():
            if isinstance(value, str):
                metadata.setdefault(key, value)
        user, session = found(self._user, metadata), found(self._session, metadata)
        kind, build = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
        behavior = getattr(handler, kind)
        return build(
            _streaming(behavior, user, session)
            if handler.response_streaming
            else _answering(behavior, user, session),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def user_of(metadata: Metadata) -> str | None:
    """Finds the user that the proxy authenticated."""
    return user_in_headers(metadata.get)


def _answering(behavior: Callable[..., Any], user: object, session: object) -> Callable[..., Any]:
    def answer(request: Any, context: Any) -> Any:
        token = begin(user, session)
        try:
            return behavior(request, context)
        finally:
            detach(token)

    return answer


def _streaming(behavior: Callable[..., Any], user: object, session: object) -> Callable[..., Any]:
    def stream(request: Any, context: Any) -> Iterator[Any]:
        # Every message is made in a context of its own: it is nobody's business which thread
        # asks for the next one, and it is left when the caller hangs up.
        own = contextvars.copy_context()
        own.run(begin, user, session)
        answers = iter(own.run(behavior, request, context))
        try:
            while (answer := own.run(next, answers, _END)) is not _END:
                yield answer
        finally:
            if (close := getattr(answers, "close", None)) is not None:
                own.run(close)

    return stream
