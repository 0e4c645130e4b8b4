"""From accepted requests to stored rows: merging, refusals, a store that fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from ingest_support import log, logs, traces
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from store_fixture import fresh_store

from analyzer_service.ingest import Receiver
from analyzer_service.store.connect import Store
from analyzer_service.store.writer import RawWriter
from tests.integration.receiver_support import (
    COUNTER,
    LOGS,
    PROTOBUF,
    SETTINGS,
    Running,
    fresh_span,
    running_receiver,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_store(tmp_path_factory.mktemp("ingest")) as opened:
        yield opened


@pytest.fixture
def running(store: Store) -> Iterator[Running]:
    with running_receiver(store) as receiver:
        yield receiver


def test_sending_again_changes_nothing(running: Running) -> None:
    request = traces(*(fresh_span() for _ in range(20))).SerializeToString()
    for _ in range(3):
        running.export(request)
    assert running.rows("SELECT count() FROM otel_traces FINAL") == [(20,)]
    assert running.rows("SELECT count() FROM signals FINAL") == [(20,)]


def test_many_senders_at_once_over_both_protocols(running: Running) -> None:
    senders, requests, records = 6, 8, 25

    def send(number: int) -> None:
        for _ in range(requests):
            spans = traces(*(fresh_span() for _ in range(records))).SerializeToString()
            events = logs(*(log({"log.record.uid": f"{next(COUNTER)}"}) for _ in range(records)))
            if number % 2:
                running.export(spans)
                running.export(events.SerializeToString(), LOGS, ExportLogsServiceResponse)
            else:
                assert running.post("/v1/traces", spans).status == 200
                assert running.post("/v1/logs", events.SerializeToString()).status == 200

    threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = senders * requests * records
    assert running.rows("SELECT count() FROM otel_traces FINAL") == [(expected,)]
    assert running.rows("SELECT count() FROM otel_logs FINAL") == [(expected,)]
    statistics = running.receiver.statistics
    for counted in (statistics.traces, statistics.logs):
        assert (counted.received, counted.stored) == (expected, expected)
        assert counted.requests == senders * requests


def test_statistics(running: Running) -> None:
    running.export(traces(fresh_span(), fresh_span(trace_id=b"")).SerializeToString())
    counted = running.receiver.statistics.traces
    assert (counted.received, counted.stored, dict(counted.rejected)) == (2, 1, {"trace_id": 1})
    assert counted.requests == 1
    assert running.receiver.statistics.logs.received == 0


class Gated(RawWriter):
    """A writer whose inserts wait for permission, and are counted."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.gate = threading.Event()
        self.inserts = 0

    def write_whole(self, *arguments: Any, **named: Any) -> bool:
        self.inserts += 1
        assert self.gate.wait(20)
        return super().write_whole(*arguments, **named)


def _gated(store: Store) -> tuple[Gated, Running]:
    store.execute("TRUNCATE TABLE otel_traces")
    sink = Gated(store)
    receiver = Receiver(sink, settings=SETTINGS)
    receiver.start()
    return sink, Running(store, receiver)


def _send(running: Running, requests: int, answers: list[Any]) -> list[threading.Thread]:
    def send() -> None:
        answers.append(running.export(traces(fresh_span()).SerializeToString()))

    threads = [threading.Thread(target=send) for _ in range(requests)]
    for thread in threads:
        thread.start()
    return threads


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_that_wait_become_one_insert_and_none_is_answered_early(store: Store) -> None:
    sink, running = _gated(store)
    answers: list[Any] = []
    threads = _send(running, 1, answers)
    _until(lambda: sink.inserts == 1)
    threads += _send(running, 12, answers)
    waiting = running.receiver._committers[0]._waiting
    _until(lambda: len(waiting) == 12)
    assert answers == []
    sink.gate.set()
    for thread in threads:
        thread.join()
    assert len(answers) == 13
    assert sink.inserts == 2
    assert running.rows("SELECT count() FROM otel_traces") == [(13,)]
    running.receiver.stop(1)


def test_stopping_stores_what_was_under_way(store: Store) -> None:
    sink, running = _gated(store)
    answers: list[Any] = []
    threads = _send(running, 3, answers)
    _until(lambda: sink.inserts)
    stopping = threading.Thread(target=running.receiver.stop, args=(10,))
    stopping.start()
    sink.gate.set()
    stopping.join()
    for thread in threads:
        thread.join()
    assert running.rows("SELECT count() FROM otel_traces") == [(len(answers),)]
    assert len(answers) == 3


def test_one_record_that_can_never_be_stored_delays_nothing(running: Running) -> None:
    running.store.execute(
        "ALTER TABLE otel_traces ADD CONSTRAINT poison CHECK SpanName != 'poison'"
    )
    try:
        answers: list[Any] = []
        threads = _send(running, 5, answers)
        said = {"user.email": "alice@example.org", "kept": "yes"}
        bad = traces(fresh_span(), fresh_span(said, name="poison"), fresh_span())
        answer = running.export(bad.SerializeToString())
        threads += _send(running, 5, answers)
        for thread in threads:
            thread.join()
    finally:
        running.store.execute("ALTER TABLE otel_traces DROP CONSTRAINT poison")
    assert answer.partial_success.rejected_spans == 1
    assert all(not other.partial_success.error_message for other in answers)
    assert running.rows("SELECT count() FROM otel_traces") == [(12,)]
    ((source, reason, record),) = running.rows("SELECT source, reason, record FROM rejected")
    assert (source, reason) == ("traces", "violated_constraint")
    assert json.loads(record)["SpanAttributes"] == {"kept": "yes"}
    assert running.receiver.statistics.traces.rejected == {"store": 1}


class Dissecting(RawWriter):
    """A writer that holds a refused request back while it is taken apart."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.begun = threading.Event()
        self.finish = threading.Event()

    def write(self, *arguments: Any, **named: Any) -> Any:
        self.begun.set()
        assert self.finish.wait(20)
        return super().write(*arguments, **named)


def test_a_request_that_is_taken_apart_holds_up_only_its_own_sender(store: Store) -> None:
    store.execute("TRUNCATE TABLE otel_traces")
    sink = Dissecting(store)
    running = Running(store, Receiver(sink, settings=SETTINGS))
    running.receiver.start()
    store.execute("ALTER TABLE otel_traces ADD CONSTRAINT poison CHECK SpanName != 'poison'")
    try:
        refused: list[Any] = []
        spans = [fresh_span(name="poison" if n % 3 == 0 else "good") for n in range(30)]
        bad = traces(*spans).SerializeToString()
        sender = threading.Thread(target=lambda: refused.append(running.export(bad)))
        sender.start()
        assert sink.begun.wait(20)
        answers: list[Any] = []
        for thread in _send(running, 8, answers):
            thread.join()
        assert len(answers) == 8
        assert running.rows("SELECT count() FROM otel_traces") == [(8,)]
        assert refused == []
        sink.finish.set()
        sender.join()
    finally:
        sink.finish.set()
        store.execute("ALTER TABLE otel_traces DROP CONSTRAINT poison")
        running.receiver.stop(5)
    assert refused[0].partial_success.rejected_spans == 10
    assert running.rows("SELECT count() FROM otel_traces") == [(28,)]


def test_a_store_that_fails_asks_senders_to_try_again(running: Running) -> None:
    request = traces(fresh_span()).SerializeToString()
    running.store.execute("RENAME TABLE otel_traces TO away")
    try:
        with pytest.raises(grpc.RpcError) as caught:
            running.export(request)
        status = rpc_status.from_call(caught.value)
        answer = running.post("/v1/traces", request, PROTOBUF)
        in_json = running.post(
            "/v1/traces",
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101",'
            b'"spanId":"0101010101010101"}]}]}]}',
            "application/json",
        )
    finally:
        running.store.execute("RENAME TABLE away TO otel_traces")
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    retry = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.seconds > 0
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) == retry.retry_delay.seconds
    assert status_pb2.Status.FromString(answer.body).code == 14
    assert in_json.status == 503
    assert running.receiver.statistics.traces.refused == {"store_failed": 3}
    running.export(request)
    assert running.rows("SELECT count() FROM otel_traces") == [(1,)]


def test_a_full_queue_asks_senders_to_slow_down(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("analyzer_service.ingest.commit.QUEUE_WAIT_SECONDS", 0.05)
    sink, running = _gated(store)
    committer = running.receiver._committers[0]
    committer._queue_bytes = 1
    answers: list[Any] = []
    threads = _send(running, 1, answers)
    _until(lambda: sink.inserts)
    threads += _send(running, 1, answers)
    _until(lambda: len(committer._waiting) == 1)
    request = traces(fresh_span()).SerializeToString()
    answer = running.post("/v1/traces", request)
    assert answer.status == 429
    assert answer.headers["Retry-After"]
    with pytest.raises(grpc.RpcError) as caught:
        running.export(request)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    sink.gate.set()
    for thread in threads:
        thread.join()
    assert len(answers) == 2
    assert running.receiver.statistics.traces.refused == {"overloaded": 2}
    running.receiver.stop(1)
