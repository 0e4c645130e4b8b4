"""Library, OTLP, the real Collector, its exporter, the endpoint, signals, analysis, gRPC.

One service stands behind a Collector per case. In each case the same twelve people have a fortnight
of routine behind them, which makes them experts, intermediates and beginners; then a program with
the instrumentation library does what was planted: jobs that are cut off for all but the experts
(spans), and connections that everybody opens again and again (log records).
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from collector_program import (
    SALT,
    SAME_IDENTITY,
    Collector,
    clickhouse,
    send,
    service_tokens,
    wait_for,
)
from programs import Program, Service

from analyzer_service.domain import AnalysisRequest, AnalysisStatus, ChallengeKind, SignalKind
from analyzer_service.otlp import encode
from analyzer_service.server.client import RemoteAnalyzer
from otel_instrumentation import pseudonym

pytestmark = pytest.mark.e2e

LEVELS = {"expert": (16, 20), "middle": (8, 80), "novice": (3, 400)}
"""Kinds of key actions, and seconds each takes: far enough apart for any way to make segments."""
EACH = 4
PEOPLE = [f"{level}-{number}@example.org" for level in LEVELS for number in range(EACH)]
DAYS = 10
REPEATS = 6

PLANTED = """
    import sys
    import otel_instrumentation as mlp

    component = sys.argv[1]
    mlp.configure(service_name="studio", component=component)
    for person in sys.argv[2:]:
        with mlp.user(person):
            for _ in range(6):
                mlp.action("connect", stage="data_collection", arguments={"table": "clicks"})
            if not person.startswith("expert"):
                try:
                    with mlp.operation("action0", stage="model_training"):
                        raise TimeoutError("cut off after 6 hours")
                except TimeoutError:
                    pass
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    program = Program(tmp_path_factory.mktemp("matrix"), variables=SAME_IDENTITY)
    with Service(program) as running:
        yield running


@contextmanager
def collector(
    folder: Path, service: Service, *, compress: str, schema: bool
) -> Iterator[Collector]:
    overlay = folder / "schema.yaml"
    overlay.write_text(f"exporters: {{clickhouse: {{create_schema: {str(schema).lower()}}}}}\n")
    running = clickhouse(folder / "collector", service, str(overlay), compress=compress)
    with running:
        yield running


def routine(component: str) -> bytes:
    """Return what everybody did before: key actions without failure, day after day."""
    today = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    spans = []
    for position, person in enumerate(PEOPLE):
        kinds, seconds = LEVELS[person.partition("-")[0]]
        for day in range(1, DAYS + 1):
            start_ns = int((today - timedelta(days=day)).timestamp()) * 10**9
            for number in range(kinds):
                name = f"{component}-{position}-{day}-{number}".encode()
                attributes = {
                    "user.hash": pseudonym(person, SALT),
                    "session.id": f"{component}-{position}-{day}",
                    "mlp.stage": "model_training",
                    "mlp.component": component,
                    "mlp.action": f"action{number}",
                    "mlp.action.kind": "key",
                    "mlp.action.digest": name.decode(),
                }
                begun_ns = start_ns + number * seconds * 10**9
                spans.append(
                    encode.span(
                        trace_id=name.rjust(16, b"-")[-16:],
                        span_id=name.rjust(8, b"-")[-8:],
                        name=f"action{number}",
                        start_ns=begun_ns,
                        end_ns=begun_ns + (seconds * 10 + position) * 10**8,
                        attributes=encode.span_attributes(attributes),
                    )
                )
    return encode.traces_request(
        encode.resource({"service.name": "studio"}), encode.scope("test"), spans
    )


def use_the_library(collector: Collector, component: str) -> None:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_ANALYZER_"))}
    subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PLANTED), component, *PEOPLE],
        env={
            **plain,
            "OTEL_MLP_USER_SALT": SALT,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.otlp}",
        },
        check=True,
        timeout=60,
    )


def analysed(service: Service, component: str) -> dict[tuple[SignalKind, str], tuple[object, ...]]:
    """Run an analysis over gRPC and return the challenges of a component with their counts."""
    with RemoteAnalyzer(service.server, token=service_tokens(service)["operator"]) as analyzer:
        begun = analyzer.start(AnalysisRequest(rule_set="paper"))
        *_, ended = analyzer.watch(begun.analysis_id)
        assert ended.status is AnalysisStatus.SUCCEEDED
        assert set(ended.segment_sizes.values()) == {EACH}
        found = analyzer.list_challenges(
            kind=None, stage="", grade=None, page_size=1000, page_token=""
        )
    return {
        (challenge.signal.kind, challenge.signal.signal): (
            challenge.kind,
            challenge.users_affected,
            *((challenge.evidence[s]["k"], challenge.evidence[s]["n"]) for s in SEGMENTS),
        )
        for challenge in found.items
        if challenge.signal.component == component
    }


SEGMENTS = ("expert", "intermediate", "beginner")


@pytest.mark.parametrize("schema", [False, True], ids=["our schema", "create_schema"])
@pytest.mark.parametrize("compress", ["none", "gzip", "lz4", "zstd"])
def test_planted_problems_come_out_over_grpc(
    service: Service, tmp_path: Path, compress: str, schema: bool
) -> None:
    component = f"{compress}{int(schema)}"
    mine = f"SpanAttributes['mlp.component'] = '{component}'"
    logs = f"LogAttributes['mlp.component'] = '{component}' AND EventName = 'mlp.action'"
    with collector(tmp_path, service, compress=compress, schema=schema) as running:
        send(running.otlp, traces=(routine(component),))
        use_the_library(running, component)
        spans = EACH * DAYS * sum(kinds for kinds, _ in LEVELS.values()) + 2 * EACH
        wait_for(service, f"SELECT count() AS n FROM otel_traces WHERE {mine}", spans, running)
        wait_for(
            service,
            f"SELECT count() AS n FROM otel_logs WHERE {logs}",
            len(PEOPLE) * REPEATS,
            running,
        )
        assert "Exporting failed" not in running.log()
    assert analysed(service, component) == {
        (SignalKind.ERROR, "TimeoutError"): (
            ChallengeKind.EDUCATION_TRAINING, 8, (0, 4), (4, 4), (4, 4),
        ),
        (SignalKind.REDUNDANCY, "connect"): (
            ChallengeKind.SIMPLICITY_OF_PLATFORM, 12, (4, 4), (4, 4), (4, 4),
        ),
    }  # fmt: skip
