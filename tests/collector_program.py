"""The real Collector of collector-config/ for tests: built when missing, started on free ports."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from programs import START_SECONDS, Program, Service

from analyzer_service.otlp.sender import OtlpSender
from analyzer_service.server.client import RemoteAnalyzer

CONFIGURATIONS = Path(__file__).parents[1] / "collector-config"
OVERLAYS = ("agent", "gateway", "embedded")
SALT = "a-salt-of-the-tests_0123456789"
SAME_IDENTITY = {
    "MLP_ANALYZER_USER_SALT": SALT,
}
OWN_VARIABLES = ("OTEL_", "MLP_ANALYZER_", "MLP_COLLECTOR_")
BUILD_SECONDS = 1800
STOP_SECONDS = 60
UNTOLD = "failed to upload metrics"
ARRIVAL_SECONDS = 60


@functools.cache
def built() -> Path:
    """Build the Collector unless it is there; without Go, only CI insists."""
    done = subprocess.run(
        [CONFIGURATIONS / "build"],
        text=True,
        capture_output=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode and shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(done.stdout.splitlines()[-1])


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, all different."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclass
class Collector:
    """The Collector with base.yaml and one overlay, its queue in ``folder``."""

    folder: Path
    overlay: str
    variables: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.grpc_port, self.http_port, self.health_port, self.metrics_port = free_ports(4)

    @property
    def otlp(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OWN_VARIABLES)}
        return {
            **kept,
            "OTEL_MLP_USER_SALT": SALT,
            "MLP_COLLECTOR_QUEUE_FOLDER": str(self.folder / "queue"),
            "MLP_COLLECTOR_OTLP_GRPC": self.otlp,
            "MLP_COLLECTOR_OTLP_HTTP": f"127.0.0.1:{self.http_port}",
            "MLP_COLLECTOR_HEALTH": f"127.0.0.1:{self.health_port}",
            "MLP_COLLECTOR_METRICS_PORT": str(self.metrics_port),
            **self.variables,
        }

    def run(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [built(), verb, *self._arguments()],
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )

    def start(self) -> Self:
        with (self.folder / "collector.log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [built(), *self._arguments()],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                text=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return self

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        return (self.folder / "collector.log").read_text(encoding="utf-8")[-4000:]

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout=STOP_SECONDS)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # With nobody there to take its last own counters, it says so and ends with 1.
            assert self.end(signal.SIGTERM) == 0 or UNTOLD in self.log(), self.log()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _arguments(self) -> list[str]:
        files = [CONFIGURATIONS / "base.yaml", CONFIGURATIONS / f"{self.overlay}.yaml", *self.more]
        return [part for file in files for part in ("--config", str(file))]

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class PinnedService(Service):
    """A service whose OTLP port outlives a restart, as whoever sends to it needs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.pinned = free_ports(1)[0]
        super().__init__(Program(folder, variables=SAME_IDENTITY))

    def start(self) -> Self:
        plain = self.program
        # Of an option that is given twice, the last one counts.
        last = ("sh", "-c", f'exec "$@" --otlp-grpc-port {self.pinned}', "sh")
        self.program = replace(plain, command=(*last, *plain.command))
        try:
            return super().start()
        finally:
            self.program = plain


def embedded(folder: Path, service: Service, *more: str) -> Collector:
    """Return the Collector of embedded.yaml in front of a service."""
    folder.mkdir(exist_ok=True)
    return Collector(folder, "embedded", {"MLP_COLLECTOR_SERVICE": service.otlp}, more)


def service_tokens(service: Service) -> dict[str, str]:
    """Return a service's token of each role."""
    text = (service.program.folder / "tokens.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def clickhouse(folder: Path, service: Service, *more: str, compress: str = "lz4") -> Collector:
    """Return the Collector of gateway.yaml in front of a service's ClickHouse endpoint."""
    folder.mkdir(exist_ok=True)
    variables = {
        "MLP_COLLECTOR_CLICKHOUSE": f"http://127.0.0.1:{service.ports['clickhouse_port']}",
        "MLP_COLLECTOR_CLICKHOUSE_USER": "writer",
        "MLP_COLLECTOR_CLICKHOUSE_PASSWORD": service_tokens(service)["writer"],
        "MLP_COLLECTOR_CLICKHOUSE_COMPRESS": compress,
        "MLP_COLLECTOR_SERVICE": service.otlp,
    }
    return Collector(folder, "gateway", variables, more)


def send(address: str, *, traces: tuple[bytes, ...] = (), logs: tuple[bytes, ...] = ()) -> None:
    """Send whole requests to a receiver until it has accepted them."""
    with OtlpSender(address) as sender:
        for payload in traces:
            sender.send_traces(payload, records=1)
        for payload in logs:
            sender.send_logs(payload, records=1)
        summary = sender.drain()
    assert summary.accepted == len(traces) + len(logs), summary


def wait_for(service: Service, query: str, wanted: int, collector: Collector) -> None:
    """Wait until a query counts what was sent; the Collector sends from its queue."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    with RemoteAnalyzer(service.server, token=service_tokens(service)["operator"]) as analyzer:
        while (found := counted(analyzer, query)) != wanted:
            assert time.monotonic() < deadline, f"{found} of {wanted}\n{collector.log()}"
            time.sleep(0.1)


def counted(analyzer: RemoteAnalyzer, query: str) -> int:
    """Return the one number a query answers with."""
    (row,) = analyzer.query(query, max_rows=1)
    return int(json.loads(row)[0])
