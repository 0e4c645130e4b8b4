"""Telemetry of real processes arrives over OTLP, stamped, however the process ends."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from otel_instrumentation.privacy import pseudonym

SALT = "a salt of the integration tests"
ANN = pseudonym("ann", SALT)
STAMPS = {"user.hash": ANN, "session.id": "s1", "mlp.team": "search", "mlp.schema.version": "1"}


class Received:
    """What a receiver got: name and attributes of each span and record, and the resources."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, object]]] = []
        self.records: list[tuple[str, dict[str, object]]] = []
        self.resources: list[dict[str, object]] = []
        self.trace_ids: list[bytes] = []

    def take_traces(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        for resource_spans in request.resource_spans:
            self.resources.append(plain(resource_spans.resource.attributes))
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self.spans.append((span.name, plain(span.attributes)))
                    self.trace_ids.append(span.trace_id)

    def take_logs(self, request: logs_service_pb2.ExportLogsServiceRequest) -> None:
        for resource_logs in request.resource_logs:
            self.resources.append(plain(resource_logs.resource.attributes))
            for scope_logs in resource_logs.scope_logs:
                for record in scope_logs.log_records:
                    self.records.append((record.event_name, plain(record.attributes)))

    def span(self, name: str) -> dict[str, object]:
        (found,) = [attributes for other, attributes in self.spans if other == name]
        return found

    def record(self, name: str) -> dict[str, object]:
        (found,) = [attributes for other, attributes in self.records if other == name]
        return found


def plain(attributes) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@pytest.fixture
def grpc_receiver() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):  # noqa: N802 - the service's name
            received.take_traces(request)
            return trace_service_pb2.ExportTraceServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request, context):  # noqa: N802 - the service's name
            received.take_logs(request)
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", received
    server.stop(None).wait()


@pytest.fixture
def http_receiver() -> Iterator[tuple[str, Received]]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                received.take_traces(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            else:
                assert self.path == "/v1/logs"
                received.take_logs(logs_service_pb2.ExportLogsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    serving.join()
    server.server_close()


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process whose environment says nothing else about telemetry."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "MLP_ANALYZER_"))
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env=inherited | {"OTEL_MLP_USER_SALT": SALT} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


EVERYTHING = """
    import asyncio, sys, threading
    from concurrent.futures import ThreadPoolExecutor
    from opentelemetry import trace
    import otel_instrumentation as mlp

    mlp.configure(service_name="notebook", component="kernel")

    def foreign(name):
        trace.get_tracer("another library").start_span(name).end()

    @mlp.operation("coroutine")
    async def coroutine():
        await asyncio.to_thread(foreign, "to_thread")
        await asyncio.create_task(task())

    async def task():
        mlp.view("page")

    with mlp.scope(user="ann", session="s1", team="search", stage="model_training"):
        foreign("main")
        mlp.click("run")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(mlp.propagate(foreign), "pool").result()
        thread = threading.Thread(target=mlp.propagate(foreign), args=("thread",))
        thread.start()
        thread.join()
        asyncio.run(coroutine())
        try:
            with mlp.operation("failing"):
                raise LookupError("nothing there")
        except LookupError:
            pass
        {end}
"""


def check_everything(received: Received) -> None:
    names = {"main", "pool", "thread", "to_thread", "coroutine", "failing"}
    assert {name for name, _ in received.spans} == names
    assert len(received.spans) == len(names)
    assert sorted(name for name, _ in received.records) == [
        "app.widget.click",
        "exception",
        "mlp.view",
    ]
    stamps = STAMPS | {"mlp.stage": "model_training", "mlp.component": "kernel"}
    for name, attributes in (*received.spans, *received.records):
        assert attributes.items() >= stamps.items(), name
    for _, attributes in received.records:
        assert len(attributes["log.record.uid"]) == 32
    assert received.span("failing")["error.type"] == "LookupError"
    assert all(resource["service.name"] == "notebook" for resource in received.resources)


@pytest.mark.parametrize(
    ("end", "status"),
    [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError('the end')", 1)],
    ids=["return", "exit", "exception"],
)
def test_everything_arrives_over_grpc_however_the_process_ends(grpc_receiver, end, status):
    endpoint, received = grpc_receiver
    ran = run(EVERYTHING.format(end=end), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert ran.returncode == status, ran.stderr
    assert ("ValueError: the end" in ran.stderr) == (status == 1)
    check_everything(received)


def test_everything_arrives_over_http(http_receiver):
    endpoint, received = http_receiver
    ran = run(
        EVERYTHING.format(end="pass"),
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    check_everything(received)


def test_each_signal_has_its_own_protocol_and_endpoint(grpc_receiver, http_receiver):
    to_grpc, over_grpc = grpc_receiver
    to_http, over_http = http_receiver
    ran = run(
        EVERYTHING.format(end="pass"),
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=to_grpc,
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{to_http}/v1/logs",
        OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="http/protobuf",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (len(over_grpc.spans), len(over_grpc.records)) == (6, 0)
    assert (len(over_http.spans), len(over_http.records)) == (0, 3)


def test_environment_names_service_stage_component_and_team(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import otel_instrumentation as mlp
        mlp.configure()
        with mlp.operation("work"):
            mlp.action("said")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_SERVICE_NAME="feature-store",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging",
        OTEL_MLP_STAGE="feature_engineering",
        OTEL_MLP_COMPONENT="store",
        OTEL_MLP_TEAM="ads",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    expected = {"mlp.stage": "feature_engineering", "mlp.component": "store", "mlp.team": "ads"}
    assert received.span("work").items() >= expected.items()
    assert received.record("mlp.action").items() >= expected.items()
    for resource in received.resources:
        assert resource["service.name"] == "feature-store"
        assert resource["deployment.environment.name"] == "staging"


def test_empty_variables_are_unset_ones(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import os
        import otel_instrumentation as mlp
        mlp.configure()
        assert os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] == ""
        with mlp.operation("work"):
            mlp.action("said")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="",
        OTEL_EXPORTER_OTLP_TIMEOUT="",
        OTEL_EXPORTER_OTLP_HEADERS="",
        OTEL_EXPORTER_OTLP_PROTOCOL="",
        OTEL_TRACES_EXPORTER="",
        OTEL_TRACES_SAMPLER="",
        OTEL_BSP_SCHEDULE_DELAY=" ",
        OTEL_MLP_STAGE="",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert received.span("work").keys().isdisjoint({"mlp.stage", "mlp.component"})
    assert received.record("mlp.action")


def test_arguments_go_before_the_environment(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import otel_instrumentation as mlp
        mlp.configure(service_name="said", stage="said")
        with mlp.operation("work"):
            pass
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_SERVICE_NAME="environment",
        OTEL_MLP_STAGE="environment",
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert received.resources[0]["service.name"] == "said"
    assert received.span("work")["mlp.stage"] == "said"


def test_a_second_process_continues_the_trace_and_the_user(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import json, subprocess, sys
        from opentelemetry import propagate
        import otel_instrumentation as mlp
        child = '''
        import json, sys
        from opentelemetry import context, propagate
        import otel_instrumentation as mlp
        mlp.configure(service_name="child")
        context.attach(propagate.extract(json.loads(sys.argv[1])))
        with mlp.operation("inside"):
            pass
        '''
        mlp.configure(service_name="parent")
        with mlp.scope(user="ann", session="s1", team="search", stage="data_collection"):
            with mlp.operation("outside"):
                carrier = {}
                propagate.inject(carrier)
                import textwrap
                subprocess.run([sys.executable, "-c", textwrap.dedent(child), json.dumps(carrier)],
                               check=True)
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert received.span("inside").items() >= STAMPS.items()
    assert received.span("inside")["mlp.stage"] == "data_collection"
    assert len(set(received.trace_ids)) == 1


def test_providers_that_somebody_else_set_up_stay_and_get_the_stamps(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        from opentelemetry import _logs, trace
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        import otel_instrumentation as mlp

        traces = TracerProvider(resource=Resource.create({"service.name": "theirs"}))
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(traces)
        logs = LoggerProvider(resource=Resource.create({"service.name": "theirs"}))
        # Sends at once: a stamp that came after it would not arrive.
        logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
        _logs.set_logger_provider(logs)

        mlp.configure(service_name="ours", component="kernel")
        assert trace.get_tracer_provider() is traces
        assert _logs.get_logger_provider() is logs
        with mlp.user("ann"):
            trace.get_tracer("another library").start_span("foreign").end()
            _logs.get_logger("another library").emit(event_name="line")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    for attributes in (received.span("foreign"), received.record("line")):
        assert attributes.items() >= {"user.hash": ANN, "mlp.component": "kernel"}.items()
    assert {resource["service.name"] for resource in received.resources} == {"theirs"}


def test_log_records_join_the_resource_of_traces_that_somebody_else_set_up(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        import otel_instrumentation as mlp
        resource = Resource.create({"service.name": "theirs"})
        trace.set_tracer_provider(TracerProvider(resource=resource))
        mlp.configure(service_name="ours")
        mlp.click("run")
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert received.record("app.widget.click")
    assert received.resources[0]["service.name"] == "theirs"


def test_flush_sends_what_is_queued_before_a_hard_end(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import os
        import otel_instrumentation as mlp
        mlp.configure()
        with mlp.operation("work"):
            pass
        assert mlp.flush()
        os._exit(0)
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert ran.returncode == 0, ran.stderr
    assert received.span("work")


def test_seeded_programs_send_different_traces(grpc_receiver):
    endpoint, received = grpc_receiver
    for _ in range(2):
        ran = run(
            """
            import random
            import otel_instrumentation as mlp
            mlp.configure()
            random.seed(42)
            with mlp.operation("train"):
                pass
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
    assert len(set(received.trace_ids)) == 2


def test_receiver_that_is_down_holds_the_end_up_for_seconds_only():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        started = time.monotonic()
        ran = run(
            EVERYTHING.format(end="print('all done')"),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{taken.getsockname()[1]}",
        )
        took = time.monotonic() - started
    assert ran.returncode == 0
    assert ran.stdout == "all done\n"
    assert took < 12


def test_two_configurations_are_one_and_the_second_warns(grpc_receiver):
    endpoint, received = grpc_receiver
    ran = run(
        """
        import otel_instrumentation as mlp
        mlp.configure(stage="first")
        mlp.configure(stage="second")
        with mlp.operation("work"):
            pass
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert ran.returncode == 0
    assert "changes nothing" in ran.stderr
    assert received.span("work")["mlp.stage"] == "first"


def test_console_and_none_and_unknown_exporters():
    program = """
        import otel_instrumentation as mlp
        mlp.configure()
        with mlp.operation("work"):
            mlp.click("run")
    """
    console = run(program, OTEL_TRACES_EXPORTER="console", OTEL_LOGS_EXPORTER="none")
    assert (console.returncode, console.stderr) == (0, "")
    assert json.loads(console.stdout)["name"] == "work"
    nothing = run(program, OTEL_TRACES_EXPORTER="none", OTEL_LOGS_EXPORTER="none")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")
    unknown = run(program, OTEL_TRACES_EXPORTER="pigeon", OTEL_LOGS_EXPORTER="none")
    assert unknown.returncode == 0
    assert "OTEL_TRACES_EXPORTER names 'pigeon'" in unknown.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_MLP_STAGE", "x" * 1000, "OTEL_MLP_STAGE"),
        ("OTEL_MLP_USER_SALT", "short", "OTEL_MLP_USER_SALT"),
        ("OTEL_MLP_RAISE", "yes", "OTEL_MLP_RAISE"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    ],
)
def test_bad_values_warn_and_the_program_goes_on(variable, value, said):
    ran = run(
        """
        import otel_instrumentation as mlp
        mlp.configure()
        print("went on")
        """,
        **{variable: value},
    )
    assert (ran.returncode, ran.stdout) == (0, "went on\n")
    assert said in ran.stderr


def test_disabled_sdk_sends_nothing_and_the_program_goes_on():
    ran = run(
        EVERYTHING.format(end="print('all done')"),
        OTEL_SDK_DISABLED="true",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "all done\n", "")


def test_program_that_never_configures_goes_on():
    ran = run(EVERYTHING.replace("mlp.configure(", "dict(").format(end="print('all done')"))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "all done\n", "")


def test_importing_the_library_loads_nothing_heavy():
    ran = run(
        """
        import sys
        import otel_instrumentation
        from otel_instrumentation import semconv
        heavy = {"chdb", "sklearn", "pandas", "pyarrow", "numpy", "clickhouse_connect", "grpc",
                 "google.protobuf", "opentelemetry.sdk", "requests", "analyzer_service"}
        print(sorted(heavy & sys.modules.keys()))
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "[]\n")
