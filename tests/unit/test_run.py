"""Choosing a window, and one user's bottlenecks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from analyzer_service.analysis.segmentation import Segmentation
from analyzer_service.domain import AnalysisRequest, BottleneckStatus, Segment, UserSegment
from analyzer_service.errors import InvalidInputError, NothingToAnalyzeError
from analyzer_service.run import bottlenecks, choose_window

NEWEST = date(2026, 2, 1)
FEBRUARY_2 = datetime(2026, 2, 2, tzinfo=UTC)


def test_the_default_window_is_28_days_to_the_newest_settled_one() -> None:
    window = choose_window(AnalysisRequest(), NEWEST)
    assert (window.start, window.end) == (datetime(2026, 1, 5, tzinfo=UTC), FEBRUARY_2)


def test_an_end_alone_gives_the_28_days_before_it() -> None:
    request = AnalysisRequest(window_end=datetime(2026, 1, 29, tzinfo=UTC))
    assert choose_window(request, None).start == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_empty_store_has_nothing_to_analyse() -> None:
    with pytest.raises(NothingToAnalyzeError):
        choose_window(AnalysisRequest(), None)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (AnalysisRequest(window_end=FEBRUARY_2 + timedelta(hours=1)), "window_start"),
        (AnalysisRequest(window_start=FEBRUARY_2, window_end=FEBRUARY_2), "window_end"),
        (
            AnalysisRequest(window_start=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=9)))),
            "window_start",
        ),
    ],
)
def test_a_window_of_no_whole_utc_days_is_refused(request_: AnalysisRequest, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        choose_window(request_, NEWEST)
    assert caught.value.field == field


def test_bottlenecks_come_worst_first_with_their_share() -> None:
    users = (
        UserSegment("a" * 32, Segment.BEGINNER, 1.0, borderline=False),
        UserSegment("b" * 32, Segment.UNRATED, 0.0, borderline=False),
    )
    affected = [("slow", "a" * 32, "training", 3 * 10**9), ("odd", "a" * 32, "training", 10**9)]
    spent = {
        ("a" * 32, "training"): (9, 12 * 10**9),
        ("a" * 32, "deployment"): (3, 10**9),
        ("b" * 32, "deployment"): (2, 10**9),
    }
    found = bottlenecks(Segmentation(users=users, segments=()), affected, spent)
    said = [(b.user[0], b.stage, b.status, b.challenge_id, b.share_of_time) for b in found]
    seen = BottleneckStatus
    assert said == [
        ("a", "deployment", seen.NONE, "", 0.0),
        ("a", "training", seen.BOTTLENECK, "slow", 0.25),
        ("a", "training", seen.BOTTLENECK, "odd", round(1 / 12, 9)),
        ("b", "deployment", seen.NOT_ENOUGH_SEEN, "", 0.0),
        ("b", "training", seen.NOT_ENOUGH_SEEN, "", 0.0),
    ]
    assert [b.rank for b in found if b.challenge_id] == [1, 2]
