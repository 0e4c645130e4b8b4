"""What was acknowledged is there after the process was killed, and sending again adds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from ingest_support import span, traces

from analyzer_service.store.connect import open_store

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SENDERS = 4
SPANS = 50

SERVICE = """
import sys, threading
from analyzer_service.ingest import IngestSettings, Receiver
from analyzer_service.store.connect import open_store
from analyzer_service.store.migrations import migrate
from analyzer_service.store.writer import RawWriter

store = open_store(sys.argv[1])
migrate(store)
receiver = Receiver(RawWriter(store), settings=IngestSettings("127.0.0.1:0", "127.0.0.1:0"))
receiver.start()
print(receiver.grpc_port, flush=True)
threading.Event().wait()
"""


class Service:
    """The receiver in a process of its own, to be killed."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, url], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Sender(threading.Thread):
    """Sends requests one after the other until the service is gone; keeps what was acknowledged."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__()
        self._number = number
        self._port = port
        self.sent: list[bytes] = []
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            call: Any = channel.unary_unary(EXPORT)
            while True:
                ids = [
                    (self._number << 48 | len(self.sent) << 16 | one).to_bytes(8, "big")
                    for one in range(1, SPANS + 1)
                ]
                request = traces(*(span(span_id=one) for one in ids)).SerializeToString()
                self.sent.append(request)
                try:
                    call(request, timeout=10)
                except grpc.RpcError:
                    return
                self.acknowledged.update(one.hex() for one in ids)


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'store'}"
    service = Service(url)
    senders = [Sender(number, service.port) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while min(len(sender.acknowledged) for sender in senders) < 4 * SPANS:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    service.kill()
    for sender in senders:
        sender.join()
    acknowledged = set().union(*(sender.acknowledged for sender in senders))

    with open_store(url) as store:
        survived = {one for (one,) in store.query("SELECT SpanId FROM otel_traces")}
    assert acknowledged <= survived

    again = Service(url)
    with grpc.insecure_channel(f"127.0.0.1:{again.port}") as channel:
        for sender in senders:
            for request in sender.sent:
                channel.unary_unary(EXPORT)(request, timeout=10)
    again.kill()

    with open_store(url) as store:
        counts = store.query(
            "SELECT (SELECT count() FROM otel_traces FINAL), (SELECT count() FROM signals FINAL)"
        )
    expected = SPANS * sum(len(sender.sent) for sender in senders)
    assert counts == [(expected, expected)]
