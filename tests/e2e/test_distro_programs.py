"""``opentelemetry-instrument`` and the package alone: telemetry of every deployment arrives whole.

Real programs, the real receiver; what is asserted is in the store. How many signals there are,
that each has stage, component, action, user and session, and how the process ended.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_program import SALT, free_ports
from programs import START_SECONDS, Program, Service

from otel_instrumentation.privacy import pseudonym

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROGRAMS = Path(__file__).parents[1] / "deployments"
COMMANDS = Path(sys.executable).parent
ANN = pseudonym("ann", SALT)
SECONDS = 60
COMPLETE = f"""
SELECT ServiceName AS service, name, count() AS n, countIf(
    hash = '{ANN}' AND session = 's1' AND stage != '' AND component != '' AND action != ''
) AS complete FROM (
    SELECT ServiceName, SpanName AS name, SpanAttributes['user.hash'] AS hash,
        SpanAttributes['session.id'] AS session, SpanAttributes['mlp.stage'] AS stage,
        SpanAttributes['mlp.component'] AS component, SpanAttributes['mlp.action'] AS action
    FROM otel_traces
    UNION ALL
    SELECT ServiceName, LogAttributes['mlp.action'] AS name, LogAttributes['user.hash'] AS hash,
        LogAttributes['session.id'] AS session, LogAttributes['mlp.stage'] AS stage,
        LogAttributes['mlp.component'] AS component, LogAttributes['mlp.action'] AS action
    FROM otel_logs
) WHERE name IN ('work', 'said') GROUP BY ALL ORDER BY ALL
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with Service(Program(folder, variables={"MLP_ANALYZER_USER_SALT": SALT})) as running:
        yield running


class Programs:
    """Starts programs under ``opentelemetry-instrument``."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, *command: str, **variables: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_"))}
        environment = {
            **kept,
            "PATH": f"{COMMANDS}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(PROGRAMS),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.service.otlp}",
            "OTEL_SERVICE_NAME": name,
            "OTEL_MLP_USER_SALT": SALT,
            # Another distribution is installed here too, and may come first.
            "OTEL_PYTHON_DISTRO": "mlp",
            **variables,
        }
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [COMMANDS / "opentelemetry-instrument", *command],
                env=environment, cwd=self.folder, stdout=log, stderr=log, text=True,
            )  # fmt: skip
        self.running.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def arrived(self, *names: str) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how many there are of each name, and how many of them are complete."""
        rows = self.service.json("sql", COMPLETE)
        return {
            (row["service"], row["name"]): (int(row["n"]), int(row["complete"]))
            for row in rows
            if row["service"] in names
        }


@pytest.fixture
def programs(service, tmp_path) -> Iterator[Programs]:
    started = Programs(service, tmp_path)
    yield started
    for process in started.running:
        if process.poll() is None:
            process.kill()
            process.wait()


def whole(name: str, works: int, events: int) -> dict[tuple[str, str], tuple[int, int]]:
    return {(name, "said"): (events, events), (name, "work"): (works, works)}


def test_a_plain_program_loses_nothing_however_it_ends(programs):
    ends = {"return": 0, "exit": 3, "exception": 1, "terminated": -signal.SIGTERM}
    program = str(PROGRAMS / "ending.py")
    running = {end: programs.start(f"ends-by-{end}", "python", program, end) for end in ends}
    assert {end: process.wait(SECONDS) for end, process in running.items()} == ends
    assert "LookupError: the end" in programs.log("ends-by-exception")
    expected = {}
    for end in ends:
        expected |= whole(f"ends-by-{end}", 20, 20)
    assert programs.arrived(*(f"ends-by-{end}" for end in ends)) == expected


def test_children_of_multiprocessing_lose_nothing_however_they_start_and_end(programs):
    methods = ("fork", "spawn", "forkserver")
    place = {"OTEL_MLP_STAGE": "model_training", "OTEL_MLP_COMPONENT": "jobs"}
    program = str(PROGRAMS / "children.py")
    running = [programs.start(method, "python", program, method, **place) for method in methods]
    for method, process in zip(methods, running, strict=True):
        assert process.wait(2 * SECONDS) == 0, programs.log(method)
    expected = {}
    for method in methods:
        # The parent, four children and two tasks of a pool, five each.
        expected |= whole(method, 35, 35)
    assert programs.arrived(*methods) == expected


def ask(port: int, wanted: int) -> set[str]:
    """Ask a web program until it has answered so often; return which processes did."""
    answered: list[str] = []
    deadline = time.monotonic() + START_SECONDS
    while len(answered) < wanted:
        assert time.monotonic() < deadline
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            headers = {"X-Forwarded-User": "ann", "X-Session": "s1", "Connection": "close"}
            connection.request("GET", "/work", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200
            answered.append(answer.read().decode())
        except ConnectionError:
            time.sleep(0.1)
        finally:
            connection.close()
    return set(answered)


def test_web_servers_lose_nothing_with_forked_and_spawned_workers(programs):
    ports = dict(zip(("plain", "preloaded", "spawned"), free_ports(3), strict=True))
    gunicorn = ("gunicorn", "--workers", "2", "web:flask_app()")
    factory = ("uvicorn", "--factory", "web:fastapi_app", "--workers", "2")
    running = {
        "plain": programs.start("plain", *gunicorn, "--bind", f"127.0.0.1:{ports['plain']}"),
        "preloaded": programs.start(
            "preloaded", *gunicorn, "--preload", "--bind", f"127.0.0.1:{ports['preloaded']}",
            BEFORE_FORK="true",
        ),
        "spawned": programs.start("spawned", *factory, "--port", str(ports["spawned"])),
    }  # fmt: skip
    workers = {name: ask(port, 20) for name, port in ports.items()}
    for process in running.values():
        process.terminate()
    for name, process in running.items():
        assert process.wait(SECONDS) in {0, -signal.SIGTERM}, programs.log(name)
    assert programs.arrived(*ports) == {(name, "work"): (20, 20) for name in ports}
    # Not the processes that were started, but their workers answered.
    for name, process in running.items():
        assert str(process.pid) not in workers[name]
    servers = programs.service.json(
        "sql",
        f"SELECT ServiceName AS service, count() AS n FROM otel_traces WHERE SpanKind = 'Server'"
        f" AND SpanAttributes['user.hash'] = '{ANN}' AND SpanAttributes['session.id'] = 's1'"
        f" AND ServiceName IN ('plain', 'preloaded', 'spawned') GROUP BY ALL ORDER BY ALL",
    )
    assert {row["service"]: int(row["n"]) for row in servers} == dict.fromkeys(ports, 20)


def test_a_celery_worker_loses_nothing_and_learns_whom_a_task_is_for(programs, tmp_path):
    queue = tmp_path / "queue"
    (queue / "control").mkdir(parents=True)
    folder = {"QUEUE_FOLDER": str(queue)}
    sender = programs.start("sender", "python", str(PROGRAMS / "tasks.py"), "10", **folder)
    assert sender.wait(SECONDS) == 0, programs.log("sender")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = programs.start(
        "worker", "celery", "--app", "tasks", "worker", "--concurrency", "2", *quiet, **folder
    )
    deadline = time.monotonic() + START_SECONDS
    while list(queue.glob("*celery*")) or "ready" not in programs.log("worker"):
        assert time.monotonic() < deadline, programs.log("worker")
        time.sleep(0.1)
    # A warm shutdown: what was taken is finished first.
    worker.terminate()
    assert worker.wait(SECONDS) == 0, programs.log("worker")
    assert programs.arrived("worker") == whole("worker", 10, 10)
