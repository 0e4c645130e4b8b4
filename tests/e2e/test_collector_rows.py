"""Through the real Collector or straight to the service: the same rows, the same people."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from collector_payloads import PEOPLE, Payloads
from collector_program import SALT, Collector, PinnedService, clickhouse, embedded, send, wait_for
from ingest_support import attributes, log, logs, span, traces, value
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer_service.ingest.attributes import ROUTE_ATTRIBUTES, URL_ATTRIBUTES
from analyzer_service.otlp import encode
from otel_instrumentation.privacy import pseudonym

pytestmark = pytest.mark.e2e

SEEDS = range(1, 13)
SPANS = 40
LOGS = 40
RAW_NAMES = "'user.id', 'enduser.id', 'user.name', 'user.email', 'user.full_name'"

PATHS = (*ROUTE_ATTRIBUTES, *URL_ATTRIBUTES)

LIBRARY = """
import sys
import otel_instrumentation as mlp
mlp.configure(service_name="library", stage="model_training", component="jobs")
with mlp.user(sys.argv[1]):
    with mlp.operation("submit_job"):
        mlp.action("from_library")
mlp.flush()
"""


@dataclass(frozen=True)
class Paths:
    """One service that is sent to straight, and one behind a Collector."""

    straight: PinnedService
    behind: PinnedService
    collector: Collector

    def send(self, *, traces: tuple[bytes, ...] = (), logs: tuple[bytes, ...] = ()) -> None:
        send(self.straight.otlp, traces=traces, logs=logs)
        send(self.collector.otlp, traces=traces, logs=logs)


# Each way into a store has a function that starts it. Another exporter is another entry.
WAYS = {"embedded": embedded, "clickhouse": clickhouse}


@pytest.fixture(scope="module", params=sorted(WAYS))
def paths(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Paths]:
    folder = tmp_path_factory.mktemp("paths")
    with (
        PinnedService(folder / "straight") as straight,
        PinnedService(folder / "behind") as behind,
        WAYS[request.param](folder / "collector", behind) as collector,
    ):
        yield Paths(straight, behind, collector)


def rows(service: PinnedService, table: str, where: str) -> list[dict[str, object]]:
    columns = [
        str(row["name"])
        for row in service.json("sql", f"SELECT name, position FROM system.columns WHERE database = currentDatabase() AND table = '{table}' ORDER BY position")
        if row["name"] != "IngestTime"
    ]  # fmt: skip
    shown = ", ".join(
        f"`{name}`" if name != "RecordId" else "hex(RecordId) AS Record" for name in columns
    )
    order = "TraceId, SpanId" if table == "otel_traces" else "LogAttributes['log.record.uid']"
    found: list[dict[str, object]] = service.json(
        "sql", f"SELECT {shown} FROM {table} WHERE {where} ORDER BY {order}"
    )
    return found


def test_generated_requests_give_identical_rows(paths: Paths) -> None:
    worlds = [Payloads(seed) for seed in SEEDS]
    paths.send(
        traces=tuple(world.traces(SPANS) for world in worlds),
        logs=tuple(world.logs(LOGS) for world in worlds),
    )
    for table, number in (("otel_traces", SPANS), ("otel_logs", LOGS)):
        mine = "ServiceName = 'studio-ż'"
        count = f"SELECT count() AS n FROM {table} WHERE {mine}"
        wait_for(paths.behind, count, paths.straight.count(count), paths.collector)
        expected, found = rows(paths.straight, table, mine), rows(paths.behind, table, mine)
        assert len(expected) == len(found) >= number * len(SEEDS)
        for one, other in zip(expected, found, strict=True):
            assert other == one
        everything = str(found)
        assert "Ann Person" not in everything
        for person in PEOPLE[1:5]:
            assert person not in everything


def test_hand_written_bytes_give_identical_rows(paths: Paths) -> None:
    made = [
        encode.span(
            trace_id=bytes((9,) * 15 + (number,)),
            span_id=bytes((9,) * 7 + (number,)),
            name="encoded",
            start_ns=1_767_571_200 * 10**9,
            end_ns=1_767_571_201 * 10**9,
            attributes=encode.span_attributes(
                [("user.id", f"p{number}"), ("list", [1, "a"]), ("f", 1e-9)]
            ),
            status=encode.StatusCode.ERROR,
            status_message="out of memory",
        )
        for number in range(1, 50)
    ]
    payload = encode.traces_request(
        encode.resource({"service.name": "encoded"}), encode.scope("e"), made
    )
    paths.send(traces=(payload,))
    mine = "ServiceName = 'encoded'"
    wait_for(
        paths.behind, f"SELECT count() AS n FROM otel_traces WHERE {mine}", 49, paths.collector
    )
    assert rows(paths.behind, "otel_traces", mine) == rows(paths.straight, "otel_traces", mine)


def test_long_texts_end_at_the_same_character(paths: Paths) -> None:
    texts = {f"text{number}": "x" * (65_534 + number) + "é" * 9 for number in range(3)}
    whole = {"list": ["x" * 70_000], "short": "x" * 65_536}
    made = span({**texts, **whole}, events=[Span.Event(name="e", attributes=attributes(texts))])
    request = traces(made, resource={"service.name": "long-texts", **texts, **whole})
    paths.send(traces=(request.SerializeToString(),))
    mine = "ServiceName = 'long-texts'"
    wait_for(paths.behind, f"SELECT count() AS n FROM otel_traces WHERE {mine}", 1, paths.collector)
    [straight] = rows(paths.straight, "otel_traces", mine)
    assert rows(paths.behind, "otel_traces", mine) == [straight]
    lengths = f"SELECT mapValues(mapApply((k, v) -> (k, length(v)), SpanAttributes)) AS n FROM otel_traces WHERE {mine}"  # fmt: skip
    assert paths.straight.json("sql", lengths) == [{"n": [70_004, 65_536, 65_536, 65_535, 65_536]}]


BAD = b"bad \xff\xc3(!"
MENDED = BAD.decode("utf-8", "replace").encode()
MARKED = b"bad 1234"
INVALID = {
    "span name": ("traces", "SpanName", {"name": MARKED.decode()}),
    "status message": ("traces", "StatusMessage", {"status": Status(message=MARKED.decode())}),
    "trace state": ("traces", "TraceState", {"trace_state": MARKED.decode()}),
    "attribute": ("traces", "SpanAttributes['text']", {"said": {"text": MARKED.decode()}}),
    "name of an attribute": ("traces", "mapKeys(SpanAttributes)[1]", {"said": {MARKED.decode(): 1}}),
    "log body": ("logs", "Body", {"body": MARKED.decode()}),
    "event name": ("logs", "EventName", {"event_name": MARKED.decode()}),
    "severity": ("logs", "SeverityText", {"severity_text": MARKED.decode()}),
}  # fmt: skip


@pytest.mark.parametrize("where", sorted(INVALID))
def test_invalid_text_is_mended_by_the_service_and_passed_on_by_the_exporter(
    paths: Paths, where: str
) -> None:
    kind, column, said = INVALID[where]
    fields = dict(said)
    attributes_said = fields.pop("said", {})
    resource = {"service.name": f"invalid {where}"}
    if kind == "traces":
        request = traces(span(attributes_said, **fields), resource=resource).SerializeToString()
        paths.send(traces=(request.replace(MARKED, BAD),))
    else:
        body = fields.pop("body", "b")
        request = logs(log({}, body=value(body), **fields), resource=resource).SerializeToString()
        paths.send(logs=(request.replace(MARKED, BAD),))
    table, mine = f"otel_{kind}", f"ServiceName = 'invalid {where}'"
    for service in (paths.straight, paths.behind):
        wait_for(service, f"SELECT count() AS n FROM {table} WHERE {mine}", 1, paths.collector)
    found = [
        bytes.fromhex(service.json("sql", f"SELECT hex({column}) AS h FROM {table} WHERE {mine}")[0]["h"])
        for service in (paths.straight, paths.behind)
    ]  # fmt: skip
    assert found[0] == MENDED
    # The exporter passes bytes on as they came, and the engine keeps them.
    assert found[1] == (BAD if paths.collector.overlay == "gateway" else MENDED)


def test_one_person_is_one_user_however_they_were_seen(paths: Paths) -> None:
    person = "ann.smith@example.org"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_"))} | {
        "OTEL_MLP_USER_SALT": SALT,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{paths.collector.otlp}",
        "OTEL_METRICS_EXPORTER": "none",
    }
    subprocess.run([sys.executable, "-c", LIBRARY, person], env=environment, check=True, timeout=60)
    headers = {"http.request.header.x-auth-request-user": [person]}
    resource = {"service.name": "plain"}
    send(paths.collector.otlp, traces=(traces(span({"user.id": person}, span_id=b"collecto"), resource=resource).SerializeToString(),))  # fmt: skip
    send(paths.collector.otlp, traces=(traces(span(headers, span_id=b"proxied."), resource=resource).SerializeToString(),))  # fmt: skip
    send(paths.behind.otlp, traces=(traces(span({"user.id": person}, span_id=b"straight"), resource=resource).SerializeToString(),))  # fmt: skip
    mine = "ServiceName IN ('plain', 'library')"
    wait_for(paths.behind, f"SELECT count() AS n FROM otel_traces WHERE {mine}", 4, paths.collector)
    wait_for(paths.behind, f"SELECT count() AS n FROM otel_logs WHERE {mine}", 1, paths.collector)
    users = paths.behind.json(
        "sql",
        f"SELECT DISTINCT SpanAttributes['user.hash'] AS user FROM otel_traces WHERE {mine} "
        f"UNION DISTINCT SELECT LogAttributes['user.hash'] AS user FROM otel_logs WHERE {mine}",
    )
    assert users == [{"user": pseudonym(person, SALT)}]


def test_no_name_is_in_what_the_collector_sends(tmp_path: Path) -> None:
    """What leaves the Collector, before any service could have removed it."""
    sent = tmp_path / "sent.json"
    to_file = tmp_path / "to-file.yaml"
    to_file.write_text(
        f"exporters: {{file: {{path: '{sent}', flush_interval: 100ms}}}}\n"
        "service: {pipelines: {traces: {exporters: [file]}, logs: {exporters: [file]}}}\n",
        encoding="utf-8",
    )
    names = ("user.id", "enduser.id", "user.name", "user.email", "user.full_name")
    said = dict.fromkeys((*names, "http.request.header.x-remote-user"), "alice-in-person")
    paths = dict.fromkeys(PATHS, "https://hub.example.org/user/alice-in-person/lab?page=2")
    failed = Status(message="quota of alice-in-person@example.org")
    one = span(said | paths, name="GET /user/alice-in-person/lab", status=failed)
    one.events.append(Span.Event(name="e", attributes=attributes(said)))
    scoped = traces(one, resource=said)
    scoped.resource_spans[0].scope_spans[0].scope.attributes.extend(attributes(said))
    logged = logs(log(said | paths, event_name="seen"), resource=said)
    logged.resource_logs[0].scope_logs[0].scope.attributes.extend(attributes(said))
    with Collector(tmp_path, "embedded", more=(str(to_file),)) as collector:
        send(
            collector.otlp, traces=(scoped.SerializeToString(),), logs=(logged.SerializeToString(),)
        )
    written = sent.read_text(encoding="utf-8")
    assert written.count(pseudonym("alice-in-person", SALT)) == 4
    assert "alice-in-person" not in written
    assert written.count("https://hub.example.org/user/{user}/lab?page=2") == 2 * len(PATHS)
    assert '"GET /user/{user}/lab"' in written
    assert "user.id" not in written


def test_secrets_and_personal_data_are_masked(paths: Paths) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    said = {
        "http.request.header.authorization": ["Bearer abcdefgh12345678"],
        "db.password": "hunter2-hunter2",
        "note": f"mail bob@example.org, token {token}",
        "url.full": "https://bob:hunter2-hunter2@host/x?token=hunter2-hunter2&page=2",
        "gen_ai.usage.input_tokens": 17,
        "mlp.component": "jobs",
    }
    one = span(said, trace_id=b"secrets." * 2, status=Status(message="login as bob@example.org"))
    record = log({"log.record.uid": "secret"}, trace_id=b"secrets." * 2)
    record.body.string_value = "bob@example.org logged in with password=hunter2-hunter2"
    send(
        paths.collector.otlp,
        traces=(traces(one).SerializeToString(),),
        logs=(logs(record).SerializeToString(),),
    )
    mine = f"TraceId = '{(b'secrets.' * 2).hex()}'"
    for table in ("otel_traces", "otel_logs"):
        wait_for(paths.behind, f"SELECT count() AS n FROM {table} WHERE {mine}", 1, paths.collector)
    stored = str(rows(paths.behind, "otel_traces", mine) + rows(paths.behind, "otel_logs", mine))
    for secret in ("hunter2", "abcdefgh12345678", "eyJ", "bob@example.org"):
        assert secret not in stored
    (row,) = rows(paths.behind, "otel_traces", mine)
    kept = row["SpanAttributes"]
    assert isinstance(kept, dict)
    assert kept["gen_ai.usage.input_tokens"] == "17"
    assert kept["mlp.component"] == "jobs"
    assert kept["url.full"].endswith("&page=2")


def test_the_store_behind_has_no_raw_identity_anywhere(paths: Paths) -> None:
    world = Payloads(99)
    paths.send(traces=(world.traces(SPANS),), logs=(world.logs(LOGS),))
    mine = f"TraceId >= '{99 << 32:032x}' AND TraceId < '{100 << 32:032x}'"
    wait_for(
        paths.behind, f"SELECT count() AS n FROM otel_traces WHERE {mine}", SPANS, paths.collector
    )
    for table, maps in (
        ("otel_traces", ("SpanAttributes", "ResourceAttributes")),
        ("otel_logs", ("LogAttributes", "ResourceAttributes", "ScopeAttributes")),
    ):
        for column in maps:
            query = (
                f"SELECT count() AS n FROM {table} WHERE hasAny(mapKeys({column}), [{RAW_NAMES}])"
            )
            assert paths.behind.count(query) == 0
