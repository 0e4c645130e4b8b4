"""Lives told from a real store: runs, reviews and interventions with a planted truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from memory_analyzer import analysis, challenge
from store_fixture import fresh_store

from analyzer_service.domain import (
    Challenge,
    ChallengeKind,
    Grade,
    Segment,
    SignalId,
    SignalKind,
    UserSegment,
    Window,
)
from analyzer_service.errors import InvalidInputError
from analyzer_service.following import Following
from analyzer_service.lives import Effect, LifeState, ReviewDraft, ReviewKind
from analyzer_service.store.connect import Store
from analyzer_service.store.lives import LifeStore
from analyzer_service.store.results import ResultWriter

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 140
FIX, RELAPSE = 49, 98
USERS = 60
HELPED = SignalId(SignalKind.ERROR, "model_training", "jobs", "Killed")
UNCHANGED = SignalId(SignalKind.ERROR, "model_training", "jobs", "Unchanged")
ELSEWHERE = SignalId(SignalKind.ERROR, "model_training", "jobs", "Elsewhere")
"""What people say of a place holds in every story, so a test that dismisses one has its own."""
LENGTH = timedelta(days=28)
ET = ChallengeKind.EDUCATION_TRAINING


def day(number: float) -> datetime:
    return START + timedelta(days=number)


class SteppedClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def plant(store: Store) -> None:
    """Attempts every day; one error is mended on a day and comes back, the other stays."""
    random = np.random.default_rng(3)
    what = [HELPED.stage, HELPED.component, "submit"]
    columns = ["event_day", "user_key", "stage", "component", "action"]
    for number in range(DAYS):
        when = day(number).date()
        mended = FIX <= number < RELAPSE
        attempts, failures = [], []
        for user in range(USERS):
            who = [when, user.to_bytes(16, "big"), *what]
            times = int(random.poisson(2))
            attempts.append([*who, "key", times, times])
            for name, rate in (("Killed", 0.02 if mended else 0.35), ("Unchanged", 0.3)):
                failed = int(random.binomial(times, rate if user % 3 else 0.02))
                failures.extend([[*who, name]] * failed)
        store.insert_rows("attempts_daily", [*columns, "action_kind", "events", "attempts"], attempts)  # fmt: skip
        store.insert_rows("failures", [*columns, "error_type"], failures)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_store(tmp_path_factory.mktemp("following")) as opened:
        plant(opened)
        yield opened


@pytest.fixture
def told(store: Store) -> Callable[[str], Story]:
    return lambda name: Story(store, name)


class Story:
    """Weekly runs of a rule set of its own, and what is said between them."""

    def __init__(self, store: Store, name: str) -> None:
        self._results = ResultWriter(store)
        self._name = name
        self.clock = SteppedClock()
        self.following = Following(LifeStore(store), self.clock)
        self.last = ""

    def run(self, end: int, *reported: SignalId, grade: Grade = Grade.CONFIRMED) -> str:
        """One run over the 28 days that end on a day, made that day."""
        self.last = f"{self._name}-{end}-{self.clock.now():%H%M%S}"
        self.clock.moment = max(self.clock.moment, day(end)) + timedelta(seconds=1)
        window = Window(day(end) - LENGTH, day(end))
        made = self.clock.now()
        self._results.analysis(analysis(analysis_id=self.last, rule_set=self._name, window=window, created_time=made, updated_time=made))  # fmt: skip
        users = [
            UserSegment(
                user.to_bytes(16, "big").hex(),
                Segment.BEGINNER if user % 3 else Segment.EXPERT,
                1.0,
                borderline=False,
            )
            for user in range(USERS)
        ]
        self._results.users(self.last, users)
        found = [replace(self.challenge(signal), grade=grade) for signal in reported]
        self._results.challenges(found)
        self.following.compare(self.last, window)
        return self.last

    def challenge(self, signal: SignalId) -> Challenge:
        return replace(
            challenge(1, ET, signal.stage),
            signal=signal,
            analysis_id=self.last,
            challenge_id=f"et-{signal.signal.lower()}",
        )

    def state(self, signal: SignalId) -> LifeState:
        lives = self.following.lives(self.last).values()
        return next(life.state for life in lives if life.signal == signal)


def test_a_fix_is_resolved_a_relapse_regressed_and_no_effect_neither(
    told: Callable[[str], Story],
) -> None:
    story = told("fixes")
    both = (HELPED, UNCHANGED)
    for end in (28, 35, 42):
        story.run(end, *both)
    assert {story.state(signal) for signal in both} == {LifeState.OPEN}
    story.clock.moment += timedelta(hours=1)
    for signal in both:
        banner = ReviewDraft(ReviewKind.INTERVENE, "ann", "a banner", day(FIX), (Segment.BEGINNER,))
        story.following.review(signal, banner)
    assert {story.state(signal) for signal in both} == {LifeState.INTERVENTION}
    # The window still holds failures of before: the judge goes on reporting both for a while.
    for end in (56, 63, 70):
        story.run(end, *both)
    assert {story.state(signal) for signal in both} == {LifeState.VERIFYING}
    story.run(77, UNCHANGED)
    story.run(84, UNCHANGED)
    assert story.state(HELPED) is LifeState.RESOLVED
    assert story.state(UNCHANGED) is LifeState.OPEN
    lives = {life.signal: life for life in story.following.lives(story.last).values()}
    helped, unchanged = lives[HELPED].comparison, lives[UNCHANGED].comparison
    assert helped is not None
    assert unchanged is not None
    assert (helped.effect, unchanged.effect) == (Effect.BETTER, Effect.NO_DIFFERENCE)
    assert helped.low <= -0.33 <= helped.high
    assert unchanged.low <= 0 <= unchanged.high
    assert helped.untouched_before is not None
    story.run(119, *both)
    assert story.state(HELPED) is LifeState.RESOLVED
    story.run(126, *both)
    assert story.state(HELPED) is LifeState.REGRESSED


def test_the_same_window_again_is_one_run_and_other_rule_sets_are_other_stories(
    told: Callable[[str], Story],
) -> None:
    story, other = told("again"), told("other")
    for _ in range(3):
        story.run(28, HELPED)
    other.run(35, HELPED)
    [life] = story.following.lives(story.last).values()
    assert life.runs == 1
    story.run(28)
    assert story.following.lives(story.last) == {}


def test_a_past_run_tells_the_story_as_it_was(told: Callable[[str], Story]) -> None:
    story = told("past")
    first = story.run(28, ELSEWHERE)
    before = story.clock.now()
    story.clock.moment += timedelta(hours=1)
    story.following.review(ELSEWHERE, ReviewDraft(ReviewKind.DISMISS, "ann", "no"))
    story.run(35, ELSEWHERE)
    assert story.state(ELSEWHERE) is LifeState.DISMISSED
    [life] = story.following.lives(first, until=before).values()
    assert life.state is LifeState.OPEN


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("reviewer", {"reviewer": " "}),
        ("reviewer", {"reviewer": "x" * 201}),
        ("comment", {"comment": "x" * 4001}),
        ("comment", {"kind": ReviewKind.DISMISS}),
        ("effective_time", {"kind": ReviewKind.INTERVENE}),
        ("effective_time", {"effective_time": START}),
        ("segments", {"segments": (Segment.EXPERT,)}),
        (
            "segments",
            {
                "kind": ReviewKind.INTERVENE,
                "effective_time": START,
                "segments": (Segment.UNRATED,),
            },
        ),
    ],
)
def test_a_review_that_cannot_be_kept_names_its_field(
    told: Callable[[str], Story], field: str, change: dict[str, object]
) -> None:
    story = told("bad")
    story.run(28, HELPED)
    said: dict[str, object] = {"kind": ReviewKind.CONFIRM, "reviewer": "ann", **change}
    with pytest.raises(InvalidInputError) as refused:
        story.following.review(HELPED, ReviewDraft(**said))  # type: ignore[arg-type]
    assert refused.value.field == field
