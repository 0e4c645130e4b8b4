"""A running receiver over a real store, and the plainest of clients."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from ingest_support import SALT, span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.store.connect import Store
from analyzer_service.store.writer import RawWriter

PROTOBUF = "application/x-protobuf"
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService"
METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"
LIMIT = 1024 * 1024
"""A small limit keeps the tests of it quick."""

SETTINGS = IngestSettings(
    grpc_address="127.0.0.1:0",
    http_address="127.0.0.1:0",
    salt=SALT,
    max_body_bytes=LIMIT,
    cors_origins=("https://hub.example.org",),
)


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    store: Store
    receiver: Receiver

    def post(self, path: str, body: bytes, content_type: str = PROTOBUF, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {"Content-Type": content_type, **named})

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        url = f"http://127.0.0.1:{self.receiver.http_port}{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def export(self, payload: bytes, service: str = TRACES, response: Any = None) -> Any:
        response = ExportTraceServiceResponse if response is None else response
        with grpc.insecure_channel(
            f"127.0.0.1:{self.receiver.grpc_port}",
            options=(("grpc.max_send_message_length", -1),),
        ) as channel:
            call = channel.unary_unary(
                f"/{service}/Export", response_deserializer=response.FromString
            )
            return call(payload, timeout=30)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.store.query(sql)


@contextmanager
def running_receiver(store: Store) -> Iterator[Running]:
    """Start a receiver over a store whose tables are emptied first."""
    for table in ("otel_traces", "otel_logs", "rejected", "signals"):
        store.execute(f"TRUNCATE TABLE {table}")
    receiver = Receiver(RawWriter(store), settings=SETTINGS)
    receiver.start()
    try:
        yield Running(store, receiver)
    finally:
        receiver.stop(1)


COUNTER = iter(range(1, 1_000_000))


def fresh_span(said: dict[str, object] | None = None, **fields: Any) -> Any:
    """A span with an id of its own: what is sent twice is stored once."""
    return span(said, **{"span_id": next(COUNTER).to_bytes(8, "big"), **fields})
