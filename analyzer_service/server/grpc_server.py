"""The gRPC server: the API, health and reflection on one port."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from analyzer_service.api.v1 import analyzer_pb2, analyzer_pb2_grpc
from analyzer_service.domain import AnalysisRequest
from analyzer_service.errors import SettingsError
from analyzer_service.server.access import SERVICE, Guard
from analyzer_service.server.interface import AnalyzerInterface
from analyzer_service.server.servicer import Servicer
from analyzer_service.server.tokens import Tokens

MAX_CALLS: Final = 64
"""Calls at once, a thread each (they mostly wait for the engine); one more is refused at once
instead of waiting behind streams that may last for hours."""
GRACE_SECONDS: Final = 2.0
"""How long calls may go on when the server stops."""
QUERY_MAX_ROWS: Final = 100_000

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a server that speaks TLS."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """With it, clients must show a certificate of these authorities (mTLS)."""

    def credentials(self) -> grpc.ServerCredentials:
        """Return what gRPC wants.

        Raises:
            SettingsError: A file cannot be read.
        """
        try:
            pair = (self.key.read_bytes(), self.certificate.read_bytes())
            authorities = self.client_ca.read_bytes() if self.client_ca else None
        except OSError as error:
            raise SettingsError(
                f"{error.filename} cannot be read: {error.strerror}.",
                field="tls_certificate_file",
            ) from error
        return grpc.ssl_server_credentials(
            [pair], root_certificates=authorities, require_client_auth=authorities is not None
        )


class GrpcServer:
    """Serves an Analyzer over gRPC between ``start`` and ``stop``, or as a context manager."""

    def __init__(
        self,
        analyzer: AnalyzerInterface,
        *,
        host: str = "127.0.0.1",
        port: int = 50051,
        tokens: Tokens | None,
        tls: TlsFiles | None = None,
        defaults: AnalysisRequest | None = None,
        query_max_rows: int = QUERY_MAX_ROWS,
    ) -> None:
        """Prepare the server.

        Args:
            analyzer: What answers.
            host: Address to listen on.
            port: Port to listen on; 0: any free one.
            tokens: Who may call; None: everybody, and the log says so.
            tls: With it the server speaks TLS.
            defaults: What an analysis runs with where its request says nothing.
            query_max_rows: Most rows one query returns.
        """
        self._address = f"[{host}]" if ":" in host else host
        self._wanted_port = port
        self._tls = tls
        self._warn(host, tokens)
        self._executor = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._executor,
            interceptors=[Guard(tokens)],
            # Without this a second service would share the port and take every other call.
            options=(("grpc.so_reuseport", 0),),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        self._health = health.HealthServicer()
        servicer = Servicer(
            analyzer, defaults=defaults or AnalysisRequest(), query_max_rows=query_max_rows
        )
        analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (
                analyzer_pb2.DESCRIPTOR.services_by_name["AnalyzerService"].full_name,
                health.SERVICE_NAME,
                reflection.SERVICE_NAME,
            ),
            self._server,
        )
        self.port = 0

    def start(self) -> None:
        """Listen; ``port`` is the real port from then on.

        Raises:
            SettingsError: The port is taken, or a TLS file cannot be used.
        """
        target = f"{self._address}:{self._wanted_port}"
        try:
            if self._tls is None:
                self.port = self._server.add_insecure_port(target)
            else:
                self.port = self._server.add_secure_port(target, self._tls.credentials())
        except RuntimeError as error:
            raise SettingsError(
                f"Nothing can listen on {target}: it is taken or not allowed.",
                hint="Choose another with --grpc-port; 0 takes any free one.",
                field="grpc_port",
            ) from error
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Say so to health checks, let calls end for a moment, and stop."""
        self._health.enter_graceful_shutdown()
        self._server.stop(GRACE_SECONDS).wait()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _warn(self, host: str, tokens: Tokens | None) -> None:
        if tokens is None:
            _LOG.warning(
                "AUTHENTICATION IS OFF: whoever reaches %s:%s reads rows about single persons.",
                self._address,
                self._wanted_port,
            )
        if self._tls is None and host not in _LOOPBACK:
            _LOG.warning("%s is not loopback and TLS is off: tokens travel in clear.", host)
