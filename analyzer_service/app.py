"""The composition root: the only place that builds objects from settings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest
from analyzer_service.endpoint import Endpoint, EndpointSettings
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.scheduler import Scheduler
from analyzer_service.server.grpc_server import GrpcServer, TlsFiles
from analyzer_service.server.tokens import Role, Tokens, load_tokens
from analyzer_service.settings import Settings
from analyzer_service.store.connect import Store, open_store
from analyzer_service.store.gate import QueryLimits
from analyzer_service.store.migrations import migrate
from analyzer_service.store.signal_map.keeper import install_signal_map
from analyzer_service.store.turned_away import TurnedAway
from analyzer_service.store.writer import RawWriter
from otel_instrumentation import semconv


@contextmanager
def open_ready_store(settings: Settings) -> Iterator[Store]:
    """Open the store of the settings with its schema and signal map in place."""
    if settings.store.startswith("chdb:///"):
        settings.state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_store(
        settings.store, engine_threads=settings.engine_threads, cluster=settings.cluster
    ) as store:
        migrate(store)
        install_signal_map(store)
        yield store


@contextmanager
def open_analyzer(settings: Settings) -> Iterator[Analyzer]:
    """Open an Analyzer on a store that no service has open."""
    with open_ready_store(settings) as store:
        analyzer = _analyzer(store, settings)
        try:
            yield analyzer
        finally:
            analyzer.close()


class Service:
    """The whole service: store, OTLP receiver, analyzer, scheduler and gRPC server."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the service; nothing is opened before ``start``."""
        self._settings = settings
        self._running = ExitStack()
        self._stopped = threading.Event()
        self.grpc_port = 0
        self.otlp_grpc_port = 0
        self.otlp_http_port = 0
        self.clickhouse_port = 0

    def start(self) -> None:
        """Open the store and listen; the ports are the real ones from then on.

        Raises:
            AnalyzerError: Whatever keeps it from starting; nothing is left open.
        """
        with ExitStack() as opening:
            self._open(opening)
            self._running = opening.pop_all()

    def _open(self, stack: ExitStack) -> None:
        settings = self._settings
        store = stack.enter_context(open_ready_store(settings))
        analyzer = _analyzer(store, settings)
        stack.callback(analyzer.close)
        request = AnalysisRequest(rule_set=settings.rule_set, preset=settings.preset)
        if settings.interval_ms:
            scheduler = Scheduler(analyzer, request, interval_seconds=settings.interval_ms / 1000)
            scheduler.start()
            stack.callback(scheduler.stop)
        tokens = load_tokens(settings.state_folder) if settings.authenticated else None
        server = GrpcServer(
            analyzer,
            host=settings.host,
            port=settings.grpc_port,
            tokens=tokens,
            tls=_tls(settings),
            defaults=request,
            query_max_rows=settings.query_max_rows,
        )
        stack.enter_context(server)
        turned_away = TurnedAway(store, SystemClock())
        turned_away.start()
        stack.callback(turned_away.stop)
        receiver = Receiver(RawWriter(store), settings=_ingest(settings), turned_away=turned_away)
        receiver.start()
        stack.callback(receiver.stop)
        if store.embedded:
            # A server's own clients reach it without us.
            endpoint = _endpoint(store, settings, tokens, turned_away)
            endpoint.start()
            stack.callback(endpoint.stop)
            self.clickhouse_port = endpoint.port
        self.grpc_port = server.port
        self.otlp_grpc_port = receiver.grpc_port
        self.otlp_http_port = receiver.http_port
        store.announce(f"{settings.host}:{server.port}")

    def stop(self) -> None:
        """Stop listening, finish what was accepted, close the store."""
        self._stopped.set()
        self._running.close()

    def wait(self) -> None:
        """Return when somebody has called ``stop``."""
        self._stopped.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _analyzer(store: Store, settings: Settings) -> Analyzer:
    return Analyzer(store, SystemClock(), stages=semconv.STAGES, limits=_limits(settings))


def _limits(settings: Settings) -> QueryLimits:
    return QueryLimits(
        result_rows=settings.query_max_rows,
        seconds=settings.query_timeout_ms / 1000,
        memory_bytes=settings.query_max_memory_bytes,
    )


def _endpoint(
    store: Store, settings: Settings, tokens: Tokens | None, turned_away: TurnedAway
) -> Endpoint:
    def role_of(_user: str, token: str) -> str | None:
        return Role.OPERATOR if tokens is None else tokens.role_of(token)

    return Endpoint(
        store,
        settings=EndpointSettings(
            address=f"{settings.host}:{settings.clickhouse_port}",
            allowed_hosts=settings.allowed_hosts,
            limits=_limits(settings),
            engine_threads=settings.engine_threads,
        ),
        authenticate=role_of,
        turned_away=turned_away,
    )


def _ingest(settings: Settings) -> IngestSettings:
    return IngestSettings(
        grpc_address=f"{settings.host}:{settings.otlp_grpc_port}",
        http_address=f"{settings.host}:{settings.otlp_http_port}",
        salt=settings.salt(),
        identity_headers=settings.identity_headers,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
    )


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    return TlsFiles(
        certificate=settings.tls_certificate_file,
        key=settings.tls_key_file,
        client_ca=settings.tls_client_ca_file,
    )
