"""The life of a challenge, told run by run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.analysis.challenges import place_id
from analyzer_service.analysis.life import live
from analyzer_service.domain import ChallengeKind, Grade, SignalId, SignalKind
from analyzer_service.lives import (
    Comparison,
    Effect,
    Life,
    LifeState,
    Review,
    ReviewKind,
    Sighting,
)

ET = ChallengeKind.EDUCATION_TRAINING
SOP = ChallengeKind.SIMPLICITY_OF_PLATFORM
SIGNAL = SignalId(SignalKind.ERROR, "model_training", "jobs", "Killed")
START = datetime(2026, 1, 5, tzinfo=UTC)


def at(week: float) -> datetime:
    return START + timedelta(weeks=week)


def run(
    week: float,
    kind: ChallengeKind | None = ET,
    grade: Grade | None = Grade.CONFIRMED,
    effect: Effect | None = None,
) -> Sighting:
    comparison = Comparison(effect, -0.2, -0.3, -0.1, 0.3, 0.1, 0.2, 0.2) if effect else None
    return Sighting(f"an-{week}", at(week), kind, grade if kind else None, "et-x", comparison)


def said(week: float, kind: ReviewKind, comment: str = "") -> Review:
    effective = at(week) if kind is ReviewKind.INTERVENE else None
    return Review("r", place_id(SIGNAL), kind, at(week), "ann", comment, effective_time=effective)


def lived(*events: Sighting | Review) -> Life:
    life = live(SIGNAL, events)
    assert life is not None
    return life


def test_nothing_said_or_only_said_by_people_is_no_life() -> None:
    assert live(SIGNAL, []) is None
    assert live(SIGNAL, [run(1, None), run(2, ET, Grade.INSUFFICIENT)]) is None
    assert live(SIGNAL, [said(1, ReviewKind.CONFIRM)]) is None


def test_it_opens_when_first_reported_and_keeps_count() -> None:
    life = lived(run(1), run(2), run(3))
    assert (life.state, life.runs, life.first_seen, life.last_seen) == (LifeState.OPEN, 3, at(1), at(3))  # fmt: skip


def test_another_kind_needs_two_runs_a_week_apart() -> None:
    assert lived(run(1), run(2, SOP)).kind is ET
    assert lived(run(1), run(2, SOP), run(2.5, SOP)).kind is ET
    assert lived(run(1), run(2, SOP), run(3, SOP)).kind is SOP
    assert lived(run(1), run(2, SOP), run(2.5), run(3, SOP)).kind is ET


def test_unseen_for_a_whole_window_is_resolved_and_not_sooner() -> None:
    unseen = [run(week, None) for week in (2, 3, 4)]
    assert lived(run(1), *unseen).state is LifeState.OPEN
    assert lived(run(1), *unseen, run(5, None)).state is LifeState.RESOLVED


def test_too_little_evidence_is_not_evidence_of_absence() -> None:
    thin = [run(week, ET, Grade.INSUFFICIENT) for week in range(2, 20)]
    assert lived(run(1), *thin).state is LifeState.OPEN


def test_a_fix_that_helps_is_resolved_and_a_relapse_regressed() -> None:
    fixed = [run(1), said(1, ReviewKind.INTERVENE)]
    fixed += [run(2, effect=Effect.NO_DIFFERENCE), run(3, effect=Effect.BETTER)]
    assert lived(*fixed).state is LifeState.VERIFYING
    fixed += [run(4, None, effect=Effect.BETTER), run(5, None, effect=Effect.BETTER)]
    resolved = lived(*fixed)
    assert (resolved.state, resolved.since) == (LifeState.RESOLVED, at(5))
    assert lived(*fixed, run(6)).state is LifeState.RESOLVED
    assert lived(*fixed, run(6), run(7)).state is LifeState.REGRESSED
    assert lived(*fixed, run(6, SOP), run(6.5, ET), run(7, SOP)).state is LifeState.REGRESSED


def test_a_fix_without_effect_is_open_again_after_a_window() -> None:
    events = [run(1), said(1, ReviewKind.INTERVENE)]
    events += [run(week, effect=Effect.NO_DIFFERENCE) for week in (2, 3, 4)]
    assert lived(*events).state is LifeState.VERIFYING
    life = lived(*events, run(5, effect=Effect.NO_DIFFERENCE))
    assert (life.state, life.cause) == (LifeState.OPEN, "the intervention showed: no difference")


def test_unseen_without_a_measured_effect_is_not_resolved_by_the_fix() -> None:
    events = [run(1), said(1, ReviewKind.INTERVENE)]
    events += [run(week, None, effect=Effect.NO_DIFFERENCE) for week in (2, 3, 4)]
    assert lived(*events).state is LifeState.VERIFYING


def test_an_intervention_still_to_come_waits() -> None:
    announced = Review("r", place_id(SIGNAL), ReviewKind.INTERVENE, at(1), "ann", effective_time=at(9))  # fmt: skip
    assert lived(run(1), announced, run(2), run(3)).state is LifeState.INTERVENTION


def test_what_was_said_before_it_was_seen_holds_from_then_on() -> None:
    assert lived(said(0, ReviewKind.DISMISS, "a load test"), run(1)).state is LifeState.DISMISSED
    done = lived(said(0, ReviewKind.INTERVENE), run(1, effect=Effect.BETTER))
    assert done.state is LifeState.VERIFYING
    assert done.comparison is not None


def test_people_acknowledge_dismiss_and_reopen() -> None:
    known = lived(run(1), said(1, ReviewKind.CONFIRM))
    assert (known.state, known.confirmed) == (LifeState.ACKNOWLEDGED, True)
    gone = [run(1), said(1, ReviewKind.DISMISS, "a load test")]
    assert lived(*gone, run(2), run(9)).state is LifeState.DISMISSED
    assert lived(*gone).cause == "dismissed by ann: a load test"
    assert lived(*gone, said(3, ReviewKind.REOPEN)).state is LifeState.OPEN
    assert lived(run(1), said(1, ReviewKind.COMMENT, "hm")).state is LifeState.OPEN


events = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([ET, SOP, None]), st.sampled_from(list(Grade)), st.sampled_from([None, *Effect])),
        st.sampled_from(list(ReviewKind)),
    ),
    max_size=30,
)  # fmt: skip


@given(events, st.floats(0.2, 3))
def test_any_story_has_one_consistent_end(story: list[object], pace: float) -> None:
    told: list[Sighting | Review] = []
    for place, event in enumerate(story):
        week = round(place * pace, 3)
        if isinstance(event, ReviewKind):
            told.append(said(week, event))
        else:
            kind, grade, effect = event  # type: ignore[misc]
            told.append(run(week, kind, grade, effect))
    life = live(SIGNAL, told)
    assert live(SIGNAL, told) == life
    if life is None:
        return
    assert life.first_seen <= life.last_seen
    assert life.runs >= 1
    assert life.place_id == place_id(SIGNAL)
    if life.state in {LifeState.INTERVENTION, LifeState.VERIFYING}:
        assert life.intervention is not None
