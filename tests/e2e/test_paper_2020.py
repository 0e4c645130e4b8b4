"""The paper's platform through OTLP, settled, analysed: what was planted comes out, no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from programs import Program, Service
from sklearn.metrics import adjusted_rand_score

from analyzer_service.otlp import encode
from analyzer_service.otlp.sender import OtlpSender

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DEFAULT_SEED = ""
SEEDS = (DEFAULT_SEED, "7", "20261121")


class World:
    """One simulated world, ingested and analysed under the literal rules."""

    def __init__(self, service: Service, seed: str) -> None:
        self.service = service
        self.seed = seed
        truth = service.program.folder / "truth.json"
        self.summary = service.program.json(
            "simulate", "--scenario", "paper-2020", "--endpoint", service.otlp,
            "--truth", str(truth), *(("--seed", seed) if seed else ()),
        )  # fmt: skip
        self.truth: dict[str, Any] = json.loads(truth.read_text(encoding="utf-8"))
        service.json("analyze", "--rules", "paper")
        self.report: dict[str, Any] = service.json("report")
        self.status: dict[str, Any] = service.json("status")
        self.users: list[dict[str, Any]] = service.json("users", "--limit", "0")["users"]


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed or 'default'}")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    program = Program(tmp_path_factory.mktemp("paper"))
    with Service(program) as service:
        yield World(service, request.param)


def identity(challenge: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(challenge[key] for key in ("kind", "rule", "stage", "component", "signal"))


def test_every_record_is_stored_once(world: World) -> None:
    sent = world.summary["spans"] + world.summary["events"]
    status = world.status
    stored = sum(source["stored"] for source in status["sources"])
    assert stored == sent >= 500_000
    assert status["rejected_by_reason"] == {}


def test_exactly_the_planted_challenges_are_found(world: World) -> None:
    found = [identity(challenge) for challenge in world.report["challenges"]]
    assert sorted(found) == sorted(identity(challenge) for challenge in world.truth["challenges"])
    assert len(set(found)) == 23
    kinds = [kind for kind, *_ in found]
    assert (kinds.count("education_training"), kinds.count("simplicity_of_platform")) == (17, 6)


def test_the_segments_are_the_planted_ones(world: World) -> None:
    planted = world.truth["users"]
    found = {row["user"]: row["segment"] for row in world.users}
    assert world.report["users"] == {"rated": 393, "unrated": 998}
    users = sorted(planted)
    score = adjusted_rand_score([planted[u] for u in users], [found[u] for u in users])
    assert score >= 0.95
    sizes = world.report["segments"]
    wanted = {"expert": 85, "intermediate": 118, "beginner": 190}
    if world.seed == DEFAULT_SEED:
        assert sizes == wanted
    assert all(abs(sizes[segment] - size) <= 5 for segment, size in wanted.items())


def test_the_counts_are_those_of_the_truth(world: World) -> None:
    segments = {row["user"]: row["segment"] for row in world.users}
    affected = {identity(c): c["affected"] for c in world.truth["challenges"]}
    for challenge in world.report["challenges"]:
        hit = [segments[user] for user in affected[identity(challenge)]]
        for segment, evidence in challenge["evidence"].items():
            assert evidence["k"] == hit.count(segment), challenge["signal"]
            assert evidence["n"] == world.report["segments"][segment]


def test_the_users_bottlenecks_are_those_of_the_truth(world: World) -> None:
    names = {c["id"]: identity(c) for c in world.report["challenges"]}
    found = {
        (row["user"], names[item["challenge_id"]])
        for row in world.users
        for item in row["bottlenecks"]
        if item["status"] == "bottleneck"
    }
    planted = {
        (user, identity(challenge))
        for challenge in world.truth["challenges"]
        for user in challenge["affected"]
    }
    hits = len(found & planted)
    assert hits / len(found) >= 0.95
    assert hits / len(planted) >= 0.95


def test_evidence_queries_give_the_counts_again(world: World) -> None:
    challenges = world.service.json("challenges", "--limit", "0")["challenges"]
    for challenge in (challenges[0], challenges[len(challenges) // 2], challenges[-1]):
        whole = world.service.json("challenges", challenge["id"])
        rows = world.service.json("sql", whole["evidence_query"])
        again = {row["segment"]: (int(row["k"]), int(row["n"])) for row in rows}
        said = {s: (v["k"], v["n"]) for s, v in whole["evidence"].items() if s in again}
        assert again == said


def test_a_signal_three_days_late_changes_its_day_and_its_verdict_only(world: World) -> None:
    """One more expert sees an error that hits few experts; all else stays as it was."""
    service = world.service
    target = next(c for c in world.report["challenges"] if c["rule"] == 2)
    seen = next(
        set(c["affected"]) for c in world.truth["challenges"] if identity(c) == identity(target)
    )
    expert = next(
        u for u, s in sorted(world.truth["users"].items()) if s == "expert" and u not in seen
    )
    days_before = settled_days(service)
    when = datetime(2026, 1, 29, 10, tzinfo=UTC)
    send_error(service.otlp, target, user=expert, when=when)
    service.json("analyze", "--rules", "paper")
    after = service.json("report")
    days_after = settled_days(service)
    assert {day for day in days_after if days_after[day] != days_before[day]} == {"2026-01-29"}
    before = {c["id"]: c for c in world.report["challenges"]}
    changed = {c["id"] for c in after["challenges"] if verdict(c) != verdict(before[c["id"]])}
    assert changed == {target["id"]}
    now = next(c for c in after["challenges"] if c["id"] == target["id"])
    assert now["evidence"]["expert"]["k"] == target["evidence"]["expert"]["k"] + 1


def settled_days(service: Service) -> dict[str, tuple[str, int]]:
    rows = service.json("sql", "SELECT event_day, settled_time, signals FROM settled_days FINAL")
    return {row["event_day"]: (row["settled_time"], int(row["signals"])) for row in rows}


def verdict(challenge: dict[str, Any]) -> tuple[Any, ...]:
    counts = {s: (v["k"], v["n"]) for s, v in challenge["evidence"].items()}
    return (*identity(challenge), challenge["grade"], counts)


def send_error(endpoint: str, challenge: dict[str, Any], *, user: str, when: datetime) -> None:
    start = int((when - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
    said = {
        "user.hash": user,
        "mlp.stage": challenge["stage"],
        "mlp.component": challenge["component"],
        "error.type": challenge["signal"],
    }
    span = encode.span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name="late",
        start_ns=start,
        end_ns=start + 10**9,
        attributes=encode.span_attributes(said),
        status=encode.StatusCode.ERROR,
    )
    sender_is = encode.resource({"service.name": "late"})
    payload = encode.traces_request(sender_is, encode.scope("late"), [span])
    with OtlpSender(endpoint) as sender:
        sender.send_traces(payload, records=1)
        assert sender.drain().accepted == 1
