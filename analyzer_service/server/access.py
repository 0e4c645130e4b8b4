"""Who may call what: checks the token of every call and audits those about one person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import grpc

from analyzer_service import audit
from analyzer_service.errors import AuthenticationError, RoleError
from analyzer_service.server.status import errors_as_status
from analyzer_service.server.tokens import GRANTS, Role, Tokens

SERVICE: Final = "analyzer_service.api.v1.AnalyzerService"

METHOD_ROLES: Final[Mapping[str, Role]] = {
    "RunAnalysis": Role.OPERATOR,
    "WatchAnalysis": Role.READER,
    "GetAnalysis": Role.READER,
    "ListAnalyses": Role.READER,
    "ListChallenges": Role.READER,
    "GetChallenge": Role.READER,
    "ListChallengeSignals": Role.OPERATOR,
    "ListLives": Role.READER,
    "GetLife": Role.READER,
    "ReviewChallenge": Role.OPERATOR,
    "ListUsers": Role.OPERATOR,
    "GetUser": Role.OPERATOR,
    "ListSegments": Role.READER,
    # The text of a query cannot prove that it only aggregates: rows about one person are one
    # GROUP BY away. So SQL is the operator's.
    "Query": Role.OPERATOR,
    "GetReport": Role.READER,
    "GetStatus": Role.READER,
    "GetSignalMap": Role.READER,
    "TestSignalMap": Role.READER,
    "AddSignalMapRules": Role.OPERATOR,
    "RemoveSignalMapRule": Role.OPERATOR,
    "RestoreSignalMapRule": Role.OPERATOR,
    "DeriveSignals": Role.OPERATOR,
    # Paths carry names of persons in more ways than can be taken out.
    "ListUnmappedNames": Role.OPERATOR,
}
"""Method → the role it asks for."""

AUDITED: Final[Mapping[str, Callable[[Any], str]]] = {
    "ListChallengeSignals": lambda request: request.challenge_id,
    "ListUsers": lambda _: "*",
    "GetUser": lambda request: request.user,
    "Query": lambda request: request.sql,
    "AddSignalMapRules": lambda request: request.rules_yaml,
    "RemoveSignalMapRule": lambda request: str(request.rule_id),
    "RestoreSignalMapRule": lambda request: str(request.rule_id),
    "DeriveSignals": lambda _: "*",
    "ListUnmappedNames": lambda _: "*",
}
"""Methods that can show rows about one person, or change what counts as which action → whom or what
a request asks for."""

_BEARER: Final = "bearer "
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Guard(grpc.ServerInterceptor):
    """Lets calls through by the role of their token, and turns every error into a status.

    Health and reflection stay open: they say nothing about anybody. Without tokens
    (``authentication=off``) every caller is an operator.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the method's handler with the check, the audit and the mapping of errors."""
        handler = continuation(handler_call_details)
        service, _, method = handler_call_details.method.removeprefix("/").rpartition("/")
        if handler is None or service != SERVICE:
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._single(method, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _single(self, method: str, behaviour: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with errors_as_status(context):
                self._admit(method, request, context)
                return behaviour(request, context)

        return answer

    def _streaming(self, method: str, behaviour: Any) -> Any:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with errors_as_status(context):
                self._admit(method, request, context)
                yield from behaviour(request, context)

        return answer

    def _admit(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        role = self._role(context)
        needed = METHOD_ROLES[method]
        admitted = needed in GRANTS[role]
        if method in AUDITED:
            audit.record(
                method=method,
                role=str(role),
                subject=AUDITED[method](request),
                granted=admitted,
                peer=context.peer(),
            )
        if not admitted:
            raise RoleError(
                f"{method} needs the {needed} role; this token is a {role}'s.",
                hint="Use the operator token of the service's tokens.json.",
            )

    def _role(self, context: grpc.ServicerContext) -> Role:
        if self._tokens is None:
            return Role.OPERATOR
        for key, value in context.invocation_metadata():
            text = value if isinstance(value, str) else value.decode("latin-1")
            if key == "authorization" and text.lower().startswith(_BEARER):
                role = self._tokens.role_of(text[len(_BEARER) :].strip())
                if role is not None:
                    return role
        raise AuthenticationError(
            "No valid token came with the call.",
            hint="Send 'authorization: Bearer TOKEN' with a token of the service's tokens.json; "
            "the commands take it from MLP_ANALYZER_TOKEN or the state folder.",
        )
