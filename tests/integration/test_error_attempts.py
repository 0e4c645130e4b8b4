"""Attempts and failures per user, as the judge of errors reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from store_fixture import fresh_store

from analyzer_service.domain import Segment, UserSegment, Window
from analyzer_service.store.connect import Store
from analyzer_service.store.reader import Reader
from analyzer_service.store.results import ResultWriter

START = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=28))
WHERE = ["model_training", "jobs"]
# User, action, attempts: everybody submits often; two of four also use the rare action.
ATTEMPTS = [
    *((user, "submit", 40) for user in range(4)),
    (0, "resume", 3),
    (1, "resume", 2),
    (9, "submit", 5),
]
# User, action, error type, times: one error only where jobs are resumed, one below any attempt.
FAILURES = [
    (0, "resume", "Missing", 3),
    (3, "submit", "Killed", 2),
    (2, "SELECT", "Deadlock", 1),
    (9, "submit", "Killed", 5),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_store(tmp_path_factory.mktemp("attempts")) as opened:
        day = START.date()
        columns = ["event_day", "user_key", "stage", "component", "action"]
        opened.insert_rows(
            "attempts_daily",
            [*columns, "action_kind", "attempts"],
            [[day, key(user), *WHERE, action, "key", times] for user, action, times in ATTEMPTS],
        )
        opened.insert_rows(
            "failures",
            [*columns, "error_type"],
            [
                [day, key(user), *WHERE, action, error]
                for user, action, error, times in FAILURES
                for _ in range(times)
            ],
        )
        segments = [
            UserSegment(key(user).hex(), segment, 1.0, borderline=False)
            for user, segment in (
                (0, Segment.EXPERT),
                (1, Segment.EXPERT),
                (2, Segment.BEGINNER),
                (3, Segment.BEGINNER),
                (9, Segment.UNRATED),
            )
        ]
        ResultWriter(opened).users("an-1", segments)
        yield opened


def key(user: int) -> bytes:
    return user.to_bytes(16, "big")


def cells(store: Store, error: str) -> set[tuple[Segment, int, int, int]]:
    sizes = {Segment.EXPERT: 2, Segment.INTERMEDIATE: 0, Segment.BEGINNER: 2}
    [found] = [
        counts
        for counts in Reader(store).error_counts(WINDOW, "an-1", sizes)
        if counts.signal.signal == error
    ]
    return {
        (segment, cell.attempts, cell.failures, cell.users)
        for segment, listed in found.attempts.items()
        for cell in listed
    }


def test_attempts_are_those_of_the_action_that_fails(store: Store) -> None:
    assert cells(store, "Missing") == {(Segment.EXPERT, 3, 3, 1), (Segment.EXPERT, 2, 0, 1)}


def test_whoever_did_not_fail_is_counted_and_the_unrated_are_not(store: Store) -> None:
    assert cells(store, "Killed") == {
        (Segment.EXPERT, 40, 0, 2),
        (Segment.BEGINNER, 40, 0, 1),
        (Segment.BEGINNER, 40, 2, 1),
    }


def test_an_error_below_any_attempt_counts_against_the_component(store: Store) -> None:
    assert cells(store, "Deadlock") == {
        (Segment.EXPERT, 43, 0, 1),
        (Segment.EXPERT, 42, 0, 1),
        (Segment.BEGINNER, 40, 0, 1),
        (Segment.BEGINNER, 40, 1, 1),
    }
