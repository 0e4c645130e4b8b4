from __future__ import annotations

import socket
import threading
import time

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer_service.errors import AuthenticationError, InvalidInputError, UnavailableError
from analyzer_service.otlp import encode
from analyzer_service.otlp import sender as sender_module
from analyzer_service.otlp.sender import MAX_REQUEST_BYTES, OtlpSender
from tests.integration.otlp_capture import Capture, receiving, try_again_after

RESOURCE = encode.resource({"service.name": "test"})
SCOPE = encode.scope("test", "1")


def request(*numbers: int) -> bytes:
    spans = [
        encode.span(
            trace_id=number.to_bytes(16),
            span_id=number.to_bytes(8),
            name="work",
            start_ns=number,
            end_ns=number + 1,
        )
        for number in numbers
    ]
    return encode.traces_request(RESOURCE, SCOPE, spans)


def numbers(capture: Capture) -> list[int]:
    return [int.from_bytes(span.span_id) for span in capture.spans()]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_everything_arrives_and_is_counted() -> None:
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        for number in range(1, 101):
            sender.send_traces(request(2 * number, 2 * number + 1), records=2)
        sender.send_traces(ExportTraceServiceRequest.FromString(request(1)), records=1)
        record = encode.log_record(event_name="mlp.view", time_ns=5)
        sender.send_logs(encode.logs_request(RESOURCE, SCOPE, [record]), records=1)
        summary = sender.drain()
    assert sorted(numbers(capture)) == list(range(1, 202))
    assert capture.logs[0].resource_logs[0].scope_logs[0].log_records[0].event_name == "mlp.view"
    assert (summary.accepted, summary.rejected, summary.retries) == (202, 0, 0)
    assert summary.messages == ()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://127.0.0.1:{}", "http://127.0.0.1:{}/"])
def test_forms_of_an_endpoint(form: str) -> None:
    with receiving() as capture, OtlpSender(form.format(capture.port)) as sender:
        sender.send_traces(request(1), records=1)
        assert sender.drain().accepted == 1


@pytest.mark.parametrize(
    "endpoint", ["", "ftp://x:1", "host:port", "http://h:4317/v1/traces", "h:70000", "http://[::1"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInputError, match="HOST:PORT") as caught:
        OtlpSender(endpoint)
    assert caught.value.field == "endpoint"


def test_a_busy_receiver_is_asked_again_when_it_says_so() -> None:
    times: list[float] = []

    def busy_twice(number: int, context: grpc.ServicerContext) -> None:
        times.append(time.monotonic())
        if number == 1:
            try_again_after(context, grpc.StatusCode.RESOURCE_EXHAUSTED, 0.4)
        if number == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")

    with receiving(Capture(busy_twice)) as capture, OtlpSender(capture.endpoint) as sender:
        sender.send_traces(request(1), records=1)
        summary = sender.drain()
    assert numbers(capture) == [1]
    assert (summary.accepted, summary.retries) == (1, 2)
    assert times[1] - times[0] >= 0.4


def test_a_refused_request_is_counted_and_not_repeated() -> None:
    def refuse_first(number: int, context: grpc.ServicerContext) -> None:
        if number == 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "spans are too blue")
        if number == 2:
            # without RetryInfo this is final
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too large")

    with (
        receiving(Capture(refuse_first)) as capture,
        OtlpSender(capture.endpoint, max_in_flight=1) as sender,
    ):
        for number in (1, 2, 3):
            sender.send_traces(request(number), records=1)
        summary = sender.drain()
    assert numbers(capture) == [3]
    assert (summary.accepted, summary.rejected, summary.retries) == (1, 2, 0)
    assert summary.messages == (
        "INVALID_ARGUMENT: spans are too blue",
        "RESOURCE_EXHAUSTED: too large",
    )


def test_partial_success_is_counted_with_its_message_once() -> None:
    with (
        receiving(Capture(lambda *_: "one span without an id")) as capture,
        OtlpSender(capture.endpoint) as sender,
    ):
        for number in (1, 3):
            sender.send_traces(request(number, number + 1), records=2)
        summary = sender.drain()
    assert (summary.accepted, summary.rejected) == (2, 2)
    assert summary.messages == ("one span without an id",)


def test_headers_reach_the_receiver_and_a_refusal_of_them_is_said() -> None:
    def check(number: int, context: grpc.ServicerContext) -> None:
        if number == 2:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")

    with receiving(Capture(check)) as capture:
        sender = OtlpSender(capture.endpoint, headers={"Authorization": "Bearer x"})
        sender.send_traces(request(1), records=1)
        sender.drain()
        assert capture.metadata[0]["authorization"] == "Bearer x"
        sender.send_traces(request(2), records=1)
        with pytest.raises(AuthenticationError, match="no token"):
            sender.drain()
        with pytest.raises(AuthenticationError):
            sender.send_traces(request(3), records=1)
        sender.close()


def test_requests_are_held_back_while_too_many_are_under_way() -> None:
    gate = threading.Event()

    def wait(number: int, context: grpc.ServicerContext) -> None:
        assert gate.wait(10)

    with (
        receiving(Capture(wait)) as capture,
        OtlpSender(capture.endpoint, max_in_flight=2) as sender,
    ):
        for number in (1, 2):
            sender.send_traces(request(number), records=1)
        third = threading.Thread(
            target=sender.send_traces, args=(request(3),), kwargs={"records": 1}
        )
        third.start()
        third.join(0.3)
        assert third.is_alive()
        gate.set()
        third.join(10)
        assert sender.drain().accepted == 3
    assert sorted(numbers(capture)) == [1, 2, 3]


def test_acknowledgement_comes_only_with_the_answer() -> None:
    gate = threading.Event()
    acknowledged = threading.Event()

    def wait(number: int, context: grpc.ServicerContext) -> None:
        assert gate.wait(10)

    with receiving(Capture(wait)) as capture, OtlpSender(capture.endpoint) as sender:
        sender.send_traces(request(1), records=1, acknowledged=acknowledged.set)
        assert not acknowledged.wait(0.2)
        gate.set()
        sender.drain()
        assert acknowledged.is_set()


def test_a_receiver_that_starts_late_or_restarts_loses_nothing() -> None:
    port = free_port()
    sender = OtlpSender(f"127.0.0.1:{port}")
    sender.send_traces(request(1), records=1)
    time.sleep(0.3)
    with receiving(port=port) as first:
        deadline = time.monotonic() + 15
        while not first.traces and time.monotonic() < deadline:
            time.sleep(0.02)
    sender.send_traces(request(2), records=1)
    with receiving(port=port) as second:
        summary = sender.drain()
    sender.close()
    assert numbers(first) == [1]
    assert numbers(second) == [2]
    assert summary.accepted == 2
    assert summary.retries >= 1


def test_nobody_there_is_said_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "FIRST_ANSWER_SECONDS", 0.5)
    port = free_port()
    sender = OtlpSender(f"127.0.0.1:{port}")
    sender.send_traces(request(1), records=1)
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port} does not answer") as caught:
        sender.drain()
    assert "mlp-analyzer serve" in caught.value.hint
    sender.close()


def test_a_receiver_gone_for_good_is_given_up() -> None:
    with receiving() as capture:
        sender = OtlpSender(capture.endpoint, give_up_after_seconds=0.5)
        sender.send_traces(request(1), records=1)
        sender.drain()
    sender.send_traces(request(2), records=1)
    with pytest.raises(UnavailableError, match="answers no more"):
        sender.drain()
    sender.close()


def test_an_oversized_request_is_refused_before_it_leaves() -> None:
    with receiving() as capture, OtlpSender(capture.endpoint) as sender:
        with pytest.raises(InvalidInputError, match="fewer records"):
            sender.send_traces(b"x" * (MAX_REQUEST_BYTES + 1), records=1)
        sender.send_traces(request(1), records=1)
        assert sender.drain().accepted == 1


def interrupt(sender: OtlpSender) -> None:
    with sender:
        sender.send_traces(request(1), records=1)
        raise KeyboardInterrupt


def test_leaving_by_an_error_does_not_wait() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt(OtlpSender(f"127.0.0.1:{free_port()}"))
    assert time.monotonic() - started < 60  # a retrying sender waits for minutes
