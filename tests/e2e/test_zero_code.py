"""Services that were never changed: stock instrumentations, and the signal map alone."""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from collector_program import SALT, PinnedService, clickhouse, service_tokens, wait_for
from stored_text import columns_with
from zero_code_services import ARRIVAL_SECONDS, EXAMPLE, PAGE, Relay, ZeroCode, blocks

from analyzer_service.domain import AnalysisRequest, AnalysisStatus
from analyzer_service.server.client import RemoteAnalyzer
from otel_instrumentation.privacy import pseudonym

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SIZES = {"expert": 20, "intermediate": 16, "beginner": 24}
NAMES = {"expert": "xaver", "intermediate": "ingrid", "beginner": "benno"}
PEOPLE = {f"{NAMES[s]}.{n:02}": s for s, size in SIZES.items() for n in range(size)}
CLIENTS = 4
DAYS = 2

ALWAYS = {
    "expert": ("define", "profile", "publish", "register", "deploy", "notebook"),
    "intermediate": ("define", "profile", "notebook"),
    "beginner": ("define",),
}
OFTEN = {
    "expert": ("define", "publish", "register", "deploy"),
    "intermediate": ("publish", "register"),
    "beginner": ("look", "look", "look"),
}
"""Each of these two times in three."""

# A limit that is nowhere written down: all but these run into it.
KNOW_THE_SCAN_LIMIT = {"xaver.03", "xaver.11"}
# A limit that whoever trains often has learned, and one more.
KNOW_THE_BATCH_LIMIT = {p for p, s in PEOPLE.items() if s == "expert"} | {"ingrid.05"}
# What fails for whoever tries it, and hardly anybody does.
TRY_A_CANARY = {"xaver.07", "xaver.08"}

PLANTED = {
    ("simplicity_of_platform", "feature_engineering", "feature-store", "TimeoutError"):
        set(PEOPLE) - KNOW_THE_SCAN_LIMIT,
    ("education_training", "model_training", "trainer", "trainer.BatchTooLarge"):
        set(PEOPLE) - KNOW_THE_BATCH_LIMIT,
}  # fmt: skip

LIBRARY = """
import sys
import otel_instrumentation as mlp
mlp.configure(service_name="studio", stage="feature_engineering", component="studio")
with mlp.user(sys.argv[1]), mlp.operation("run_cell"):
    pass
mlp.flush()
"""


@dataclass
class Seen:
    """What one service made of it."""

    service: PinnedService
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self._analyzer() as analyzer:
            answer = analyzer.query(query, max_rows=100_000)
            names = [column.name for column in answer.columns]
            return [dict(zip(names, json.loads(row), strict=True)) for row in answer]

    def analyse(self, rules: str) -> None:
        with self._analyzer() as analyzer:
            request = AnalysisRequest(rule_set=rules, preset="calibrated")
            begun = analyzer.start(request)
            last = [*analyzer.watch(begun.analysis_id)][-1]
            assert last.status is AnalysisStatus.SUCCEEDED, last.error
            # As it is in JSON.
            report = json.dumps(analyzer.report(analysis_id=last.analysis_id))
            self.reports[rules] = json.loads(report)

    def segments(self) -> dict[str, str]:
        with self._analyzer() as analyzer:
            page = analyzer.list_users(segment=None, page_size=1000, page_token="")
        return {row.segment.user: row.segment.segment.value for row in page.items}

    def _analyzer(self) -> RemoteAnalyzer:
        return RemoteAnalyzer(self.service.server, token=service_tokens(self.service)["operator"])


@dataclass(frozen=True)
class World:
    """One platform seen twice: straight, and from behind the Collector and its ClickHouse exporter."""

    straight: Seen
    behind: Seen
    relay: Relay

    def ways(self) -> tuple[Seen, Seen]:
        return self.straight, self.behind


def errands(person: str, day: int) -> list[tuple[str, str, str]]:
    """Return what somebody asks for on one day: program, method and path."""
    segment = PEOPLE[person]
    rng = random.Random(f"{person} {day}")
    done = [*ALWAYS[segment], *(step for step in OFTEN[segment] if rng.random() < 2 / 3)]
    days = 7 if person in KNOW_THE_SCAN_LIMIT else 365
    batch = 64 if person in KNOW_THE_BATCH_LIMIT else 512
    paths = {
        **{s: ("features", "POST", f"/features/f1/{s}") for s in ("define", "profile", "publish")},
        **{s: ("jobs", "POST", f"/models/m1/{s}") for s in ("register", "deploy")},
        "look": ("features", "GET", "/features"),
        "notebook": ("features", "POST", f"/user/{person}/notebooks/work/first.ipynb"),
    }
    wanted = [paths[step] for step in done]
    wanted += [("features", "POST", f"/features/f1/backfill?days={days}")] * 2
    wanted += [("jobs", "POST", f"/jobs?feature=f1&batch_size={batch}")] * 2
    if person in TRY_A_CANARY and day == 1:
        wanted.append(("jobs", "POST", "/models/m1/canary"))
    rng.shuffle(wanted)
    return wanted


def live(zero_code: ZeroCode, person: str, day: int) -> None:
    for program, method, path in errands(person, day):
        # The hub's part of the platform has no proxy that tells the user.
        user = "" if path.startswith("/user/") else person
        send = zero_code.features if program == "features" else zero_code.jobs
        fails = path.endswith(("days=365", "canary"))
        assert send(method, path, user=user) == (500 if fails else 200), path


def requests_of(day: int) -> Counter[str]:
    """Count the requests that each program gets on one day, with what one asks of another."""
    asked = [errand for person in PEOPLE for errand in errands(person, day)]
    found = Counter(program for program, _, _ in asked)
    found["trainer"] = sum(path.startswith("/jobs") for *_, path in asked)
    found["features"] += found["trainer"]
    return found


def live_a_day(zero_code: ZeroCode, relay: Relay, day: int) -> None:
    services = {"features": "feature-store", "jobs": "training-api"}
    wanted = requests_of(day) + Counter({"features": 2, "jobs": 1})
    before = relay.spans.copy()
    for path in ("/healthz", "/static/style.css"):
        assert zero_code.features("GET", path) == 200
    assert zero_code.jobs("GET", "/healthz") == 200
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda person: live(zero_code, person, day), PEOPLE))
    for program, service in services.items():
        total = before[service, "SERVER"] + wanted[program]
        relay.wait_for(service, "SERVER", total, zero_code)


def work_off(zero_code: ZeroCode, relay: Relay) -> None:
    """Do the jobs of all days; those of the first waited over night.

    Only now: the reader of a file broker may take a message that is not yet whole.
    """
    jobs = sum(requests_of(day)["trainer"] for day in range(DAYS))
    with zero_code.worker():
        relay.wait_for("trainer", "CONSUMER", jobs, zero_code)


def mapped(service: PinnedService) -> None:
    """Say what the services' names mean, as the page does."""
    (block,) = (block for block in blocks() if "signal-map add" in block)
    add, test = (shlex.split(line) for line in block.splitlines())
    where = str(EXAMPLE.parents[1] / add.pop())
    service.program.run(*add[1:], where, "--server", service.server)
    assert "submit_job" in service.program.run(*test[1:], "--server", service.server)


def say_through_the_library(service: PinnedService, person: str) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MLP_"))}
    said = {
        "OTEL_MLP_USER_SALT": SALT,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{service.otlp}",
        "OTEL_METRICS_EXPORTER": "none",
    }
    command = [sys.executable, "-c", LIBRARY, person]
    subprocess.run(command, env=kept | said, check=True, timeout=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("zero-code")
    with (
        PinnedService(folder / "straight") as straight,
        PinnedService(folder / "behind") as behind,
        clickhouse(folder / "collector", behind) as collector,
        Relay(straight.otlp_http, f"http://127.0.0.1:{collector.http_port}") as relay,
        ZeroCode(folder / "services", relay.endpoint) as zero_code,
    ):
        for service in (straight, behind):
            mapped(service)
        for day in range(DAYS):
            live_a_day(zero_code, relay, day)
            # Whatever happened on the first day was yesterday.
            relay.yesterday_ends = min(relay.yesterday_ends, time.time_ns())
        work_off(zero_code, relay)
        total = sum(relay.spans.values())
        found = World(Seen(straight), Seen(behind), relay)
        for way in found.ways():
            wait_for(way.service, "SELECT count() AS n FROM otel_traces", total, collector)
            say_through_the_library(way.service, "xaver.00")
            for rules in ("paper", "calibrated"):
                way.analyse(rules)
        yield found


def test_nothing_of_ours_ran_in_the_services(world: World) -> None:
    scopes = "SELECT DISTINCT ScopeName AS scope FROM otel_traces WHERE ServiceName != 'studio'"
    for way in world.ways():
        found = {row["scope"] for row in way.rows(scopes)}
        assert found == {
            f"opentelemetry.instrumentation.{name}"
            for name in ("celery", "fastapi", "flask", "requests")
        }
    assert not [name for name, _ in world.relay.attributes if name.startswith(("mlp.", "user."))]


def test_signals_have_stage_component_and_action_through_the_map_alone(world: World) -> None:
    query = (
        "SELECT stage, component, action, action_kind, span_kind, count() AS n FROM signals "
        "WHERE stage != '' AND service_name != 'studio' GROUP BY ALL"
    )
    asked = Counter(
        path.split("?")[0].split("/")[-1]
        for person in PEOPLE
        for day in range(DAYS)
        for *_, path in errands(person, day)
    )
    jobs = asked["jobs"]
    expected = {
        ("feature_engineering", "feature-store", "define_feature", "key"): asked["define"],
        ("feature_engineering", "feature-store", "profile_feature", "key"): asked["profile"],
        ("feature_engineering", "feature-store", "publish_feature", "key"): asked["publish"],
        ("feature_engineering", "feature-store", "backfill_feature", "key"): asked["backfill"],
        ("feature_engineering", "feature-store", "look_up_feature", "view"): asked["features"]
        + jobs,
        ("feature_engineering", "notebook", "open_notebook", "key"): asked["first.ipynb"],
        ("model_training", "training-api", "submit_job", "key"): jobs,
        ("model_training", "trainer", "train_model", "key"): jobs,
        ("model_deployment", "model-registry", "register_model", "key"): asked["register"],
        ("model_deployment", "serving", "deploy_model", "key"): asked["deploy"],
        ("model_deployment", "serving", "start_canary", "key"): asked["canary"],
    }
    for way in world.ways():
        rows = [tuple(row.values()) for row in way.rows(query)]
        assert {row[:4]: int(row[5]) for row in rows} == expected
        assert {row[4] for row in rows} == {"Server", "Consumer"}


def test_attempts_are_what_people_asked_for_and_nothing_else(world: World) -> None:
    """No health check, no static file, no call to another service, no message of a request."""
    programs = sum((requests_of(day) for day in range(DAYS)), Counter[str]())
    for way in world.ways():
        (row,) = way.rows(
            "SELECT sum(attempts) AS n, uniqExact(user_key) AS users FROM attempts_daily "
            "WHERE component != 'studio'"
        )
        assert int(row["n"]) == programs.total()
        assert int(row["users"]) == len(PEOPLE)
        (without,) = way.rows("SELECT sum(without_user) AS n FROM settled_days FINAL")
        # Health and static files, twice.
        assert int(without["n"]) == 2 * 3


def test_everybody_is_one_user_by_header_route_or_trace(world: World) -> None:
    everybody = {pseudonym(person, SALT) for person in PEOPLE}
    with_notebook = {pseudonym(p, SALT) for p, s in PEOPLE.items() if s != "beginner"}
    for way in world.ways():
        users: dict[str, set[str]] = defaultdict(set)
        for row in way.rows(
            "SELECT DISTINCT component, lower(hex(user_key)) AS user FROM attempts_daily"
        ):
            users[row["component"]].add(row["user"])
        assert users["feature-store"] == users["training-api"] == everybody
        assert users["notebook"] == with_notebook
        # The worker's spans say nothing of users.
        assert users["trainer"] == everybody
        # Seen there and through the library: the same.
        assert users["studio"] == {pseudonym("xaver.00", SALT)}


def test_the_captured_header_is_what_the_page_says(world: World) -> None:
    headers = {(n, kind) for n, kind in world.relay.attributes if n.startswith("http.request.h")}
    assert headers == {("http.request.header.x_forwarded_user", "array_value")}
    assert '`http.request.header.x_forwarded_user = ["ann"]`' in PAGE


def test_no_raw_user_id_is_in_the_store(world: World) -> None:
    for way in world.ways():
        assert columns_with(way.rows, list(NAMES.values())) == []
        # The search finds what is there, wherever it is.
        found = columns_with(way.rows, ["first.ipynb"])
        assert ("otel_traces", "SpanAttributes") in found
        assert ("signals", "action") in columns_with(way.rows, ["OPEN_notebook"])


@pytest.mark.parametrize("rules", ["paper", "calibrated"])
def test_the_planted_challenges_are_found(world: World, rules: str) -> None:
    for way in world.ways():
        found = {
            (c["kind"], c["stage"], c["component"], c["signal"]): c
            for c in way.reports[rules]["challenges"]
            if c["grade"] != "insufficient"
        }
        assert set(found) == set(PLANTED)
        segments = way.segments()
        assert Counter(segments.values()) == SIZES
        assert segments == {pseudonym(person, SALT): s for person, s in PEOPLE.items()}
        for identity, affected in PLANTED.items():
            hit = Counter(PEOPLE[person] for person in affected)
            for segment, evidence in found[identity]["evidence"].items():
                assert (evidence["k"], evidence["n"]) == (hit[segment], SIZES[segment]), identity


def test_a_failure_counts_once_where_it_started(world: World) -> None:
    asked = [path for person in PEOPLE for day in range(DAYS) for *_, path in errands(person, day)]
    expected = {
        "TimeoutError": sum(path.endswith("days=365") for path in asked),
        "trainer.BatchTooLarge": sum(path.endswith("batch_size=512") for path in asked),
        "NotImplementedError": len(TRY_A_CANARY),
    }
    for way in world.ways():
        rows = way.rows("SELECT error_type, count() AS n FROM failures GROUP BY ALL")
        assert {row["error_type"]: int(row["n"]) for row in rows} == expected


@pytest.fixture(scope="module")
def mapped_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PinnedService]:
    with PinnedService(tmp_path_factory.mktemp("page") / "service") as service:
        mapped(service)
        yield service


@pytest.mark.parametrize(("conventions", "person"), [(None, "annegret"), ("", "berthold")])
def test_the_page_does_what_it_says(
    mapped_service: PinnedService, tmp_path: Path, conventions: str | None, person: str
) -> None:
    """Under the HTTP conventions that it asks for, and under the older ones."""
    seen = Seen(mapped_service)
    began = datetime.now(UTC)
    with ZeroCode(tmp_path, mapped_service.otlp_http, conventions) as zero_code:
        (calls,) = (block for block in blocks() if block.startswith("curl"))
        for line in calls.splitlines():
            typed = shlex.split(zero_code.ported(line).replace("ann", person))
            subprocess.run(typed, check=True, stdout=subprocess.DEVNULL)
        # What the page only tells of: nothing there, bad arguments, and what nobody can do.
        assert zero_code.features("GET", f"/user/{person}/nothing/") == 404
        assert zero_code.jobs("GET", f"/user/{person}/nothing/") == 404
        assert zero_code.jobs("POST", "/jobs?feature=f1&batch_size=many", user=person) == 422
        assert zero_code.jobs("POST", "/models/m1/canary", user=person) == 500
        with zero_code.worker():
            mine = f"Timestamp >= fromUnixTimestamp64Micro({int(began.timestamp() * 1e6)})"
            wait_for_the_last(seen, mine, zero_code)
    signals = seen.rows(
        "SELECT component, action, outcome, error_type, lower(hex(user_key)) AS user FROM signals "
        f"WHERE stage != '' AND {mine.replace('Timestamp', 'event_time', 1)}"
    )
    who, nobody = pseudonym(person, SALT), "0" * 32
    assert sorted(tuple(row.values()) for row in signals) == [
        ("feature-store", "backfill_feature", "error", "TimeoutError", who),
        ("feature-store", "define_feature", "ok", "", who),
        ("feature-store", "look_up_feature", "ok", "", nobody),
        ("notebook", "open_notebook", "ok", "", who),
        ("serving", "start_canary", "error", "NotImplementedError", who),
        ("trainer", "train_model", "error", "trainer.BatchTooLarge", nobody),
        ("training-api", "submit_job", "ok", "", who),
        ("training-api", "submit_job", "ok", "", who),
    ]
    seen.analyse("paper")
    failures = seen.rows(
        f"SELECT error_type FROM failures WHERE user_key = unhex('{who}') ORDER BY ALL"
    )
    names = ["NotImplementedError", "TimeoutError", "trainer.BatchTooLarge"]
    assert [row["error_type"] for row in failures] == names
    assert columns_with(seen.rows, [person]) == []
    spans = (
        f"SELECT DISTINCT SpanName AS name FROM otel_traces WHERE SpanKind = 'Server' AND {mine}"
    )
    assert {"GET /user/{user}/nothing/", "GET /healthz"} <= {
        row["name"] for row in seen.rows(spans)
    }


def wait_for_the_last(seen: Seen, mine: str, zero_code: ZeroCode) -> None:
    """Wait for the last span of each program; a program sends its spans in order."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    names = "'GET /user/{user}/nothing/', 'POST /models/{name}/canary'"
    last = f"(SpanKind = 'Consumer' OR SpanName IN ({names}))"
    wanted = f"SELECT count() AS n FROM otel_traces WHERE {last} AND {mine}"
    while int(seen.rows(wanted)[0]["n"]) < 3:
        assert time.monotonic() < deadline, zero_code.logs()
        time.sleep(0.2)


def test_the_pages_last_step_shows_what_came_of_it(mapped_service: PinnedService) -> None:
    (block,) = (block for block in blocks() if "signal-map unmapped" in block)
    for line in block.splitlines():
        mapped_service.program.run(*shlex.split(line)[1:], "--server", mapped_service.server)


def test_the_page_names_what_has_to_be_installed() -> None:
    (install,) = (block for block in blocks() if block.startswith("pip install "))
    for name in shlex.split(install)[2:]:
        assert importlib.metadata.version(name)
