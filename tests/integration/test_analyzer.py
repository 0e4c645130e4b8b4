"""The application over a real store: running, watching, reading, refusing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from store_fixture import fresh_store
from telemetry_rows import MONDAY, Span, add_spans, person

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import (
    Analysis,
    AnalysisRequest,
    AnalysisStatus,
    BottleneckStatus,
    ChallengeKind,
    Grade,
    Segment,
)
from analyzer_service.errors import (
    BusyError,
    InvalidInputError,
    NotFoundError,
    NothingToAnalyzeError,
    PageTokenError,
    QueryRefusedError,
    RuleSetError,
)
from analyzer_service.scheduler import Scheduler
from analyzer_service.store.connect import Store
from analyzer_service.store.results import ResultWriter
from otel_instrumentation import semconv

DAY = timedelta(days=1)
PAPER = AnalysisRequest(rule_set="paper")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def analyzer(store: Store) -> Analyzer:
    return Analyzer(store, SystemClock(), stages=semconv.STAGES)


def work(
    user: str, *, kinds: int, seconds: float, failing: int = 0, repeats: int = 0
) -> list[Span]:
    """Two weeks of one user's key actions."""
    routine = (
        Span(
            f"{user}-{day}-{number}",
            "op",
            user=user,
            when=MONDAY + day * DAY,
            action=f"action{number}",
            action_kind="key",
            seconds=seconds,
            session=f"{user}-{day}",
            digest=f"{user}-{day}-{number}",
        )
        for day in range(10)
        for number in range(kinds)
    )
    cut_off = (
        Span(
            f"{user}-fail{number}",
            "op",
            user=user,
            when=MONDAY + DAY,
            action="action0",
            action_kind="key",
            seconds=30,
            error="CutOff",
        )
        for number in range(failing)
    )
    again = (
        Span(
            f"{user}-again{number}",
            "op",
            user=user,
            when=MONDAY + timedelta(minutes=number),
            stage="data_collection",
            component="connectors",
            action="connect",
            action_kind="key",
            seconds=60,
            digest="same",
        )
        for number in range(repeats)
    )
    return [*routine, *cut_off, *again]


@pytest.fixture
def planted(store: Store) -> Store:
    """Twelve users; beginners and intermediates all fail, experts never do; everybody repeats."""
    spans: list[Span] = []
    for n in range(4):
        spans += work(f"expert{n}", kinds=16, seconds=20 + n, repeats=6)
        spans += work(f"middle{n}", kinds=8, seconds=80 + n, failing=1, repeats=6)
        spans += work(f"novice{n}", kinds=3, seconds=400 + n, failing=2, repeats=6)
    spans.append(Span("passer-by", "op", user="passer-by", action_kind="key"))
    add_spans(store, spans)
    return store


def test_a_run_finds_what_was_planted(planted: Store, analyzer: Analyzer) -> None:
    analysis = analyzer.run(PAPER)
    assert analysis.status is AnalysisStatus.SUCCEEDED
    assert (analysis.rated, analysis.unrated) == (12, 1)
    assert set(analysis.segment_sizes.values()) == {4}
    found = analyzer.list_challenges(analysis_id=analysis.analysis_id)
    assert {(c.kind, c.rule, c.signal.signal) for c in found.items} == {
        (ChallengeKind.EDUCATION_TRAINING, "2", "CutOff"),
        (ChallengeKind.SIMPLICITY_OF_PLATFORM, "3", "connect"),
    }
    first = found.items[0]
    assert first.rank == 1
    assert first.users_affected == 12
    assert first.example_trace_ids


def test_evidence_reproduces_through_the_gate(planted: Store, analyzer: Analyzer) -> None:
    analyzer.run(PAPER)
    for challenge in analyzer.list_challenges().items:
        answer = analyzer.query(challenge.evidence_query)
        assert [column.name for column in answer.columns] == ["segment", "k", "n"]
        assert len(list(answer)) == 3


def test_users_and_their_bottlenecks(planted: Store, analyzer: Analyzer) -> None:
    analyzer.run(PAPER)
    report = analyzer.get_user(person("novice1"))
    assert report.segment.segment is Segment.BEGINNER
    stages = {b.stage: b.status for b in report.bottlenecks}
    assert stages == {
        "data_collection": BottleneckStatus.BOTTLENECK,
        "model_training": BottleneckStatus.BOTTLENECK,
    }
    lost = next(b for b in report.bottlenecks if b.stage == "model_training")
    assert lost.time_lost_seconds == 60
    experts = analyzer.list_users(segment=Segment.EXPERT)
    assert {u.segment.user for u in experts.items} == {person(f"expert{n}") for n in range(4)}
    assert analyzer.get_user(person("passer-by")).segment.segment is Segment.UNRATED


def test_signals_behind_a_challenge(planted: Store, analyzer: Analyzer) -> None:
    analyzer.run(PAPER)
    by_signal = {c.signal.signal: c for c in analyzer.list_challenges().items}
    failures = analyzer.list_challenge_signals(by_signal["CutOff"].challenge_id, page_size=5)
    assert failures.total == 12
    assert len(failures.items) == 5
    rest = analyzer.list_challenge_signals(
        by_signal["CutOff"].challenge_id, page_size=50, page_token=failures.next_token
    )
    assert len(rest.items) == 7
    assert analyzer.list_challenge_signals(by_signal["connect"].challenge_id).total == 12 * 6


def test_filters(planted: Store, analyzer: Analyzer) -> None:
    analyzer.run(PAPER)
    assert analyzer.list_challenges(kind=ChallengeKind.MIXED).total == 0
    assert analyzer.list_challenges(kind=ChallengeKind.EDUCATION_TRAINING).total == 1
    assert analyzer.list_challenges(stage="data_collection").total == 1
    assert analyzer.list_challenges(grade=Grade.LITERAL).total == 2
    assert analyzer.list_challenges(grade=Grade.CONFIRMED).total == 0


def test_a_started_run_can_be_watched(planted: Store, analyzer: Analyzer) -> None:
    begun = analyzer.start(PAPER)
    seen: list[Analysis] = list(analyzer.watch(begun.analysis_id))
    assert seen[-1].status is AnalysisStatus.SUCCEEDED
    assert analyzer.get_analysis("latest").analysis_id == begun.analysis_id
    assert analyzer.list_analyses().total == 1


def test_only_one_runs_at_a_time(planted: Store, analyzer: Analyzer) -> None:
    begun = analyzer.start(PAPER)
    with pytest.raises(BusyError):
        analyzer.start(PAPER)
    assert list(analyzer.watch(begun.analysis_id))[-1].status is AnalysisStatus.SUCCEEDED


def test_many_starts_at_once_give_one_run(planted: Store, analyzer: Analyzer) -> None:
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            analyzer.start(PAPER)
            outcomes.append("started")
        except BusyError:
            outcomes.append("busy")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("started") == analyzer.list_analyses().total
    list(analyzer.watch(analyzer.list_analyses().items[0].analysis_id))


def test_an_empty_store_fails_with_the_reason(analyzer: Analyzer) -> None:
    with pytest.raises(NothingToAnalyzeError):
        analyzer.run(PAPER)
    failed = analyzer.list_analyses().items[0]
    assert failed.status is AnalysisStatus.FAILED
    assert "no settled signals" in failed.error
    with pytest.raises(NotFoundError):
        analyzer.get_analysis()


def test_what_a_stopped_service_left_is_failed(store: Store, analyzer: Analyzer) -> None:
    now = SystemClock().now()
    left = Analysis(
        analysis_id="an-left", status=AnalysisStatus.RUNNING, created_time=now, updated_time=now,
        window=None, known_at=None, rule_set="paper", rule_set_version="1", preset="calibrated",
        rated=0, unrated=0, segment_sizes={}, challenges=0, error="",
    )  # fmt: skip
    ResultWriter(store).analysis(left)
    again = Analyzer(store, SystemClock(), stages=semconv.STAGES)
    assert again.get_analysis("an-left").status is AnalysisStatus.FAILED


def test_a_rule_set_of_ones_own(planted: Store, analyzer: Analyzer) -> None:
    own = """
name: strict
version: "7"
kind: literal
denominator: rated
repeats_more_than: 5
rules:
  - rule: "9"
    signal: error
    periods: [window]
    kind: education_training
    clauses:
      beginner: {more_than: 99}
"""
    analysis = analyzer.run(AnalysisRequest(rule_set="mine.yaml", rule_set_yaml=own))
    assert (analysis.rule_set, analysis.rule_set_version) == ("strict", "7")
    assert [c.rule for c in analyzer.list_challenges().items] == ["9"]
    with pytest.raises(RuleSetError) as caught:
        analyzer.run(AnalysisRequest(rule_set="mine.yaml", rule_set_yaml=own + "colour: red\n"))
    assert "colour" in caught.value.message


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (AnalysisRequest(rule_set="no-such"), "rule_set"),
        (AnalysisRequest(rule_set="/etc/passwd.yaml"), "rule_set"),
        (AnalysisRequest(preset="no-such"), "preset"),
    ],
)
def test_wrong_requests_name_the_field(
    analyzer: Analyzer, request_: AnalysisRequest, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        analyzer.start(request_)
    assert caught.value.field == field
    assert analyzer.list_analyses().total == 0


def test_wrong_questions(planted: Store, analyzer: Analyzer) -> None:
    analyzer.run(PAPER)
    with pytest.raises(InvalidInputError, match="page_size"):
        analyzer.list_users(page_size=-1)
    with pytest.raises(PageTokenError):
        analyzer.list_users(page_token="what?")
    with pytest.raises(InvalidInputError, match="pseudonym"):
        analyzer.get_user("ann@example.org")
    with pytest.raises(NotFoundError):
        analyzer.get_user(person("nobody"))
    with pytest.raises(NotFoundError):
        analyzer.get_challenge("no-such")
    with pytest.raises(NotFoundError):
        analyzer.get_analysis("no-such")
    with pytest.raises(QueryRefusedError):
        analyzer.query("DROP TABLE signals")


def test_the_accounting_adds_up(planted: Store, analyzer: Analyzer) -> None:
    add_spans(planted, [Span("lost", "op", component="lonely", action_kind="key")])
    analyzer.run(PAPER)
    status = analyzer.status()
    traces = next(source for source in status.sources if source.source == "traces")
    assert traces.stored == traces.signals
    assert status.users == 13
    assert status.without_user == 1
    assert status.failures == 12
    assert status.last_analysis is not None


def test_the_scheduler_runs_when_something_arrived_and_only_then(
    planted: Store, analyzer: Analyzer
) -> None:
    scheduler = Scheduler(analyzer, PAPER, interval_seconds=3600)
    assert scheduler.tick() is True
    assert scheduler.tick() is False
    add_spans(planted, [Span("more", "op", user="ann", action_kind="key")])
    assert scheduler.tick() is True
    assert analyzer.list_analyses().total == 2


def test_the_scheduler_tries_again_what_failed(planted: Store, analyzer: Analyzer) -> None:
    scheduler = Scheduler(analyzer, PAPER, interval_seconds=3600)
    planted.execute("RENAME TABLE user_segments TO away")
    assert scheduler.tick() is False
    planted.execute("RENAME TABLE away TO user_segments")
    assert scheduler.tick() is True
    assert scheduler.tick() is False


def test_the_scheduler_analyses_what_another_analysis_settled(
    planted: Store, analyzer: Analyzer
) -> None:
    analyzer.run(PAPER)
    assert Scheduler(analyzer, PAPER, interval_seconds=3600).tick() is True


def test_the_scheduler_survives_an_empty_store(analyzer: Analyzer) -> None:
    assert Scheduler(analyzer, PAPER, interval_seconds=3600).tick() is False


def test_the_scheduler_starts_and_stops(planted: Store, analyzer: Analyzer) -> None:
    scheduler = Scheduler(analyzer, PAPER, interval_seconds=0.01)
    scheduler.start()
    waited = threading.Event()
    for _ in range(1000):
        if analyzer.list_analyses().total:
            break
        waited.wait(0.02)
    scheduler.stop()
    assert analyzer.list_analyses().total == 1
