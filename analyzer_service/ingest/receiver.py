"""The receiver as a whole: two servers, a writer for each kind, what they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer_service.clock import Clock, SystemClock
from analyzer_service.errors import SettingsError, UnavailableError
from analyzer_service.ingest import answers, tables
from analyzer_service.ingest.answers import Signal
from analyzer_service.ingest.attributes import AttributeReader
from analyzer_service.ingest.commit import Committer, RawSink
from analyzer_service.ingest.grpc_server import Accepts, GrpcServer
from analyzer_service.ingest.http_access import Access
from analyzer_service.ingest.http_server import HttpServer
from analyzer_service.ingest.identity import Identity
from analyzer_service.ingest.logs import LogRows
from analyzer_service.ingest.metrics import MetricsPipeline
from analyzer_service.ingest.pipeline import Pipeline
from analyzer_service.ingest.settings import IngestSettings
from analyzer_service.ingest.spans import SpanRows
from analyzer_service.ingest.statistics import Forgotten, IngestStatistics, TurnedAwaySink

DEFAULT_GRACE_SECONDS: Final = 5.0
"""What requests under way get when the service stops: their insert takes far less."""


class Receiver:
    """Receives OTLP and writes it to a sink.

    The ports are bound on construction, so that ``grpc_port`` and ``http_port`` are known before
    anything is served; :meth:`start` begins to serve, :meth:`stop` ends after storing what came.
    """

    def __init__(
        self,
        sink: RawSink,
        *,
        settings: IngestSettings,
        clock: Clock | None = None,
        turned_away: TurnedAwaySink | None = None,
    ) -> None:
        """Bind the ports.

        Raises:
            SettingsError: An address is not ``host:port``.
            UnavailableError: A port is taken.
        """
        self._committers = tuple(
            Committer(sink, table) for table in (tables.TRACES, tables.LOGS, tables.METRICS)
        )
        clock = SystemClock() if clock is None else clock
        attributes = AttributeReader(settings.identity_headers)
        identity = Identity(attributes, settings.salt)
        spans, logs, metrics = self._committers
        self._traces = Pipeline(SpanRows, spans, attributes, identity, clock)
        self._logs = Pipeline(LogRows, logs, attributes, identity, clock)
        self._metrics = MetricsPipeline(metrics, attributes)
        pipelines: Mapping[Signal, Accepts] = {
            answers.TRACES: self._traces,
            answers.LOGS: self._logs,
            answers.METRICS: self._metrics,
        }
        turned_away = Forgotten() if turned_away is None else turned_away
        self._http = _http_server(settings, pipelines, turned_away)
        self._grpc = _grpc_server(settings, pipelines, turned_away, self._http)

    @property
    def grpc_port(self) -> int:
        """The port of OTLP/gRPC."""
        return self._grpc.port

    @property
    def http_port(self) -> int:
        """The port of OTLP/HTTP."""
        return self._http.port

    @property
    def statistics(self) -> IngestStatistics:
        """What came and what became of it, since the start."""
        return IngestStatistics(
            traces=self._traces.counters.snapshot(),
            logs=self._logs.counters.snapshot(),
            metrics=self._metrics.counters.snapshot(),
        )

    def start(self) -> None:
        """Begin to receive."""
        for committer in self._committers:
            committer.start()
        self._grpc.start()
        self._http.start()

    def stop(self, grace: float = DEFAULT_GRACE_SECONDS) -> None:
        """Stop after so many seconds for requests under way, storing all that came."""
        self._http.stop(grace)
        self._grpc.stop(grace)
        for committer in self._committers:
            committer.stop()


def _http_server(
    settings: IngestSettings, pipelines: Mapping[Signal, Accepts], turned_away: TurnedAwaySink
) -> HttpServer:
    host, port = _address("http_address", settings.http_address)
    _address("grpc_address", settings.grpc_address)
    access = Access(settings.allowed_hosts, settings.cors_origins, turned_away)
    try:
        return HttpServer(
            host,
            port,
            pipelines,
            access=access,
            max_body_bytes=settings.max_body_bytes,
            turned_away=turned_away,
        )
    except OSError as error:
        raise _taken("OTLP/HTTP", settings.http_address, error) from None


def _grpc_server(
    settings: IngestSettings,
    pipelines: Mapping[Signal, Accepts],
    turned_away: TurnedAwaySink,
    http: HttpServer,
) -> GrpcServer:
    try:
        return GrpcServer(
            settings.grpc_address,
            pipelines,
            max_body_bytes=settings.max_body_bytes,
            turned_away=turned_away,
        )
    except RuntimeError as error:
        http.stop(0)
        raise _taken("OTLP/gRPC", settings.grpc_address, error) from None


def _address(field: str, address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError(
            f"{field} {address!r} is not an address.",
            hint="Write host:port, such as 127.0.0.1:4317.",
            field=field,
        )
    return host.strip("[]"), int(port)


def _taken(protocol: str, address: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{protocol} cannot listen on {address}: {error}.",
        hint="Another program may have the port; choose another one, or 0 for any free one.",
    )
