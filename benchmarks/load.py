"""Simulated telemetry in requests of an SDK's size, and a sender that sends them at a pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.simulate import World, load_scenario

GIVE_UP_SECONDS = 900.0
"""Longer than everything that is done to the receiver takes together."""

Payload = tuple[str, bytes, int]
"""The kind of data, the request, how many records."""


def payloads(limit: int, size: int) -> Iterator[Payload]:
    """Yield the simulated platform's telemetry in requests of an SDK's size."""
    left = limit
    for kind, request, records in World(load_scenario("paper-2020"), seed=1).batches():
        if left <= 0:
            return
        left -= records
        yield from _cut(kind, request, size)


def _cut(kind: str, request: bytes, size: int) -> Iterator[Payload]:
    whole: Any = (
        ExportTraceServiceRequest if kind == "traces" else ExportLogsServiceRequest
    ).FromString(request)
    for resource in whole.resource_spans if kind == "traces" else whole.resource_logs:
        for scope in resource.scope_spans if kind == "traces" else resource.scope_logs:
            records = list(scope.spans if kind == "traces" else scope.log_records)
            for start in range(0, len(records), size):
                part = type(whole)()
                group = (part.resource_spans if kind == "traces" else part.resource_logs).add()
                group.resource.CopyFrom(resource.resource)
                inner = (group.scope_spans if kind == "traces" else group.scope_logs).add()
                inner.scope.CopyFrom(scope.scope)
                taken = records[start : start + size]
                (inner.spans if kind == "traces" else inner.log_records).extend(taken)
                yield kind, part.SerializeToString(), len(taken)


class Load:
    """Sends payloads at a steady pace, each until it is accepted."""

    def __init__(self, address: str, load: list[Payload], seconds: float) -> None:
        self._load = load
        self._seconds = seconds
        self._total = sum(records for _, _, records in load)
        self._lock = threading.Lock()
        self._allowed = 0.0
        self.accepted = 0
        self.retries = 0
        self.failure: BaseException | None = None
        self._sender = OtlpSender(address, give_up_after_seconds=GIVE_UP_SECONDS)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def allow(self, share: float) -> None:
        """Let it go on up to this share: what is to happen under load finds some left."""
        self._allowed = share

    def wait_for(self, share: float) -> None:
        """Return when this share is accepted."""
        while self.accepted < share * self._total and self._thread.is_alive():
            time.sleep(0.02)

    def close(self) -> None:
        """Stop, wherever it is."""
        self._allowed = 1.0
        self._sender.close()

    def end(self) -> None:
        """Return when all is accepted."""
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            sender, begun, sent = self._sender, time.monotonic(), 0
            for kind, request, records in self._load:
                due = begun + self._seconds * sent / self._total
                time.sleep(max(0.0, due - time.monotonic()))
                while sent > self._allowed * self._total:
                    time.sleep(0.02)
                send = sender.send_traces if kind == "traces" else sender.send_logs
                send(request, records=records, acknowledged=lambda n=records: self._count(n))
                sent += records
            self.retries = sender.drain().retries
        except BaseException as error:  # told by end()
            self.failure = error

    def _count(self, records: int) -> None:
        with self._lock:
            self.accepted += records
