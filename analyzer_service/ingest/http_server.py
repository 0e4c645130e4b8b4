"""OTLP over HTTP: protobuf and JSON, plain or compressed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from analyzer_service.ingest import answers, otlp_json
from analyzer_service.ingest.answers import Signal
from analyzer_service.ingest.commit import RetryLaterError
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.grpc_server import WORKERS, Accepts
from analyzer_service.ingest.http_access import WAY, Access
from analyzer_service.ingest.http_body import (
    BodyTooLargeError,
    UnsupportedEncodingError,
    inflate,
    read_body,
)
from analyzer_service.ingest.http_reply import JSON, PROTOBUF, Reply
from analyzer_service.ingest.payload import UndecodableError
from analyzer_service.ingest.pipeline import NOT_KEPT, TOO_LARGE, UNDECODABLE
from analyzer_service.ingest.statistics import TurnedAwaySink

UNSUPPORTED: Final = "unsupported"
"""Reason under which a content type or compression that is not known is counted."""

START_SECONDS: Final = 10.0
"""How long the server may take to listen; it takes milliseconds."""

KEEP_ALIVE_SECONDS: Final = 75
"""How long an idle connection stays open: longer than the 5 s to 60 s between two exports of an
SDK, which would otherwise now and then send into a connection that is just being closed."""

BACKLOG: Final = 256
"""Connections that may wait to be accepted, as many as a restarting fleet opens at once."""


class HttpServer:
    """Serves ``/v1/traces``, ``/v1/logs``, ``/v1/metrics`` and ``/healthz`` from a thread."""

    def __init__(
        self,
        host: str,
        port: int,
        pipelines: Mapping[Signal, Accepts],
        *,
        access: Access,
        max_body_bytes: int,
        turned_away: TurnedAwaySink,
    ) -> None:
        """Bind the address; ``port`` says which port it became.

        Raises:
            OSError: The address is taken.
        """
        self._max_body_bytes = max_body_bytes
        self._turned_away = turned_away
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="otlp-http")
        self._socket = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
        # Accepted connections inherit it: without it a small answer waits for the client's ACK.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._socket.getsockname()[1]
        routes = [Route("/healthz", _healthy, methods=["GET"])]
        for signal, pipeline in pipelines.items():
            routes.append(Route(signal.path, self._endpoint(signal, pipeline), methods=["POST"]))
        application = access.guarded(Starlette(routes=routes))
        # No signal handlers, no logging configuration: both belong to the program around it.
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._run, name="otlp-http", daemon=True)
        self._listening = threading.Event()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._listening.wait(START_SECONDS)

    def stop(self, grace: float) -> None:
        """Take no more requests, and give those under way so many seconds to end."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._workers.shutdown()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        # The socket listens already: a request that comes now waits in its backlog.
        self._listening.set()
        await self._server.serve(sockets=[self._socket])

    def _endpoint(
        self, signal: Signal, pipeline: Accepts
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._answer(request, signal, pipeline)

        return endpoint

    async def _answer(self, request: Request, signal: Signal, pipeline: Accepts) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        reply = Reply(JSON if content_type == JSON else PROTOBUF)
        try:
            body = await read_body(request.stream(), self._max_body_bytes)
        except BodyTooLargeError as error:
            self._count(signal, TOO_LARGE)
            return reply.too_large(str(error))
        if content_type not in (JSON, PROTOBUF):
            self._count(signal, UNSUPPORTED)
            return reply.unsupported(f"Content-Type must be {PROTOBUF} or {JSON}")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._workers, self._accept, body, encoding, reply, signal, pipeline
        )

    def _accept(
        self, body: bytes, encoding: str, reply: Reply, signal: Signal, pipeline: Accepts
    ) -> Response:
        findings = Findings()
        try:
            payload = inflate(body, encoding, self._max_body_bytes)
            if reply.content_type == JSON:
                payload = otlp_json.to_wire(payload, signal.request, findings)
            outcome = pipeline.accept(payload, findings)
            if outcome.not_kept:
                self._turned_away.count(
                    WAY, signal.source, NOT_KEPT, requests=0, records=outcome.not_kept
                )
            return reply.success(signal.respond(outcome))
        except BodyTooLargeError as error:
            self._count(signal, TOO_LARGE)
            return reply.too_large(str(error))
        except UnsupportedEncodingError as error:
            self._count(signal, UNSUPPORTED)
            return reply.unsupported(str(error))
        except UndecodableError as error:
            self._count(signal, UNDECODABLE)
            return reply.status(400, answers.undecodable(str(error)))
        except RetryLaterError as error:
            self._count(signal, error.reason)
            code = 429 if error.overloaded else 503
            return reply.status(code, answers.retry_later(str(error)))

    def _count(self, signal: Signal, reason: str) -> None:
        self._turned_away.count(WAY, signal.source, reason)


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
