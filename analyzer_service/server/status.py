"""Errors to rich gRPC statuses, and back on the client's side.

A status carries ``google.rpc.ErrorInfo`` with the error's reason, ``BadRequest`` where one field
is to blame, and the hint as ``LocalizedMessage``. What is the service's own fault is logged under
a random id, and only the id leaves the process: no traceback, no SQL.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from analyzer_service import errors
from analyzer_service.server.outcomes import outcome_of

DOMAIN: Final = "mlp-analyzer"
LONGEST_TEXT: Final = 1000
"""Characters of a message or hint: statuses travel in headers, and clients take 8 KiB of those."""
INCIDENT_BYTES: Final = 6

_LOG = logging.getLogger(__name__)
_CLASSES: Final = {kind.reason: kind for kind in errors.OUTCOMES}
_WITHOUT_DETAILS: Final = {
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.UnavailableError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: errors.RoleError,
}


def status_of(error: Exception) -> status_pb2.Status:
    """Return the status a client sees for an error."""
    known = error if isinstance(error, errors.AnalyzerError) else errors.AnalyzerError()
    name, _ = outcome_of(known)
    code = grpc.StatusCode[name]
    if code is grpc.StatusCode.INTERNAL:
        known = _incident(error, type(known))
    info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN)
    message = _cut(known.message)
    details: list[Message] = [info]
    if known.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=known.field, description=message
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if known.hint:
        details.append(error_details_pb2.LocalizedMessage(locale="en", message=_cut(known.hint)))
    return status_pb2.Status(
        code=code.value[0], message=message, details=[_packed(detail) for detail in details]
    )


@contextmanager
def errors_as_status(context: grpc.ServicerContext) -> Iterator[None]:
    """End the call with the status of whatever is raised inside."""
    try:
        yield
    except Exception as error:
        status = status_of(error)
    else:
        return
    context.abort_with_status(rpc_status.to_status(status))


def error_of(failure: grpc.RpcError, *, service: str) -> errors.AnalyzerError:
    """Return the error a failed call stands for.

    Args:
        failure: What the call raised.
        service: HOST:PORT of the service, for the message if it did not answer.
    """
    call = cast("grpc.Call", failure)  # which is what a call raises, though its type hides it
    status = rpc_status.from_call(call)
    if status is None:
        kind = _WITHOUT_DETAILS.get(call.code(), errors.AnalyzerError)
        if kind is errors.UnavailableError:
            return errors.UnavailableError(
                f"No service answers at {service}.",
                hint="Start one with mlp-analyzer serve, name another with --server HOST:PORT, "
                "or open a store that nobody has open with --store URL.",
            )
        return kind(call.details() or "")
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    hint = error_details_pb2.LocalizedMessage()
    for detail in status.details:
        for message in (info, request, hint):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    violations = request.field_violations
    return _CLASSES.get(info.reason, errors.AnalyzerError)(
        status.message, hint=hint.message, field=violations[0].field if violations else ""
    )


def _incident(error: Exception, kind: type[errors.AnalyzerError]) -> errors.AnalyzerError:
    incident = secrets.token_hex(INCIDENT_BYTES)
    _LOG.error("Incident %s.", incident, exc_info=error)
    return kind(f"{kind().message} Incident {incident}.", hint="The service's log tells more.")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
