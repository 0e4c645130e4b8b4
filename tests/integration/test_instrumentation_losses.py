"""Telemetry waits on disk while nobody takes it, and what is lost is counted and told."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.integration.otlp_capture import Capture, plain, plain_attributes, receiving

SALT = "a salt of the integration tests"
SECONDS = 60
PROLOGUE = """
    import os, sys, time
    from opentelemetry import trace
    import otel_instrumentation as mlp
    mlp.configure(service_name="program")
    foreign = trace.get_tracer("another library")
"""


def start(program: str, endpoint: str, **variables: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_ANALYZER_"))}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROLOGUE) + textwrap.dedent(program)],
        env=kept
        | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{endpoint}", "OTEL_MLP_USER_SALT": SALT}
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def run(program: str, endpoint: str, **variables: str) -> tuple[int, str]:
    process = start(program, endpoint, **variables)
    _, errors = process.communicate(timeout=SECONDS)
    return process.returncode, errors


def names(capture: Capture) -> list[str]:
    return [span.name for span in capture.spans()]


def told(capture: Capture) -> dict[tuple[str, str], int]:
    """Return the last value of each counter, by name and reason of the loss, over all processes."""
    last: dict[tuple[object, ...], int] = {}
    for request in capture.metrics:
        for resource in request.resource_metrics:
            instance = plain_attributes(resource.resource.attributes)["service.instance.id"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.sum.is_monotonic
                    assert metric.sum.aggregation_temporality == 2
                    for point in metric.sum.data_points:
                        key = plain_attributes(point.attributes)
                        what = (instance, metric.name, tuple(sorted(key.items())))
                        last[what] = point.as_int
    totals: Counter[tuple[str, str]] = Counter()
    for (_, name, attributes), value in last.items():
        totals[str(name), str(dict(attributes).get("error.type", ""))] += value
    return dict(totals)


def spans_of(body: bytes) -> list[Span]:
    capture = Capture()
    capture.traces.append(ExportTraceServiceRequest.FromString(body))
    return capture.spans()


def spooling(folder: Path) -> dict[str, str]:
    return {"OTEL_MLP_SPOOL_FOLDER": str(folder)}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def free_endpoint() -> tuple[str, int]:
    with receiving() as capture:
        return capture.endpoint, capture.port


THREE = """
    for number in range(3):
        with mlp.operation(f"work{number}"):
            mlp.click("said")
"""


def test_a_process_takes_over_what_one_before_it_could_not_send(tmp_path):
    endpoint, port = free_endpoint()
    status, errors = run(THREE, endpoint, **spooling(tmp_path))
    assert (status, "Traceback" in errors) == (0, False)
    assert files(tmp_path)
    with receiving(port=port) as capture:
        assert run("foreign.start_span('later').end()", endpoint, **spooling(tmp_path))[0] == 0
        assert names(capture) == ["work0", "work1", "work2", "later"]
        assert (
            len(
                [
                    r
                    for q in capture.logs
                    for rs in q.resource_logs
                    for s in rs.scope_logs
                    for r in s.log_records
                ]
            )
            == 3
        )
        assert capture.metrics == []
    assert files(tmp_path) == []


def test_sigkill_loses_the_unspooled_tail_alone(tmp_path):
    endpoint, port = free_endpoint()
    program = THREE + "    print('emitted', flush=True)\n    time.sleep(60)\n"
    process = start(program, endpoint, **spooling(tmp_path))
    assert process.stdout.readline() == "emitted\n"
    deadline = time.monotonic() + SECONDS
    while not all(
        any(
            each.stat().st_size
            for each in tmp_path.glob(f"{signal_}-*/*/*.o*")
            if each.suffix in {".open", ".otlp"}
        )
        or list(tmp_path.glob(f"{signal_}-*/*/*.sending"))
        for signal_ in ("traces", "logs")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with receiving(port=port) as capture:
        assert run("mlp.view('next')", endpoint, **spooling(tmp_path))[0] == 0
        assert names(capture) == ["work0", "work1", "work2"]
    assert files(tmp_path) == []


def test_a_running_program_sends_when_the_receiver_is_back(tmp_path):
    endpoint, port = free_endpoint()
    program = (
        THREE
        + """
    assert mlp.flush(1) is False
    print("emitted", flush=True)
    sys.stdin.readline()
    while not mlp.flush(5):
        time.sleep(0.1)
    """
    )
    process = start(program, endpoint, **spooling(tmp_path))
    assert process.stdout.readline() == "emitted\n"
    with receiving(port=port) as capture:
        process.communicate("\n", timeout=SECONDS)
        assert process.returncode == 0
        assert names(capture) == ["work0", "work1", "work2"]
    assert files(tmp_path) == []


def test_what_the_receiver_refuses_is_dropped_told_and_blocks_nothing(tmp_path):
    def refuse_the_first(number, context):
        if number == 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    program = """
    foreign.start_span("refused").end()
    mlp.flush()
    foreign.start_span("taken").end()
    """
    with receiving(Capture(refuse_the_first)) as capture:
        assert run(program, capture.endpoint, **spooling(tmp_path))[0] == 0
        assert names(capture) == ["taken"]
        assert told(capture)["otel.sdk.exporter.span.exported", "refused"] == 1
        assert told(capture)["otel.sdk.exporter.span.exported", ""] == 1
    assert files(tmp_path) == []


def test_a_burst_larger_than_the_queue_waits_for_the_disk(tmp_path):
    program = """
    with mlp.user("ann"):
        for number in range(10_000):
            mlp.click("said")
    """
    endpoint, port = free_endpoint()
    assert run(program, endpoint, **spooling(tmp_path))[0] == 0
    with receiving(port=port) as capture:
        assert run("mlp.flush(30)", endpoint, **spooling(tmp_path))[0] == 0
        records = [
            r
            for q in capture.logs
            for rs in q.resource_logs
            for s in rs.scope_logs
            for r in s.log_records
        ]
        assert (
            len({plain_attributes(record.attributes)["log.record.uid"] for record in records})
            == 10_000
        )
        assert told(capture) == {}


def test_a_spool_that_is_full_drops_the_oldest_and_says_so(tmp_path):
    program = """
    for number in range(400):
        foreign.start_span(f"work{number:03d}", attributes={"a": "x" * 500}).end()
        if number % 20 == 0:
            trace.get_tracer_provider()._active_span_processor._span_processors[1]._batch_processor.force_flush()
    print("emitted", flush=True)
    sys.stdin.readline()
    while not mlp.flush(5):
        time.sleep(0.1)
    """
    endpoint, port = free_endpoint()
    process = start(program, endpoint, **spooling(tmp_path), OTEL_MLP_SPOOL_MAX_BYTES="65536")
    assert process.stdout.readline() == "emitted\n"
    with receiving(port=port) as capture:
        process.communicate("\n", timeout=SECONDS)
        arrived = names(capture)
        lost = told(capture)["otel.sdk.exporter.span.exported", "spool_full"]
        assert arrived == [f"work{number:03d}" for number in range(400 - len(arrived), 400)]
        assert len(arrived) + lost == 400
        assert lost > 0


def test_losses_without_a_spool_are_told_by_reason():
    failing = {"now": True}

    def fail(number, context):
        if failing["now"]:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

    program = """
    for number in range(30):
        foreign.start_span("failed").end()
    mlp.flush()
    print("failed", flush=True)
    sys.stdin.readline()
    for number in range(500):
        foreign.start_span("many").end()
    """
    with receiving(Capture(fail)) as capture:
        process = start(
            program,
            capture.endpoint,
            OTEL_BSP_MAX_QUEUE_SIZE="40",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="40",
        )
        assert process.stdout.readline() == "failed\n"
        failing["now"] = False
        process.communicate("\n", timeout=SECONDS)
        counted = told(capture)
        assert counted["otel.sdk.exporter.span.exported", "export_failed"] == 30
        arrived = len(capture.spans())
        assert counted["otel.sdk.exporter.span.exported", ""] == arrived
        dropped = counted["otel.sdk.processor.span.processed", "queue_full"]
        # The SDK looks at its queue before it adds to it: now and then it counts one too many.
        assert 500 <= dropped + arrived <= 520


def test_nobody_is_told_where_metrics_are_switched_off_or_nothing_is_lost():
    def fail(number, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

    with receiving(Capture(fail)) as capture:
        run(THREE, capture.endpoint, OTEL_METRICS_EXPORTER="none")
        assert capture.metrics == []
    with receiving() as capture:
        run(THREE, capture.endpoint)
        assert len(capture.spans()) == 3
        assert capture.metrics == []


@pytest.mark.parametrize("spool", [False, True])
def test_a_record_that_cannot_be_encoded_costs_nothing_but_itself(tmp_path, spool):
    program = r"""
    for name in ("before", "broken \udcff", "after"):
        foreign.start_span(name).end()
    """
    with receiving() as capture:
        run(program, capture.endpoint, **(spooling(tmp_path) if spool else {}))
        assert sorted(names(capture)) == ["after", "before"]
        lost = {reason: n for (_, reason), n in told(capture).items() if reason}
        assert list(lost.values()) == [1]


def test_forked_children_count_for_themselves(tmp_path):
    def fail(number, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

    program = """
    import multiprocessing
    def child(number):
        foreign.start_span("child").end()
    if __name__ == "__main__":
        foreign.start_span("parent").end()
        mlp.flush()
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=child, args=(n,)) for n in range(3)]
        for each in children:
            each.start()
        for each in children:
            each.join()
    """
    with receiving(Capture(fail)) as capture:
        assert run(program, capture.endpoint)[0] == 0
        assert told(capture)["otel.sdk.exporter.span.exported", "export_failed"] == 4
        instances = {
            plain(attribute.value)
            for request in capture.metrics
            for resource in request.resource_metrics
            for attribute in resource.resource.attributes
            if attribute.key == "service.instance.id"
        }
        assert len(instances) == 4


def test_a_child_forked_in_the_middle_of_a_call_sends_nothing_and_lives():
    def slow(number, context):
        time.sleep(4)

    program = """
    foreign.start_span("parent").end()
    import threading
    threading.Thread(target=mlp.flush).start()
    time.sleep(0.5)
    child = os.fork()
    if child == 0:
        foreign.start_span("child").end()
        mlp.flush()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """
    with receiving(Capture(slow)) as capture:
        status, errors = run(program, capture.endpoint)
        assert status == 0, errors
        assert "forked while its parent was sending" in errors
        assert names(capture) == ["parent"]


def test_over_http_a_busy_receiver_is_asked_again_and_a_refusal_is_final(tmp_path):
    statuses = [503, 400, 200]
    bodies: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            status = statuses.pop(0) if statuses else 200
            if self.path == "/v1/traces":
                bodies.append((status, body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    program = """
    foreign.start_span("first").end()
    while not mlp.flush():
        time.sleep(0.1)
    foreign.start_span("second").end()
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        status, errors = run(
            program,
            f"127.0.0.1:{server.server_port}",
            **spooling(tmp_path),
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )
        server.shutdown()
        serving.join()
    assert status == 0, errors
    found = [(status, [span.name for span in spans_of(body)]) for status, body in bodies]
    assert found == [(503, ["first"]), (400, ["first"]), (200, ["second"])]
    assert files(tmp_path) == []


def test_processes_share_a_folder_and_what_killed_ones_left_arrives_once(tmp_path):
    program = """
    import signal
    children = []
    for child in range(4):
        if (pid := os.fork()) == 0:
            for number in range(50):
                foreign.start_span(f"{child}-{number:02d}").end()
            mlp.flush(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    foreign.start_span("parent").end()
    """
    endpoint, port = free_endpoint()
    assert run(program, endpoint, **spooling(tmp_path))[0] == 0
    with receiving(port=port) as capture:
        running = [start("mlp.flush(20)", endpoint, **spooling(tmp_path)) for _ in range(3)]
        for process in running:
            process.communicate(timeout=SECONDS)
        arrived = names(capture)
    wanted = [f"{child}-{number:02d}" for child in range(4) for number in range(50)]
    assert sorted(arrived) == sorted([*wanted, "parent"])
    for child in range(4):
        own = [name for name in arrived if name.startswith(f"{child}-")]
        assert own == sorted(own)
    assert files(tmp_path) == []


def test_a_disk_that_fails_lets_telemetry_pass_it(tmp_path):
    folder = tmp_path / "taken"
    folder.write_text("no folder")
    with receiving() as capture:
        status, errors = run(THREE, capture.endpoint, **spooling(folder))
        assert (status, "cannot be written to the spool" in errors) == (0, True)
        assert names(capture) == ["work0", "work1", "work2"]
        assert capture.metrics == []
