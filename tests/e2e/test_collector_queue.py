"""What the Collector accepted arrives: after the service was killed, and after itself was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from collector_program import Collector, PinnedService, embedded, send, wait_for
from ingest_support import span, traces

from analyzer_service.otlp import encode

pytestmark = pytest.mark.e2e

START_NS = 1_767_571_200 * 10**9
SPANS = 100
STORED = "SELECT count() AS n FROM otel_traces"


def batches(first: int, last: int) -> tuple[bytes, ...]:
    return tuple(
        encode.traces_request(
            encode.resource({"service.name": "jobs"}),
            encode.scope("test"),
            [
                encode.span(
                    trace_id=(batch * SPANS + number + 1).to_bytes(16, "big"),
                    span_id=(batch * SPANS + number + 1).to_bytes(8, "big"),
                    name="train",
                    start_ns=START_NS + number,
                    end_ns=START_NS + number + 10**9,
                    attributes=encode.span_attributes({"user.id": f"person-{number}"}),
                )
                for number in range(SPANS)
            ],
        )
        for batch in range(first, last)
    )


def post(collector: Collector, payload: bytes) -> int:
    request = Request(
        f"http://127.0.0.1:{collector.http_port}/v1/traces",
        data=payload,
        headers={"Content-Type": "application/x-protobuf"},
    )
    try:
        with urlopen(request) as answer:
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PinnedService]:
    running = PinnedService(tmp_path / "service")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def collector(tmp_path: Path, service: PinnedService) -> Iterator[Collector]:
    running = embedded(tmp_path / "collector", service)
    running.start()
    yield running
    running.stop()


def test_the_service_is_killed_while_the_collector_accepts(
    service: PinnedService, collector: Collector
) -> None:
    send(collector.otlp, traces=batches(0, 5))
    service.kill()
    send(collector.otlp, traces=batches(5, 25))
    service.start()
    send(collector.otlp, traces=batches(25, 30))
    wait_for(service, f"{STORED} FINAL", 30 * SPANS, collector)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_collector_ends_while_the_service_is_away(
    service: PinnedService, collector: Collector, how: signal.Signals
) -> None:
    service.kill()
    send(collector.otlp, traces=batches(0, 20))
    collector.end(how)
    collector.start()
    send(collector.otlp, traces=batches(20, 25))
    service.start()
    wait_for(service, f"{STORED} FINAL", 25 * SPANS, collector)


def test_large_records_arrive_with_their_neighbours_and_larger_ones_are_refused_aloud(
    service: PinnedService, collector: Collector
) -> None:
    service.kill()  # so that everything meets in the queue
    large = span({"text": "x" * 7_000_000}, span_id=b"large...")
    too_large = span({"text": "x" * 8_500_000}, span_id=b"toolarge")
    near = [span({}, span_id=number.to_bytes(8, "big")) for number in range(1, 51)]
    send(collector.otlp, traces=batches(0, 5))
    assert post(collector, traces(large, *near).SerializeToString()) == 200
    send(collector.otlp, traces=batches(5, 10))
    assert 400 <= post(collector, traces(too_large).SerializeToString()) < 500
    service.start()
    wait_for(service, f"{STORED} FINAL", 51 + 10 * SPANS, collector)
