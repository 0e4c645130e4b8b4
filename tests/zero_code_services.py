"""The services of examples/zero-code for tests: started as their owners would, and a relay for time.

Nothing here knows the instrumentation library: the services run under ``opentelemetry-instrument``
with stock instrumentations and standard variables.
"""

from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from collector_program import free_ports
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "zero-code"
PAGE = (ROOT / "docs" / "zero-code.md").read_text(encoding="utf-8")
PROGRAMS = ("opentelemetry-instrument", "flask", "uvicorn", "celery")
OURS = "mlp_analyzer"
START_SECONDS = 60
STOP_SECONDS = 30
ARRIVAL_SECONDS = 120
DAY_NS = 86_400 * 10**9
NEVER_NS = 2**63
HEADER = "X-Forwarded-User"
PORTS = ("8001", "8002")
"""What the page's services listen on."""


def blocks(language: str = "bash") -> list[str]:
    """Return the code blocks of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def exported() -> dict[str, str]:
    """Return the variables that the page sets for every service."""
    return dict(re.findall(r"^export (\w+)=(\S*)$", PAGE, re.MULTILINE))


def started() -> dict[str, list[str]]:
    """Return the page's command by service, without what comes before the program."""
    found = re.findall(
        r"^OTEL_SERVICE_NAME=(\S+) opentelemetry-instrument (.*) &$", PAGE, re.MULTILINE
    )
    return {service: shlex.split(command) for service, command in found}


def variables(endpoint: str, conventions: str | None, folder: Path) -> dict[str, str]:
    """Return the page's variables with an address, perhaps other conventions, and a queue of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_"))}
    said = exported()
    return kept | {
        **said,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SEMCONV_STABILITY_OPT_IN": said["OTEL_SEMCONV_STABILITY_OPT_IN"]
        if conventions is None
        else conventions,
        # Tests should not wait for the usual five seconds.
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "QUEUE_FOLDER": str(folder / "queue"),
    }


def environment_without_ours(folder: Path) -> Path:
    """Make an environment in which all is installed but this project; returns its programs' folder.

    Here it is installed, with its entry points, and ``opentelemetry-instrument`` would find them.
    """
    venv.EnvBuilder(symlinks=True).create(folder)
    here, there = (Path(sysconfig.get_path("purelib", vars=names)) for names in ({}, base(folder)))
    for installed in here.iterdir():
        if OURS not in installed.name:
            (there / installed.name).symlink_to(installed)
    programs = folder / "bin"
    for name in PROGRAMS:
        _, rest = (Path(sys.executable).parent / name).read_text(encoding="utf-8").split("\n", 1)
        (programs / name).write_text(f"#!{programs / 'python'}\n{rest}", encoding="utf-8")
        (programs / name).chmod(0o755)
    return programs


def base(folder: Path) -> dict[str, str]:
    return {"base": str(folder), "platbase": str(folder)}


@dataclass
class ZeroCode:
    """A Flask program, a FastAPI program and, while one is wanted, a Celery worker."""

    folder: Path
    endpoint: str
    conventions: str | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.features_port, self.jobs_port = free_ports(2)
        self._programs = environment_without_ours(self.folder / "environment")
        self._environment = {
            **variables(self.endpoint, self.conventions, self.folder),
            "FEATURES_URL": f"http://127.0.0.1:{self.features_port}",
        }
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for service in ("feature-store", "training-api"):
                starting.enter_context(self._program(service))
            for port in (self.features_port, self.jobs_port):
                self._wait_for(port)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def ported(self, text: str) -> str:
        """Return a piece of the page with the ports these services have."""
        for written, port in zip(PORTS, (self.features_port, self.jobs_port), strict=True):
            text = text.replace(written, str(port))
        return text

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Work on the jobs in the queue."""
        with self._program("trainer"):
            yield

    def features(self, method: str, path: str, *, user: str = "") -> int:
        return request(self.features_port, method, path, user)

    def jobs(self, method: str, path: str, *, user: str = "") -> int:
        return request(self.jobs_port, method, path, user)

    @contextmanager
    def _program(self, service: str) -> Iterator[None]:
        program, *arguments = map(self.ported, started()[service])
        with (self.folder / f"{service}.log").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [self._programs / "opentelemetry-instrument", self._programs / program, *arguments],
                env={**self._environment, "OTEL_SERVICE_NAME": service},
                cwd=EXAMPLE,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            # As Ctrl-C does, so that what is queued is sent.
            process.send_signal(signal.SIGINT)
            process.wait(timeout=STOP_SECONDS)

    def _wait_for(self, port: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(file.read_text()[-2000:] for file in sorted(self.folder.glob("*.log")))


def request(port: int, method: str, path: str, user: str) -> int:
    """Send one request as a proxy would that has checked who asks; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, headers={HEADER: user} if user else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


class Relay:
    """Passes OTLP on to several receivers, unchanged but for time.

    Spans that began before ``yesterday_ends`` (the wall clock, in nanoseconds) are passed on as if
    everything in them had happened a day earlier: people are judged by more than one day, and a test
    has no two days to wait.
    """

    def __init__(self, *receivers: str) -> None:
        self.receivers = receivers
        self.yesterday_ends = NEVER_NS
        self.spans: Counter[tuple[str, str]] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        """Name and kind of value of every attribute that came."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, service: str, kind: str) -> int:
        with self._lock:
            return self.spans[service, kind]

    def wait_for(self, service: str, kind: str, wanted: int, zero_code: ZeroCode) -> None:
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while self.count(service, kind) < wanted:
            found = f"{self.count(service, kind)} of {wanted} {kind} spans of {service}"
            assert time.monotonic() < deadline, f"{found}\n{zero_code.logs()}"
            time.sleep(0.1)
        assert self.count(service, kind) == wanted

    def pass_on(self, payload: bytes) -> None:
        batch = ExportTraceServiceRequest.FromString(payload)
        seen: Counter[tuple[str, str]] = Counter()
        attributes: set[tuple[str, str]] = set()
        for group in batch.resource_spans:
            said = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            for span in (span for scope in group.scope_spans for span in scope.spans):
                seen[said["service.name"], Span.SpanKind.Name(span.kind)[10:]] += 1
                attributes |= {(a.key, str(a.value.WhichOneof("value"))) for a in span.attributes}
                if span.start_time_unix_nano < self.yesterday_ends:
                    span.start_time_unix_nano -= DAY_NS
                    span.end_time_unix_nano -= DAY_NS
                    for event in span.events:
                        event.time_unix_nano -= DAY_NS
        changed = batch.SerializeToString()
        for receiver in self.receivers:
            deliver(receiver, changed)
        with self._lock:
            self.spans.update(seen)
            self.attributes |= attributes

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                relay.pass_on(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def deliver(receiver: str, payload: bytes) -> None:
    address = urlsplit(receiver)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.request(
            "POST", "/v1/traces", payload, {"Content-Type": "application/x-protobuf"}
        )
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    finally:
        connection.close()
