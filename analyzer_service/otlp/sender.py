"""Sends OTLP over gRPC and gives nothing up while there is hope.

Several requests are under way at once; who sends faster than the receiver takes is held back.
A request that failed is sent again as the OTLP specification says (protocol/otlp, section
"Failures"): after the receiver's own ``RetryInfo`` or with growing, jittered pauses. Records may
therefore arrive twice, never not at all: receivers know them by their ids.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final, TypeAlias

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from analyzer_service.errors import AuthenticationError, InvalidInputError, UnavailableError
from analyzer_service.otlp.endpoint import open_channel
from analyzer_service.otlp.retry import Answer, Pause, classify

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""The largest message a gRPC receiver takes unless told otherwise."""

REQUEST_TIMEOUT_SECONDS: Final = 60.0
"""One attempt; a receiver that merges and stores before it answers may be busy for seconds."""

FIRST_ANSWER_SECONDS: Final = 20.0
"""A receiver that never answered is more likely a wrong address than a restart."""

MAX_MESSAGES: Final = 20
"""Distinct complaints of the receiver that are kept; the rest is counted in ``rejected``."""

_TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LOGS: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

_Response: TypeAlias = ExportTraceServiceResponse | ExportLogsServiceResponse
_Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, _Response]"


@dataclass(frozen=True, slots=True)
class SendSummary:
    """What became of everything sent so far.

    Attributes:
        accepted: Records the receiver took.
        rejected: Records it refused for good, whole requests or parts of them.
        retries: Attempts beyond the first.
        messages: What it said about refused or doubtful records, each once.
    """

    accepted: int
    rejected: int
    retries: int
    messages: tuple[str, ...]


class OtlpSender:
    """Sends serialized OTLP requests to one receiver, from one or several threads.

    Args:
        endpoint: ``HOST:PORT`` or ``http://HOST:PORT`` in plain text, ``https://HOST:PORT``
            over TLS.
        max_in_flight: Requests under way at once.
        headers: Metadata of every request, such as an authorization.
        give_up_after_seconds: How long one request is tried before the receiver counts as gone.

    Raises:
        InvalidInputError: The endpoint cannot be understood.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        max_in_flight: int = 4,
        headers: Mapping[str, str] = MappingProxyType({}),
        give_up_after_seconds: float = 300.0,
    ) -> None:
        self._endpoint = endpoint
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        self._give_up_after_seconds = give_up_after_seconds
        self._channel = open_channel(endpoint)
        self._traces: _Call = self._channel.unary_unary(
            _TRACES, response_deserializer=ExportTraceServiceResponse.FromString
        )
        self._logs: _Call = self._channel.unary_unary(
            _LOGS, response_deserializer=ExportLogsServiceResponse.FromString
        )
        self._places = threading.Semaphore(max_in_flight)
        self._workers = ThreadPoolExecutor(max_in_flight, thread_name_prefix="otlp-sender")
        self._pending: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._answered = False
        self._accepted = self._rejected = self._retries = 0
        self._messages: dict[str, None] = {}

    def send_traces(
        self,
        request: bytes | ExportTraceServiceRequest,
        *,
        records: int,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Send a request of spans; blocks while too many requests are under way.

        Args:
            request: The request, serialized or not, of at most ``MAX_REQUEST_BYTES``.
            records: How many spans it holds.
            acknowledged: Called, from another thread, once the receiver has answered for good.

        Raises:
            InvalidInputError: The request is too large.
            UnavailableError: The receiver is gone, as an earlier request has found.
            AuthenticationError: The receiver refused our headers.
        """
        self._send(self._traces, request, records, acknowledged)

    def send_logs(
        self,
        request: bytes | ExportLogsServiceRequest,
        *,
        records: int,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Send a request of log records; as :meth:`send_traces`."""
        self._send(self._logs, request, records, acknowledged)

    def drain(self) -> SendSummary:
        """Wait for every answer and return what became of everything sent so far.

        Raises:
            UnavailableError: The receiver never answered, or answers no more.
            AuthenticationError: The receiver refused our headers.
        """
        while True:
            with self._lock:
                pending = tuple(self._pending)
            if not pending:
                break
            wait(pending)
        self._raise_failure()
        with self._lock:
            return SendSummary(self._accepted, self._rejected, self._retries, tuple(self._messages))

    def close(self) -> None:
        """Stop trying and hang up; :meth:`drain` first, or what is under way may be lost."""
        self._stopping.set()
        self._channel.close()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> OtlpSender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self.close()

    def _send(
        self,
        call: _Call,
        request: bytes | ExportTraceServiceRequest | ExportLogsServiceRequest,
        records: int,
        acknowledged: Callable[[], None] | None,
    ) -> None:
        payload = request if isinstance(request, bytes) else request.SerializeToString()
        if len(payload) > MAX_REQUEST_BYTES:
            raise InvalidInputError(
                f"A request of {len(payload)} bytes is larger than {MAX_REQUEST_BYTES}.",
                hint="Send fewer records per request.",
                field="request",
            )
        self._places.acquire()
        try:
            self._raise_failure()
            future = self._workers.submit(self._deliver, call, payload, records, acknowledged)
        except BaseException:
            self._places.release()
            raise
        with self._lock:
            self._pending.add(future)
        future.add_done_callback(self._settle)

    def _settle(self, future: Future[None]) -> None:
        with self._lock:
            self._pending.discard(future)
            if not future.cancelled():
                self._failure = self._failure or future.exception()
        self._places.release()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _deliver(
        self,
        call: _Call,
        payload: bytes,
        records: int,
        acknowledged: Callable[[], None] | None,
    ) -> None:
        pause = Pause(random.Random())  # noqa: S311 - jitter is no secret
        started = time.monotonic()
        while True:
            try:
                response: _Response = call(
                    payload, timeout=REQUEST_TIMEOUT_SECONDS, metadata=self._metadata
                )
            except grpc.RpcError as error:
                answer = classify(error)
                if not answer.retry:
                    self._refuse(answer, records)
                    break
                self._wait_before_retry(answer, pause, started)
            else:
                self._take(response, records)
                break
        if acknowledged is not None:
            acknowledged()

    def _take(self, response: _Response, records: int) -> None:
        partial = response.partial_success
        refused = getattr(partial, "rejected_spans", 0) or getattr(
            partial, "rejected_log_records", 0
        )
        with self._lock:
            self._answered = True
            self._accepted += records - refused
            self._rejected += refused
            self._note(partial.error_message)

    def _refuse(self, answer: Answer, records: int) -> None:
        if answer.unauthenticated:
            raise AuthenticationError(
                f"The receiver at {self._endpoint} refused to take telemetry: {answer.message}",
                hint="Check the headers it wants.",
            )
        if answer.no_receiver:
            raise UnavailableError(
                f"What answers at {self._endpoint} is no OTLP receiver: {answer.message}",
                hint="OTLP over gRPC is usually port 4317; 4318 is OTLP over HTTP.",
            )
        with self._lock:
            self._answered = True
            self._rejected += records
            self._note(f"{answer.code}: {answer.message}")

    def _note(self, message: str) -> None:
        if message and len(self._messages) < MAX_MESSAGES:
            self._messages[message] = None

    def _wait_before_retry(self, answer: Answer, pause: Pause, started: float) -> None:
        with self._lock:
            self._retries += 1
            self._answered = self._answered or answer.from_receiver
            answered = self._answered
        patience = self._give_up_after_seconds
        if not answered:
            patience = min(patience, FIRST_ANSWER_SECONDS)
        seconds = pause.next_seconds(answer.retry_after_seconds)
        gone = self._failure is not None or time.monotonic() - started + seconds > patience
        if gone or self._stopping.wait(seconds):
            verb = "answers no more" if answered else "does not answer"
            raise UnavailableError(
                f"The OTLP receiver at {self._endpoint} {verb}: {answer.message}",
                hint="Start it (mlp-analyzer serve), or name another one with --endpoint.",
            )
