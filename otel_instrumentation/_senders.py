"""Sends OTLP payloads that are encoded already, once, and says what came of it.

The SDK's exporters take records and keep the answer to themselves: what waits on disk is bytes,
and whether it may be tried again decides its fate. So the connection is the SDK's (endpoint,
TLS, headers, compression and credentials follow its variables) and the call is ours. The parts
of the exporters used here are not public; the end-to-end tests send through them.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any, Final

from otel_instrumentation import _exporters, _guard, _settings
from otel_instrumentation._forks import fork_aware, gate, speaks_grpc

SEND_SECONDS: Final = 10.0
"""As long as one export of the SDK, where ``OTEL_EXPORTER_OTLP_TIMEOUT`` says nothing else."""

GRPC_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""What a gRPC receiver takes at most, unless told otherwise: a larger payload never passes."""

_HTTP_REFUSED: Final = frozenset((400, 413, 415, 422))
"""The payload itself is at fault. Others (a wrong token, a wrong path, a server that fails) are
put right by somebody, and the payload waits for that: it is what the spool is for."""

_HTTP_NOT_TAKEN: Final = frozenset((404, 405, 501))


class Answer(enum.Enum):
    """What became of a payload."""

    ACCEPTED = "accepted"
    LATER = "later"
    REFUSED = "refused"
    NOT_TAKEN = "not_taken"
    """The receiver has no place for this kind of telemetry."""


class Sender:
    """Sends payloads of one signal; usable by one thread at a time.

    Args:
        signal: ``traces``, ``logs`` or ``metrics``.
        build: Makes an OTLP exporter of the SDK.
        seconds: How long one try may take, where the environment does not say.
    """

    def __init__(
        self, signal: str, build: Callable[[], Any], seconds: float = SEND_SECONDS
    ) -> None:
        self._build = fork_aware(build)
        self._exporter: Any = None
        self._seconds = _seconds(signal, seconds)
        self._signal = signal

    def send(self, payload: bytes) -> Answer:
        """Sends a payload once."""
        exporter = self._exporter
        if exporter is None:
            with _settings.empty_is_unset():
                exporter = self._exporter = self._build()
        if not speaks_grpc(exporter):
            answer = self._over_http(payload)
        elif gate.is_broken:
            answer = Answer.LATER
        else:
            answer = self._over_grpc(exporter, payload)
        if answer is Answer.LATER:
            # A channel that broke would wait longer and longer before it connects again.
            self.close()
        return answer

    def close(self) -> None:
        """Closes the connection; the next payload opens another."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.shutdown()

    def forget(self) -> None:
        """Drops a connection that belongs to the process this one was forked from."""
        self._exporter = None

    def _over_grpc(self, exporter: Any, payload: bytes) -> Answer:
        import grpc  # noqa: PLC0415 - loaded where it is used

        request = _request_of(self._signal).FromString(payload)
        try:
            exporter._client.Export(
                request=request, metadata=exporter._headers, timeout=self._seconds
            )
        except grpc.RpcError as error:
            failed: Any = error  # every error of a call has a code and details
            code = failed.code()
            self._tell(f"{code.name}: {failed.details()}")
            if code is grpc.StatusCode.INVALID_ARGUMENT:
                return Answer.REFUSED
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return Answer.NOT_TAKEN
            too_large = len(payload) >= GRPC_MESSAGE_BYTES
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED and too_large:
                return Answer.REFUSED
            return Answer.LATER
        return Answer.ACCEPTED

    def _over_http(self, payload: bytes) -> Answer:
        client = self._exporter._client
        result = client._submit(client._compress(payload), self._seconds)
        status = result.status_code
        if status is not None and 200 <= status < 300:  # noqa: PLR2004 - success, as HTTP has it
            return Answer.ACCEPTED
        self._tell(f"{status or ''} {result.reason or result.error or ''}".strip())
        if status in _HTTP_REFUSED:
            return Answer.REFUSED
        return Answer.NOT_TAKEN if status in _HTTP_NOT_TAKEN else Answer.LATER

    def _tell(self, why: str) -> None:
        if self._signal != _exporters.METRICS:
            _guard.warn_once(
                f"sending {self._signal}",
                "The receiver of %s does not take them (%s); trying again and again",
                self._signal,
                why,
            )


def _request_of(signal: str) -> Any:
    # Encoders load these anyway; importing the library must not.
    if signal == _exporters.TRACES:
        from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415
            trace_service_pb2 as traces,
        )

        return traces.ExportTraceServiceRequest
    if signal == _exporters.LOGS:
        from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415
            logs_service_pb2 as logs,
        )

        return logs.ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415
        metrics_service_pb2 as metrics,
    )

    return metrics.ExportMetricsServiceRequest


def count_records(signal: str, payload: bytes) -> int:
    """Counts the spans or log records of a payload; 0 where it cannot be read."""
    try:
        request = _request_of(signal).FromString(payload)
    except Exception as error:
        _guard.swallow("counting a payload", error)
        return 0
    if signal == _exporters.TRACES:
        return sum(
            len(scope.spans) for each in request.resource_spans for scope in each.scope_spans
        )
    return sum(
        len(scope.log_records) for each in request.resource_logs for scope in each.scope_logs
    )


def _seconds(signal: str, otherwise: float) -> float:
    variables = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    for variable in variables:
        try:
            return float(os.environ.get(variable, "")) or otherwise
        except ValueError:
            continue
    return otherwise
