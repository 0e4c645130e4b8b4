"""OTLP over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn, Protocol

import grpc
from google.protobuf.message import Message
from grpc_status import rpc_status

from analyzer_service.ingest import answers
from analyzer_service.ingest.answers import Signal
from analyzer_service.ingest.commit import RetryLaterError
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.http_body import BodyTooLargeError
from analyzer_service.ingest.payload import UndecodableError
from analyzer_service.ingest.pipeline import NOT_KEPT, TOO_LARGE, UNDECODABLE, Outcome
from analyzer_service.ingest.statistics import TurnedAwaySink

WORKERS: Final = 32
"""Requests answered at a time. Most of them only wait for their insert, which the more of them
share the better."""


OVERSIZE: Final = 4
"""How many times the largest request is still read, so that it is counted before it is refused.
Beyond that gRPC itself refuses it, with the same status, and nobody counts."""

WAY: Final = "otlp_grpc"
"""What the accounting calls this way in."""


class Accepts(Protocol):
    """What takes requests in protobuf: a pipeline."""

    def accept(self, payload: bytes, findings: Findings | None = None) -> Outcome:
        """Store what a request holds."""
        ...


class GrpcServer:
    """Serves the Export methods of the OTLP services."""

    def __init__(
        self,
        address: str,
        pipelines: Mapping[Signal, Accepts],
        *,
        max_body_bytes: int,
        turned_away: TurnedAwaySink,
    ) -> None:
        """Bind the address; ``port`` says which port it became.

        Raises:
            RuntimeError: The address is taken.
        """
        self._server = grpc.server(
            ThreadPoolExecutor(WORKERS, thread_name_prefix="otlp-grpc"),
            options=(
                ("grpc.max_receive_message_length", OVERSIZE * max_body_bytes),
                # Otherwise two services could share a port, each seeing half of the telemetry.
                ("grpc.so_reuseport", 0),
            ),
        )
        for signal, pipeline in pipelines.items():
            # Requests stay bytes: a generated class would refuse one bad string's whole request.
            method: grpc.RpcMethodHandler[bytes, Message] = grpc.unary_unary_rpc_method_handler(
                _export(signal, pipeline, max_body_bytes, turned_away),
                response_serializer=_serialize,
            )
            handler = grpc.method_handlers_generic_handler(signal.service, {"Export": method})
            self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_insecure_port(address)

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """Take no more requests, and give those under way so many seconds to end."""
        self._server.stop(grace).wait()


def _export(
    signal: Signal, pipeline: Accepts, max_body_bytes: int, turned_away: TurnedAwaySink
) -> Callable[[bytes, grpc.ServicerContext], Message]:
    def export(payload: bytes, context: grpc.ServicerContext) -> Message:
        if len(payload) > max_body_bytes:
            turned_away.count(WAY, signal.source, TOO_LARGE)
            _abort(context, answers.too_large(str(BodyTooLargeError.above(max_body_bytes))))
        try:
            outcome = pipeline.accept(payload)
        except UndecodableError as error:
            turned_away.count(WAY, signal.source, UNDECODABLE)
            _abort(context, answers.undecodable(str(error)))
        except RetryLaterError as error:
            turned_away.count(WAY, signal.source, error.reason)
            _abort(context, answers.retry_later(str(error)))
        if outcome.not_kept:
            turned_away.count(WAY, signal.source, NOT_KEPT, requests=0, records=outcome.not_kept)
        return signal.respond(outcome)

    return export


def _abort(context: grpc.ServicerContext, status: Message) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError  # abort_with_status raises; its types do not say so


def _serialize(response: Message) -> bytes:
    return response.SerializeToString()
