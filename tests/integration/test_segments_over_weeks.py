"""An analysis follows users through their weeks, from settled signals to their segment."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_fixture import fresh_store
from telemetry_rows import MONDAY, Span, add_spans, person

from analyzer_service.analyzer import Analyzer
from analyzer_service.clock import SystemClock
from analyzer_service.domain import AnalysisRequest, Segment, Window
from analyzer_service.store.connect import Store
from analyzer_service.store.reader import Reader
from otel_instrumentation import semconv

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = timedelta(weeks=1)
CALIBRATED = AnalysisRequest(rule_set="paper", preset="calibrated")
LEVELS = (Segment.BEGINNER, Segment.INTERMEDIATE, Segment.EXPERT)
EACH = 12


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with fresh_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def analyzer(store: Store) -> Analyzer:
    return Analyzer(store, SystemClock(), stages=semconv.STAGES)


def key(user: str, when: datetime, action: str, seconds: float = 10.0, **said: str) -> Span:
    return Span(
        f"{user}-{when:%j%H%M}-{action}",
        "op",
        user=user,
        when=when,
        action=action,
        action_kind="key",
        seconds=seconds,
        **said,
    )


def test_weeks_are_counted_back_from_the_end(store: Store, analyzer: Analyzer) -> None:
    spans = [
        key("a", MONDAY, "fit", 10, session="one"),
        key("a", MONDAY + timedelta(minutes=20), "plot", 10, session="one"),
        key("b", MONDAY, "fit", 40),
        key("a", MONDAY + 2 * WEEK, "fit", 20, session="two"),
        key("a", MONDAY + 2 * WEEK + timedelta(hours=1), "fit", 20, error="Stop"),
    ]
    add_spans(store, spans)
    analyzer.settle()
    weeks = Reader(store).user_weeks(Window(START, START + 3 * WEEK))
    found = {(week.user, week.week): week for week in weeks}
    assert set(found) == {(person("a"), -2), (person("a"), 0), (person("b"), -2)}
    first, last = found[person("a"), -2], found[person("a"), 0]
    assert (first.actions, first.distinct_actions) == (2, 2)
    assert (last.actions, last.distinct_actions) == (2, 1)
    assert first.minutes_per_session == pytest.approx(20, abs=1)
    assert math.isnan(found[person("b"), -2].minutes_per_session)
    assert first.completion_seconds < last.completion_seconds
    assert found[person("b"), -2].completion_seconds > 1, "slower than others on the same action"
    before = Reader(store).user_weeks(Window(START, START + WEEK))
    assert {week.week for week in before} == {0}


def planted(rng: random.Random) -> list[Span]:
    """Four weeks of users of three levels, five days a week, with chance in everything."""
    spans = []
    for level in range(3):
        for number in range(EACH):
            user = f"{LEVELS[level]}{number}"
            for day in (d for d in range(28) if d % 7 < 5):
                when = MONDAY + timedelta(days=day)
                for action in rng.sample(range(20), rng.randint(1, 2 + 3 * level)):
                    seconds = math.exp(rng.gauss(5.5 - level, 0.5))
                    begin = when + timedelta(minutes=10 * action)
                    spans.append(key(user, begin, f"action{action}", seconds, session=user))
    return spans


def test_users_are_called_what_they_are(store: Store, analyzer: Analyzer) -> None:
    add_spans(store, planted(random.Random(1)))
    analysis = analyzer.run(CALIBRATED)
    assert analysis.rated == 3 * EACH
    wrong = 0
    for level in LEVELS:
        for number in range(EACH):
            user = analyzer.get_user(person(f"{level}{number}"))
            wrong += user.segment.segment is not level
    assert wrong <= 2
    again = analyzer.run(CALIBRATED)
    assert again.segment_sizes == analysis.segment_sizes
