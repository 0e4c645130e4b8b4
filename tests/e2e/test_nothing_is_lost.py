"""Killed services, repeated deliveries, poison: every acknowledged record once, nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from programs import Program, Service

from analyzer_service.errors import UnavailableError
from analyzer_service.otlp import encode
from analyzer_service.otlp.sender import OtlpSender

pytestmark = pytest.mark.e2e

START_NS = int(datetime(2026, 1, 5, 9, tzinfo=UTC).timestamp()) * 10**9
SPANS = 200
BATCHES = 150


def payload(batch: int, *, order: int = 1, part: slice = slice(None)) -> bytes:
    spans = [
        encode.span(
            trace_id=(batch * SPANS + number + 1).to_bytes(16, "big"),
            span_id=(batch * SPANS + number + 1).to_bytes(8, "big"),
            name="train",
            start_ns=START_NS + batch * 10**9 + number,
            end_ns=START_NS + batch * 10**9 + number + 10**9,
            attributes=encode.span_attributes(
                {
                    "user.id": f"person-{number % 20}",
                    "mlp.stage": "model_training",
                    "mlp.component": "jobs",
                    "mlp.action": "submit_job",
                    "mlp.action.kind": "key",
                    "mlp.action.digest": f"{batch}-{number}",
                }
            ),
        )
        for number in range(SPANS)
    ]
    return encode.traces_request(
        encode.resource({"service.name": "jobs"}), encode.scope("test"), spans[part][::order]
    )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def service(program: Program) -> Iterator[Service]:
    with Service(program) as running:
        yield running


def test_kill_during_ingest_loses_nothing_that_was_acknowledged(program: Program) -> None:
    service = Service(program).start()
    acknowledged: set[int] = set()
    killed = threading.Event()

    def send() -> None:
        for batch in range(BATCHES):
            if killed.is_set():
                return
            try:
                with OtlpSender(service.otlp, give_up_after_seconds=1.0) as sender:
                    sender.send_traces(
                        payload(batch),
                        records=SPANS,
                        acknowledged=lambda batch=batch: acknowledged.add(batch),
                    )
            except UnavailableError:
                return  # the service died under it

    sending = threading.Thread(target=send)
    sending.start()
    while len(acknowledged) < 20:
        assert sending.is_alive() or len(acknowledged) >= 20, service.log()
        time.sleep(0.01)
    service.kill()
    killed.set()
    sending.join()
    with service:
        stored = service.count("SELECT count() AS n FROM otel_traces FINAL")
        assert stored >= len(acknowledged) * SPANS
        # The sender does what senders do: everything again.
        with OtlpSender(service.otlp) as sender:
            for batch in range(BATCHES):
                sender.send_traces(payload(batch), records=SPANS)
            assert sender.drain().accepted == BATCHES * SPANS
        assert_exactly_once(service)


def test_delivered_whole_recut_reordered_and_after_a_restart(program: Program) -> None:
    service = Service(program).start()
    with OtlpSender(service.otlp) as sender:
        for batch in range(BATCHES):
            sender.send_traces(payload(batch), records=SPANS)
        sender.drain()
        for batch in range(0, BATCHES, 3):
            sender.send_traces(payload(batch), records=SPANS)
            sender.send_traces(payload(batch + 1, order=-1), records=SPANS)
            for part in (slice(0, 77), slice(77, None)):
                sender.send_traces(payload(batch + 2, part=part), records=SPANS)
        sender.drain()
    assert_exactly_once(service)
    service.stop()
    with service, OtlpSender(service.otlp) as sender:
        for batch in range(0, BATCHES, 10):
            sender.send_traces(payload(batch), records=SPANS)
        sender.drain()
        assert_exactly_once(service)


def assert_exactly_once(service: Service) -> None:
    wanted = BATCHES * SPANS
    assert service.count("SELECT count() AS n FROM otel_traces FINAL") == wanted
    assert service.count("SELECT count() AS n FROM signals FINAL") == wanted
    service.json("analyze", "--rules", "paper")
    assert service.count("SELECT sum(attempts) AS n FROM attempts_daily") == wanted
    assert service.count("SELECT sum(times) AS n FROM repeats_daily") == wanted
    assert service.count("SELECT sum(signals) AS n FROM settled_days FINAL") == wanted
    assert (
        service.count(
            "SELECT count() AS n FROM otel_traces WHERE mapContains(SpanAttributes, 'user.id')"
        )
        == 0
    )


def test_a_second_process_is_sent_to_the_service(service: Service) -> None:
    done = service.program.attempt("status", "--store", service.program.store)
    assert done.returncode == 7
    sentences = [line for line in done.stderr.splitlines() if line.strip()]
    assert str(service.ports["pid"]) in done.stderr
    assert service.server in done.stderr
    assert "--server" in done.stderr
    assert len(sentences) <= 2


def test_a_service_that_gets_sigterm_stops_cleanly(program: Program) -> None:
    service = Service(program).start()
    with OtlpSender(service.otlp) as sender:
        sender.send_traces(payload(1), records=SPANS)
        sender.drain()
    service.stop()
    assert program.json(
        "sql", "SELECT count() AS n FROM otel_traces", "--store", program.store
    ) == [{"n": SPANS}]
