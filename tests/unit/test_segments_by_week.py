"""Users whose skill is known, week by week: found, and left where they are while it stays."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from analyzer_service.analysis.panel import panel_of
from analyzer_service.analysis.proficiency_model import SegmentModel, fit
from analyzer_service.analysis.segment_change import drift, migrations, stability
from analyzer_service.analysis.standing import BORDERLINE_BELOW, transitions
from analyzer_service.analysis.weekly_segments import (
    REFIT_WEEKS,
    WARM_UP_WEEKS,
    WeeklySegments,
    segment_weeks,
)
from analyzer_service.domain import Segment, UserWeek
from analyzer_service.errors import InvalidInputError
from benchmarks.segments.judged import agreement, label_swaps, observed, promotions, steadiness
from benchmarks.segments.worlds import World, draw, oracle

SEEDS = range(70_000, 70_003)
SMALL = (40, 25, 18)


def week(user: str = "a", number: int = 0, **values: float) -> UserWeek:
    plain = UserWeek(user, number, 20.0, 5.0, 200.0, 15.0)
    return dataclasses.replace(plain, **values)  # type: ignore[arg-type]


def found_in(world: World) -> WeeklySegments:
    return segment_weeks(observed(world))


# -- Against the truth -------------------------------------------------------------------------


@pytest.mark.parametrize("separation", [1.0, 0.6])
def test_partitions_come_near_the_oracles(separation: float) -> None:
    for row in agreement(separation, SEEDS, plain=False):
        assert row["of_oracle"] >= (0.70 if row["weeks"] == 1 else 0.87), row
        assert row["flag_covers_wrong"] >= 0.75, row


@pytest.mark.parametrize("separation", [1.0, 0.6])
def test_users_whose_skill_stays_stay(separation: float) -> None:
    figures = steadiness(separation, SEEDS)
    assert figures["churn_a_week"] <= 0.05
    assert figures["churn_weekly_refit"] >= 0.40, "or the measure could not fail"


@pytest.mark.parametrize(
    ("separation", "levels", "least"),
    [(1.0, 1, 0.80), (0.6, 1, 0.48), (1.0, 2, 0.9), (0.6, 2, 0.85)],
)
def test_a_promotion_shows_within_three_weeks(separation: float, levels: int, least: float) -> None:
    figures = promotions(separation, SEEDS, levels)
    assert figures["visible_within_three_weeks"] >= least
    assert figures["others_risen"] <= 0.08


def test_other_seeds_and_samples_swap_no_labels() -> None:
    figures = label_swaps(1.0, 4, 20)
    assert (figures["swapped_by_reseed"], figures["swapped_by_bootstrap"]) == (0, 0)


def test_labels_mean_skill_and_not_only_a_partition() -> None:
    world = draw(1, 1.0, 6)
    labels = found_in(world).standing.labels[:, -1]
    assert (labels == world.skill[:, 0]).mean() >= 0.97


def test_busy_users_are_not_taken_for_experts() -> None:
    """A lasting volume of one's own is habit: only what features share is skill."""
    world = draw(2, 1.0, 6)
    rng = np.random.default_rng(3)
    loud = rng.random(len(world.skill)) < 0.3
    columns = dict(world.columns)
    columns["actions"] = np.where(loud[:, None], 6 * columns["actions"], columns["actions"])
    changed = dataclasses.replace(world, columns=columns)
    labels = found_in(changed).standing.labels[:, -1]
    beginners = loud & (world.skill[:, 0] == 0)
    assert (labels[beginners] == 0).mean() >= 0.85


# -- What stands still -------------------------------------------------------------------------


def test_the_past_does_not_know_the_future() -> None:
    world = draw(4, 0.6, 8, sizes=SMALL)
    whole = found_in(world).standing.labels
    for weeks in (1, 3, 6):
        assert np.array_equal(found_in(world.until(weeks)).standing.labels, whole[:, :weeks])


def test_models_are_frozen_between_scheduled_refits() -> None:
    weeks = WARM_UP_WEEKS + REFIT_WEEKS + 2
    segments = found_in(draw(5, 1.0, weeks, sizes=SMALL))
    assert segments.model_of_week == (*range(6), *[5] * (REFIT_WEEKS - 1), *[6] * 3)
    assert len({model.version for model in segments.models}) == len(segments.models)


def test_a_given_model_is_used_as_it_is() -> None:
    world = draw(6, 1.0, 6)
    model = fit(panel_of(observed(world)))
    few = [row for row in observed(world) if row.user < "000020"]
    segments = segment_weeks(few, model=model)
    assert segments.models == (model,)
    alone = {row.user: row for row in segments.rows() if row.week == 5}
    among = {
        row.user: row for row in segment_weeks(observed(world), model=model).rows() if row.week == 5
    }
    assert alone == {user: among[user] for user in alone}, "company changes nobody"


def test_one_exceptional_week_moves_few() -> None:
    world = draw(7, 1.0, 10)
    columns = {name: values.copy() for name, values in world.columns.items()}
    beginners = np.flatnonzero(world.skill[:, 0] == 0)
    expert = np.flatnonzero(world.skill[:, 0] == 2)[0]
    for name, values in columns.items():
        values[beginners, 8] = np.median(world.columns[name][expert])
    model = fit(panel_of(observed(world)))
    labels = segment_weeks(
        observed(dataclasses.replace(world, columns=columns)), model=model
    ).standing.labels
    assert (labels[beginners, 8] > labels[beginners, 7]).mean() <= 0.25
    assert (labels[beginners, 9] > labels[beginners, 7]).mean() <= 0.35, "nor does its echo"


def test_absence_changes_no_segment() -> None:
    world = draw(8, 1.0, 12)
    columns = {name: values.copy() for name, values in world.columns.items()}
    for name in ("actions", "distinct_actions"):
        columns[name][:50, 7:] = 0
    segments = found_in(dataclasses.replace(world, columns=columns))
    labels = segments.standing.labels[:50]
    assert (labels[:, 7:] == labels[:, 6:7]).all()
    surer, later = segments.standing.memberships()[:50, [6, 11]].T
    assert later.mean() < surer.mean(), "but it makes less sure"


def test_newcomers_are_placed_when_they_come() -> None:
    rows = [r for r in observed(draw(9, 1.0, 8, sizes=SMALL)) if r.user != "000001" or r.week >= 6]
    segments = segment_weeks(rows)
    weeks = [row.week for row in segments.rows() if row.user == "000001"]
    assert weeks == [6, 7]


# -- Same data, same result --------------------------------------------------------------------


def test_order_and_threads_do_not_matter() -> None:
    rows = observed(draw(10, 1.0, 5, sizes=SMALL))
    shuffled = random.Random(1).sample(rows, len(rows))
    with threadpool_limits(1):
        alone = segment_weeks(rows)
    with threadpool_limits(8):
        together = segment_weeks(shuffled)
    assert together.rows() == alone.rows()
    assert together.models == alone.models


def test_a_model_survives_json() -> None:
    model = fit(panel_of(observed(draw(11, 1.0, 3, sizes=SMALL))))
    document = json.loads(json.dumps(model.to_dict()))
    assert SegmentModel.from_dict(document) == model
    with pytest.raises(InvalidInputError, match="content is"):
        SegmentModel.from_dict({**document, "users": 1})
    with pytest.raises(InvalidInputError, match="not a segment model"):
        SegmentModel.from_dict({"version": "1"})


def test_up_stays_up_over_a_refit() -> None:
    """Where the features turn around, the new model still calls the same users experts."""
    panel = panel_of(observed(draw(12, 1.0, 4)))
    model = fit(panel)
    turned = dataclasses.replace(model, loadings=tuple(-value for value in model.loadings))
    again = fit(panel, previous=turned)
    assert all(a * b < 0 for a, b in zip(again.loadings, model.loadings, strict=True))


# -- Reports -----------------------------------------------------------------------------------


def test_drift_is_told_from_chance() -> None:
    model = fit(panel_of(observed(draw(13, 1.0, 6))))
    same = [drift(model, panel_of(observed(draw(seed, 1.0, 1)))) for seed in range(200, 220)]
    assert not any(one.drifted for one in same)
    moved = draw(14, 1.0, 1, sizes=(100, 118, 175))
    assert drift(model, panel_of(observed(moved))).drifted
    assert drift(model, panel_of(observed(moved))).shift > 0.3


def test_stability_tells_firm_groups_from_arbitrary_ones() -> None:
    firm_panel = panel_of(observed(draw(15, 2.0, 4)))
    loose_panel = panel_of(observed(draw(15, 0.0, 4)))
    firm = stability(fit(firm_panel), firm_panel, seed=1)
    loose = stability(fit(loose_panel), loose_panel, seed=1)
    assert min(firm.values()) >= 0.95
    assert min(loose.values()) <= 0.8


def test_migrations_add_up() -> None:
    before, after = np.array([0, 0, 1, -1, 2]), np.array([0, 1, 1, 2, 2])
    counts = migrations(before, after)
    assert counts[Segment.BEGINNER] == {"beginner": 1, "intermediate": 1, "expert": 0}
    assert sum(sum(row.values()) for row in counts.values()) == 4


def test_membership_decides_the_flag_and_rows_are_fit_for_json() -> None:
    rows = found_in(draw(16, 0.6, 3, sizes=SMALL)).rows()
    assert all(row.borderline == (row.membership < BORDERLINE_BELOW) for row in rows)
    assert all(
        0 <= row.membership <= 1 and row.membership == round(row.membership, 9) for row in rows
    )
    json.dumps([dataclasses.asdict(row) for row in rows], allow_nan=False)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_chances_of_moving_add_up(groups: int) -> None:
    moves = transitions(groups)
    assert np.allclose(moves.sum(axis=1), 1)
    assert (moves >= 0).all()


# -- Few users, equal users, nothing -----------------------------------------------------------


@pytest.mark.parametrize("users", [1, 2, 30])
def test_users_who_are_all_alike_are_in_the_middle(users: int) -> None:
    rows = segment_weeks([week(f"u{i:02d}", t) for i in range(users) for t in range(3)]).rows()
    assert {row.segment for row in rows} == {Segment.INTERMEDIATE}


def test_two_kinds_of_users_are_the_two_ends() -> None:
    low = [week(f"a{i}", t) for i in range(6) for t in range(3)]
    high = [week(f"b{i}", t, distinct_actions=15.0) for i in range(4) for t in range(3)]
    rows = segment_weeks([*low, *high]).rows()
    assert {r.segment for r in rows if r.user.startswith("a")} == {Segment.BEGINNER}
    assert {r.segment for r in rows if r.user.startswith("b")} == {Segment.EXPERT}


@pytest.mark.parametrize("users", [3, 4, 7])
def test_a_handful_of_users_gets_segments(users: int) -> None:
    rows = observed(draw(17, 1.0, 4, sizes=(users - 2, 1, 1)))
    found = segment_weeks(rows).rows()
    assert len(found) == users * 4
    assert all(math.isfinite(row.membership) for row in found)


def test_missing_times_are_no_evidence() -> None:
    world = draw(18, 1.0, 6)
    columns = dict(world.columns)
    columns["completion_seconds"] = np.full_like(columns["completion_seconds"], np.nan)
    columns["minutes_per_session"] = np.where(
        np.random.default_rng(1).random(world.skill.shape) < 0.5,
        np.nan,
        columns["minutes_per_session"],
    )
    labels = found_in(dataclasses.replace(world, columns=columns)).standing.labels[:, -1]
    best = adjusted_rand_score(world.skill[:, 0], oracle(world))
    assert adjusted_rand_score(world.skill[:, 0], labels) >= 0.85 * best


def test_who_does_too_little_is_unrated() -> None:
    rows = [*observed(draw(19, 1.0, 3, sizes=SMALL)), week("visitor", actions=2.0)]
    found = segment_weeks(rows, least_actions=5)
    visitor = [row for row in found.rows() if row.user == "visitor"]
    assert visitor
    assert all(row.segment is Segment.UNRATED and row.membership == 0 for row in visitor)
    assert found.models == segment_weeks(rows[:-1], least_actions=5).models


def test_nobody_who_acts_is_refused_with_a_cure() -> None:
    with pytest.raises(InvalidInputError, match="Nobody did anything"):
        segment_weeks([week(actions=0.0, distinct_actions=0.0)])
    with pytest.raises(InvalidInputError, match="more than once"):
        segment_weeks([week(), week()])
