"""Properties of worlds that a small one shows in a second."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from analyzer_service.simulate import Scenario, World, load_scenario
from analyzer_service.simulate.paper_rules import RULES
from analyzer_service.simulate.plan import make_plan
from analyzer_service.simulate.scenario import Population, Rated


def small(**changes: object) -> Scenario:
    population = Population(rated=Rated(expert=20, intermediate=30, beginner=50), infrequent=40)
    return load_scenario("paper-2020").model_copy(update={"population": population, **changes})


def test_the_truth_has_the_agreed_shape():
    truth = World(small(), 3).truth()
    assert list(truth) == ["scenario", "seed", "window", "challenges", "users"]
    assert truth["window"] == {"start": "2026-01-05T00:00:00Z", "end": "2026-02-02T00:00:00Z"}
    assert Counter(truth["users"].values()) == {"expert": 20, "intermediate": 30, "beginner": 50}
    for challenge in truth["challenges"]:
        assert list(challenge) == ["kind", "stage", "component", "signal", "rule", "affected"]
        assert challenge["kind"] == RULES[challenge["rule"]].kind
        assert set(challenge["affected"]) <= set(truth["users"])
    assert all(len(user) == 32 and user == user.lower() for user in truth["users"])


def test_start_moves_the_window_and_nothing_leaves_it():
    start = datetime(2026, 3, 12, tzinfo=UTC)
    world = World(small(), 3, start)
    assert world.truth()["window"] == {
        "start": "2026-03-12T00:00:00Z",
        "end": "2026-04-09T00:00:00Z",
    }
    assert len(list(world.batches())) >= 28


@pytest.mark.parametrize("weekday", range(7))
@pytest.mark.parametrize("days", [14, 28, 31])
def test_repeats_fall_into_one_full_week_on_days_their_users_are_there(weekday, days):
    start = datetime(2026, 1, 5 + weekday, tzinfo=UTC)
    plan = make_plan(small(days=days), 11, start)
    full = plan.calendar.full_weeks()
    for number, item in enumerate(plan.affected):
        if not item.signal.redundancy:
            continue
        assert item.week in full
        mine = (plan.special.action == item.signal.action) & np.isin(plan.special.user, item.users)
        repeated = Counter(plan.special.digest[mine].tolist())
        often = {digest for digest, times in repeated.items() if times > 5}
        assert len(often) == len(item.users), number
        here = mine & np.isin(plan.special.digest, np.array(sorted(often), dtype=np.uint64))
        assert set(plan.calendar.week[plan.special.day[here]]) == {item.week}
        assert plan.attendance.present[plan.special.user[here], plan.special.day[here]].all()


def test_infrequent_users_stay_below_the_rated_minimum():
    plan = make_plan(load_scenario("paper-2020"), 8, datetime(2026, 1, 5, tzinfo=UTC))
    visits = plan.visits
    assert len(set(visits.user.tolist())) == 998
    for user in np.unique(visits.user):
        days = visits.day[visits.user == user]
        assert len(days) <= 4 or len(set(days.tolist())) == 1


def test_affected_users_are_exact_numbers_within_the_ranges():
    scenario = small()
    plan = make_plan(scenario, 5, datetime(2026, 1, 5, tzinfo=UTC))
    sizes = {"expert": 20, "intermediate": 30, "beginner": 50}
    for item in plan.affected:
        assert len(set(item.users.tolist())) == len(item.users)
        gaps = []
        for segment, clause in RULES[item.signal.spec.rule].clauses.items():
            share = np.isin(plan.people.members(segment), item.users).sum() / sizes[segment.value]
            gaps.append(clause.distance(float(share)))
        assert sum(gap <= 0 for gap in gaps) == int(item.signal.decoy)
