"""The endpoint as a whole: HTTP in, ClickHouse's answers out."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import Final, TypeVar

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from analyzer_service.endpoint import access
from analyzer_service.endpoint.encodings import chosen_encoding
from analyzer_service.endpoint.errors import EndpointError, TooLargeError
from analyzer_service.endpoint.inserts import source_of
from analyzer_service.endpoint.options import sort_options
from analyzer_service.endpoint.output import HEAD_BYTES, WAITED_BYTES, Output
from analyzer_service.endpoint.replies import StreamedResponse, failed, headers_of
from analyzer_service.endpoint.request import (
    ClientRequest,
    first_word,
    read_request,
    told_in_headers,
    url_parameters,
)
from analyzer_service.endpoint.service import QueryService, Reply
from analyzer_service.endpoint.settings import WRITER, Authenticate, EndpointSettings
from analyzer_service.errors import SettingsError, UnavailableError
from analyzer_service.store.connect import Store
from analyzer_service.store.turned_away import TurnedAway

WORKERS: Final = 8
"""Requests that are worked on at a time: an exporter's consumers and a few people. More would wait
for the engine."""

BODIES: Final = 16
"""Requests whose bodies may be in memory at a time; further ones are not read yet, which slows
their senders down instead of being turned away."""

LARGE_BODIES: Final = 1
"""The same for a writer's bodies above the usual limit: each may take a gigabyte."""

START_SECONDS: Final = 10.0
"""How long the server may take to listen; it takes milliseconds."""

KEEP_ALIVE_SECONDS: Final = 75
"""Idle connections stay open longer than the pause between two of an exporter's batches."""

BACKLOG: Final = 256
"""Connections that may wait to be accepted."""

HEADER_BYTES: Final = 256 * 1024
"""Of a request line and its headers: statements may come in the URL."""

DEFAULT_GRACE_SECONDS: Final = 5.0
"""What requests under way get when the service stops: their insert takes far less."""

WAY: Final = "clickhouse_http"
"""What the accounting calls this way in."""

UNKNOWN: Final = "unknown"
STORE_FAILED: Final = "store_failed"

STORES_FAULT: Final = 500
"""The HTTP status of what is not the sender's mistake, where sending again will help."""

_PLAIN_PATHS: Final = ("/ping", "/replicas_status")
_QUERY_ID = re.compile(r"[\w.:/+-]{1,200}", re.A)

T = TypeVar("T")


class Endpoint:
    """Serves ClickHouse's HTTP interface over a store, from threads of its own.

    The port is bound on construction, so that ``port`` is known before anything is served.
    """

    def __init__(
        self,
        store: Store,
        *,
        settings: EndpointSettings,
        authenticate: Authenticate,
        turned_away: TurnedAway | None = None,
    ) -> None:
        """Bind the address.

        Raises:
            SettingsError: the address is not ``host:port``.
            UnavailableError: the port is taken.
        """
        self._settings = settings
        self._authenticate = authenticate
        self._turned_away = turned_away
        self._service = QueryService(store, settings)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="clickhouse-http")
        self._bodies: asyncio.Semaphore | None = None
        self._large: asyncio.Semaphore | None = None
        self._socket = _bound(settings.address)
        self.port: int = self._socket.getsockname()[1]
        # No signal handlers, no logging configuration: both belong to the program around it.
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application,
                log_config=None,
                access_log=False,
                interface="asgi3",
                proxy_headers=False,
                lifespan="off",
                ws="none",
                http="h11",
                h11_max_incomplete_event_size=HEADER_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                server_header=False,
            )
        )
        self._thread = threading.Thread(target=self._run, name="clickhouse-http", daemon=True)
        self._listening = threading.Event()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._listening.wait(START_SECONDS)

    def stop(self, grace: float = DEFAULT_GRACE_SECONDS) -> None:
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
        self._bodies = asyncio.Semaphore(BODIES)
        self._large = asyncio.Semaphore(LARGE_BODIES)
        # The socket listens already: a request that comes now waits in its backlog.
        self._listening.set()
        await self._server.serve(sockets=[self._socket])

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        query_id = str(uuid.uuid4())
        try:
            response = await self._answer(request, query_id)
        except EndpointError as error:
            self._count(UNKNOWN, error)
            response = failed(error, query_id)
        except ClientDisconnect:
            return
        try:
            await response(scope, receive, send)
        finally:
            if isinstance(response, StreamedResponse):
                # Also when the client has gone: what it did not read is never computed.
                await self._in_worker(response.close)

    async def _answer(self, request: Request, query_id: str) -> Response:
        access.check_source(request.headers, self._settings.allowed_hosts)
        if request.url.path in _PLAIN_PATHS and request.method in ("GET", "HEAD"):
            return PlainTextResponse("Ok.\n")
        if request.url.path != "/":
            raise EndpointError(
                "BAD_ARGUMENTS", "There is no such page: queries go to /", status=404
            )
        if request.method not in ("GET", "HEAD", "POST"):
            raise EndpointError("BAD_ARGUMENTS", "Use GET or POST", status=405)
        parameters = told_in_headers(url_parameters(request.url.query), request.headers)
        role = access.role_of(request.headers, parameters, self._authenticate)
        if _QUERY_ID.fullmatch(parameters.get("query_id", "")):
            query_id = parameters["query_id"]
        try:
            if role == WRITER and first_word(parameters.get("query", "")) == "INSERT":
                client_request, reply = await self._take_in(request, parameters)
            else:
                client_request, reply = await self._run_query(request, parameters, role)
            return await self._respond(request, client_request, reply, query_id)
        except EndpointError as error:
            # Telemetry that was refused; other people's queries are their own business.
            if first_word(parameters.get("query", "")) == "INSERT":
                self._count(source_of(parameters["query"]), error)
            return failed(error, query_id)

    async def _run_query(
        self, request: Request, parameters: dict[str, str], role: str
    ) -> tuple[ClientRequest, Reply]:
        limit, body = self._settings.max_body_bytes, bytearray()
        async with _slots(self._bodies):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise TooLargeError(limit)
            return await self._in_worker(self._begin, request, parameters, bytes(body), role, limit)

    async def _take_in(
        self, request: Request, parameters: dict[str, str]
    ) -> tuple[ClientRequest, Reply]:
        """Run a writer's INSERT; it would come again for ever if it were refused for its size."""
        usual, most = self._settings.max_body_bytes, self._settings.max_insert_bytes
        async with AsyncExitStack() as held:
            await held.enter_async_context(_slots(self._bodies))
            body, size, seen, limit = bytearray(), 0, hashlib.sha256(), usual
            async for chunk in request.stream():
                size += len(chunk)
                seen.update(chunk)
                if limit == usual < size:
                    await held.enter_async_context(_slots(self._large))
                    limit = most
                # Beyond the limit it is only read to its end, so that its sender hears an answer.
                body += chunk if size <= most else b""
            while len(body) == size:
                with suppress(TooLargeError):
                    return await self._in_worker(
                        self._begin, request, parameters, bytes(body), WRITER, limit
                    )
                if limit == most:
                    break
                await held.enter_async_context(_slots(self._large))
                limit = most
            why = f"{TooLargeError(most).message} (SHA-256 {seen.hexdigest()})"
            return await self._in_worker(self._set_aside, parameters, why)

    def _set_aside(self, parameters: dict[str, str], why: str) -> tuple[ClientRequest, Reply]:
        request = ClientRequest(parameters["query"], b"", sort_options(parameters), readonly=False)
        return request, self._service.set_aside(request, why)

    def _begin(
        self,
        request: Request,
        parameters: dict[str, str],
        body: bytes,
        role: str,
        limit: int,
    ) -> tuple[ClientRequest, Reply]:
        client_request = read_request(
            request.method,
            parameters,
            body,
            content_type=request.headers.get("content-type", ""),
            content_encoding=request.headers.get("content-encoding", ""),
            limit=limit,
        )
        if not client_request.statement.strip():
            raise EndpointError("SYNTAX_ERROR", "There is no query")
        return client_request, self._service.run(client_request, role, peer=_peer(request))

    async def _respond(
        self, request: Request, client_request: ClientRequest, reply: Reply, query_id: str
    ) -> Response:
        options = client_request.options
        encoding = ""
        if options.flag("enable_http_compression"):
            encoding = chosen_encoding(request.headers.get("accept-encoding", ""))
        tag = secrets.token_hex(8)
        output = Output(reply, encoding=encoding, framed=options.flag("compress"), tag=tag)
        # What goes wrong early, which is nearly everything, is still told by the status.
        head = await self._in_worker(
            output.head, WAITED_BYTES if options.flag("wait_end_of_query") else HEAD_BYTES
        )
        headers = headers_of(reply, query_id=query_id, encoding=encoding, tag=tag)
        if output.finished:
            return Response(head, headers=headers)
        return StreamedResponse(
            head, output, more=lambda: self._in_worker(output.more), headers=headers
        )

    def _count(self, source: str, error: EndpointError) -> None:
        if self._turned_away is not None:
            reason = STORE_FAILED if error.status == STORES_FAULT else error.name.lower()
            self._turned_away.count(WAY, source, reason)

    async def _in_worker(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, function, *arguments)


def _peer(request: Request) -> str:
    return f"http:{request.client.host}:{request.client.port}" if request.client else ""


def _slots(semaphore: asyncio.Semaphore | None) -> asyncio.Semaphore:
    assert semaphore is not None  # noqa: S101 - made before the first request
    return semaphore


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(
            f"The endpoint's address {address!r} cannot be used.",
            hint="Write host:port, such as 127.0.0.1:8123.",
            field="clickhouse_port",
        )
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise UnavailableError(
            f"The ClickHouse endpoint cannot listen on {address}: {error}.",
            hint="Another program may have the port; choose another one, or 0 for any free one.",
        ) from None
    # Accepted connections inherit it: without it a small answer waits 40 ms for the client's ACK.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound
