"""Users whose skill is known, put in segments."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from analyzer_service.analysis.features import CALIBRATED_FEATURES, PAPER_FEATURES, is_rated
from analyzer_service.analysis.segmentation import (
    BORDERLINE_BELOW,
    Preset,
    Segmentation,
    segment_users,
)
from analyzer_service.domain import RATED_SEGMENTS, Segment, UserActivity
from analyzer_service.errors import InvalidInputError

SIZES = (190, 118, 85)
"""Beginners, intermediates, experts of the paper."""
PLATFORM_ACTIONS = 20
SEEDS = range(10)
ORDER = (Segment.BEGINNER, Segment.INTERMEDIATE, Segment.EXPERT)


def planted(
    seed: int, separation: float, weeks: int, sizes: tuple[int, int, int] = SIZES
) -> tuple[list[UserActivity], dict[str, Segment]]:
    """Draw users of known skill week by week, then add up their weeks as the store does.

    Distinct actions are the union over the weeks, so breadth saturates as a window grows.
    """
    rng = np.random.default_rng(seed)
    skill = np.repeat([0, 1, 2], sizes)
    users, shift = len(skill), separation * skill
    mean_actions = np.exp(3.2 + 0.9 * shift)
    actions = rng.poisson(rng.gamma(1.2, mean_actions / 1.2, (weeks, users))).sum(axis=0)
    used = rng.random((weeks, users, PLATFORM_ACTIONS))
    used = used < (1 / (1 + np.exp(1.5 - 0.9 * shift)))[None, :, None]
    log_duration = rng.normal(-0.5 * shift, 0.8, (weeks, users)).mean(axis=0)
    minutes = np.exp(rng.normal(2.8 + 0.35 * shift, 0.7, (weeks, users))).mean(axis=0)
    key_share = np.clip(rng.normal(0.5, 0.1, users), 0.05, 0.95)
    days = 2 + rng.binomial(5 * weeks - 2, 0.6, users)
    names = [f"{number:032x}" for number in rng.permutation(users)]
    activities = []
    for i, name in enumerate(names):
        count = max(5, int(actions[i]))
        key = int(count * key_share[i])
        activities.append(
            activity(
                name,
                actions=count,
                key_actions=key,
                views=count - key,
                distinct_key_actions=int(used.any(axis=0)[i].sum()),
                active_days=int(days[i]),
                active_weeks=weeks,
                sessions=4 * weeks,
                session_minutes=float(minutes[i]),
                completed=weeks,
                relative_log_duration=float(log_duration[i] - log_duration.mean()),
            )
        )
    return activities, dict(zip(names, (ORDER[z] for z in skill), strict=True))


def activity(user: str, **values: float) -> UserActivity:
    plain = UserActivity(
        user=user,
        actions=20,
        key_actions=10,
        clicks=0,
        views=10,
        distinct_key_actions=4,
        active_days=5,
        active_weeks=2,
        sessions=6,
        session_minutes=20.0,
        completed=5,
        relative_log_duration=0.0,
    )
    return dataclasses.replace(plain, **values)


def agreement(found: Segmentation, truth: dict[str, Segment]) -> float:
    return float(
        adjusted_rand_score([truth[u.user] for u in found.users], [u.segment for u in found.users])
    )


def sizes(found: Segmentation) -> dict[Segment, int]:
    return {summary.segment: summary.users for summary in found.segments}


@pytest.mark.parametrize("seed", SEEDS)
def test_skill_that_is_easy_to_see_is_seen(seed: int) -> None:
    activities, truth = planted(seed, 2.5, weeks=4)
    found = segment_users(activities, Preset.CALIBRATED)
    assert agreement(found, truth) >= 0.95
    for segment, size in zip(ORDER, SIZES, strict=True):
        assert abs(sizes(found)[segment] - size) <= 5
    wrong = sum(truth[u.user] is not u.segment for u in found.users)
    assert wrong <= 6, "labels, not only the partition"


@pytest.mark.parametrize(
    ("separation", "weeks", "least"),
    [(2.5, 1, 0.94), (2.5, 6, 0.98), (1.0, 4, 0.70), (1.0, 6, 0.70), (0.6, 6, 0.35)],
)
def test_harder_skill_is_found_in_part(separation: float, weeks: int, least: float) -> None:
    figures = []
    for seed in SEEDS:
        activities, truth = planted(seed, separation, weeks)
        figures.append(agreement(segment_users(activities, Preset.CALIBRATED), truth))
    assert np.mean(figures) >= least


def test_calibrated_beats_plain_kmeans_where_activity_is_heavy_tailed() -> None:
    activities, truth = planted(3, 1.0, weeks=4)
    calibrated = agreement(segment_users(activities, Preset.CALIBRATED), truth)
    paper = agreement(segment_users(activities, Preset.PAPER), truth)
    assert calibrated > paper + 0.2


def test_busy_beginners_stay_beginners() -> None:
    activities, truth = planted(5, 2.5, weeks=4)
    beginners = {u for u in sorted(truth) if truth[u] is Segment.BEGINNER}
    busy = set(sorted(beginners)[::4])
    loud = [
        dataclasses.replace(a, actions=a.actions * 8, key_actions=a.key_actions * 8)
        if a.user in busy
        else a
        for a in activities
    ]
    placed = {u.user: u.segment for u in segment_users(loud, Preset.CALIBRATED).users}
    stayed = sum(placed[user] is Segment.BEGINNER for user in busy)
    assert stayed >= 0.9 * len(busy)


def test_most_misplaced_users_are_flagged_borderline() -> None:
    wrong = flagged = borderline = users = 0
    for seed in SEEDS:
        activities, truth = planted(seed, 1.0, weeks=4)
        for user in segment_users(activities, Preset.CALIBRATED).users:
            users += 1
            borderline += user.borderline
            if user.segment is not truth[user.user]:
                wrong += 1
                flagged += user.borderline
    assert flagged >= 0.6 * wrong
    assert borderline <= 0.4 * users


@pytest.mark.parametrize("preset", list(Preset))
def test_membership_decides_the_borderline_flag(preset: Preset) -> None:
    activities, _ = planted(1, 1.0, weeks=1)
    for user in segment_users(activities, preset).users:
        assert 1 / 3 <= user.membership <= 1
        assert user.borderline == (user.membership < BORDERLINE_BELOW)


@pytest.mark.parametrize("preset", list(Preset))
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_order_of_users_does_not_matter(preset: Preset, data: st.DataObject) -> None:
    activities, _ = planted(2, 1.0, weeks=2, sizes=(25, 18, 12))
    shuffled = data.draw(st.permutations(activities))
    assert segment_users(shuffled, preset) == segment_users(activities, preset)


@pytest.mark.parametrize("preset", list(Preset))
def test_number_of_threads_does_not_matter(preset: Preset) -> None:
    activities, _ = planted(2, 1.0, weeks=4)
    with threadpool_limits(1):
        alone = segment_users(activities, preset)
    with threadpool_limits(8):
        assert segment_users(activities, preset) == alone


def test_seed_does_not_rename_segments() -> None:
    activities, _ = planted(4, 2.5, weeks=4)
    found = {s: segment_users(activities, Preset.PAPER, seed=s).segments for s in range(5)}
    for segments in found.values():
        assert [s.segment for s in segments] == list(RATED_SEGMENTS)
        scores = [s.proficiency for s in segments]
        assert scores == sorted(scores, reverse=True)


def test_values_are_rounded_and_fit_for_json() -> None:
    activities, _ = planted(2, 1.0, weeks=2)
    found = segment_users(activities, Preset.CALIBRATED)
    for user in found.users:
        numbers = (user.membership, *user.features.values())
        assert all(type(n) is float and n == round(n, 9) for n in numbers)
    json.dumps([dataclasses.asdict(u) for u in found.users], allow_nan=False)
    assert found.segments[0].centroid["distinct_key_actions"] > 0


# -- Who is rated ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actions", "days", "rated"), [(5, 2, True), (4, 2, False), (5, 1, False), (500, 1, False)]
)
def test_who_is_rated(actions: int, days: int, rated: bool) -> None:
    assert is_rated(activity("a", actions=actions, active_days=days)) is rated


def test_unrated_users_are_shown_and_never_beginners() -> None:
    activities, _ = planted(1, 2.5, weeks=4)
    visitors = [activity(f"visitor{i}", actions=2, active_days=1) for i in range(50)]
    with_visitors = segment_users([*visitors, *activities], Preset.CALIBRATED)
    alone = segment_users(activities, Preset.CALIBRATED)
    unrated = [u for u in with_visitors.users if u.segment is Segment.UNRATED]
    assert len(unrated) == 50
    assert all(u.membership == 0.0 and not u.borderline and not u.features for u in unrated)
    assert with_visitors.segments == alone.segments, "they move nobody else"
    names = [u.user for u in with_visitors.users]
    assert names == sorted(names)


# -- Few users, equal users, missing values ----------------------------------------------------


@pytest.mark.parametrize("preset", list(Preset))
def test_nobody(preset: Preset) -> None:
    found = segment_users([], preset)
    assert found.users == ()
    assert sizes(found) == dict.fromkeys(RATED_SEGMENTS, 0)


@pytest.mark.parametrize("preset", list(Preset))
def test_users_who_are_all_alike_are_in_the_middle(preset: Preset) -> None:
    for count in (1, 2, 40):
        found = segment_users([activity(f"u{i}") for i in range(count)], preset)
        assert sizes(found)[Segment.INTERMEDIATE] == count
        assert all(u.membership == 1.0 for u in found.users)


@pytest.mark.parametrize("preset", list(Preset))
def test_two_kinds_of_users_are_the_two_ends(preset: Preset) -> None:
    low = [activity(f"a{i}") for i in range(6)]
    high = [
        activity(f"b{i}", distinct_key_actions=15, key_actions=18, session_minutes=60.0)
        for i in range(4)
    ]
    found = segment_users([*low, *high], preset)
    assert sizes(found) == {Segment.EXPERT: 4, Segment.INTERMEDIATE: 0, Segment.BEGINNER: 6}
    assert found.segments[1].centroid == {}


@pytest.mark.parametrize("preset", list(Preset))
def test_three_users(preset: Preset) -> None:
    trio = [
        activity("c", distinct_key_actions=2, session_minutes=5.0, key_actions=2),
        activity("b", distinct_key_actions=8, session_minutes=25.0, key_actions=8),
        activity("a", distinct_key_actions=18, session_minutes=90.0, key_actions=18),
    ]
    found = segment_users(trio, preset)
    assert [u.segment for u in found.users] == list(RATED_SEGMENTS)


activities_strategy = st.lists(
    st.builds(
        activity,
        user=st.uuids().map(str),
        actions=st.integers(5, 10**7),
        key_actions=st.integers(0, 5),
        distinct_key_actions=st.integers(0, 300),
        active_days=st.integers(2, 28),
        sessions=st.integers(0, 100),
        session_minutes=st.one_of(st.floats(0, 1e5), st.just(float("nan"))),
        completed=st.integers(0, 2),
        relative_log_duration=st.floats(-8, 8),
    ),
    unique_by=lambda a: a.user,
    max_size=12,
)


@pytest.mark.parametrize("preset", list(Preset))
@given(activities=activities_strategy)
@settings(max_examples=40, deadline=None)
def test_any_activities_give_every_user_one_segment(
    preset: Preset, activities: list[UserActivity]
) -> None:
    found = segment_users(activities, preset)
    assert [u.user for u in found.users] == sorted(a.user for a in activities)
    assert sum(sizes(found).values()) == len(activities)
    assert all(0 < u.membership <= 1 for u in found.users)
    json.dumps([dataclasses.asdict(u) for u in found.users], allow_nan=False)


def test_users_without_completions_are_placed_by_what_else_they_do() -> None:
    activities, truth = planted(1, 2.5, weeks=4)
    silent = {a.user for a in activities[::10]}

    def placed(duration: float) -> dict[str, Segment]:
        told = [
            dataclasses.replace(a, completed=0, relative_log_duration=duration)
            if a.user in silent
            else a
            for a in activities
        ]
        return {u.user: u.segment for u in segment_users(told, Preset.CALIBRATED).users}

    assert placed(0.0) == placed(99.0), "what was not measured has no say"
    right = sum(placed(0.0)[user] is truth[user] for user in silent)
    assert right >= 0.9 * len(silent)


# -- Refusals ----------------------------------------------------------------------------------


def test_a_user_who_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="more than once"):
        segment_users([activity("a"), activity("a")], Preset.CALIBRATED)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    assert Preset.named("paper") is Preset.PAPER
    with pytest.raises(InvalidInputError, match="paper, calibrated") as raised:
        Preset.named("papr")
    assert raised.value.field == "preset"


class Watched:
    """An activity that notes what is read of it."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> float:
        self.read.add(name)
        return 1.0


OUTCOME_WORDS = ("error", "fail", "redundan", "repeat", "retry", "outcome")


def test_outcomes_never_become_features() -> None:
    """A segment made from errors would make every verdict about errors true by construction."""
    watched = Watched()
    for feature in (*CALIBRATED_FEATURES, *PAPER_FEATURES):
        feature.plain(watched)  # type: ignore[arg-type]
        feature.known(watched)  # type: ignore[arg-type]
    fields = {field.name for field in dataclasses.fields(UserActivity)}
    assert watched.read <= fields
    for name in fields | watched.read:
        assert not any(word in name for word in OUTCOME_WORDS)
