"""On which days people come, and how many ordinary key actions they perform on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.simulate.calendar_weeks import DAYS_OF_A_WEEK, Calendar
from analyzer_service.simulate.population import People, expectation, logistic
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.scenario import Scenario

FEWEST_DAYS_A_WEEK: Final = 2
"""So that a rated user who skips a week of four still comes on six days."""

BUSIEST_WEEK: Final = 20
"""A week's actions stay below this multiple of its mean; nobody works without sleep."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """(users, days) tables; rows of infrequent users are empty."""

    present: NDArray[np.bool_]
    key_actions: NDArray[np.int64]
    repeat_weeks: tuple[int, ...]
    """The full weeks that no rated user skips: planted repeats go there."""


def attend(scenario: Scenario, people: People, calendar: Calendar, seed: int) -> Attendance:
    """Draw presence and ordinary activity of the rated users."""
    random = stream(seed, "attendance")
    quiet, repeat_weeks = _quiet_week(calendar, random)
    shape = (len(people.hashes), calendar.days)
    present = np.zeros(shape, dtype=np.bool_)
    actions = np.zeros(shape, dtype=np.int64)
    z = people.z[people.rated]
    skill, separation = scenario.skill, scenario.separation
    further = logistic(expectation(skill.active_days, separation, z))
    skips = random.random(len(z)) < logistic(expectation(skill.skipped_week, separation, z))
    mean = np.exp(expectation(skill.weekly_key_actions, separation, z))
    for week in range(int(calendar.week[-1]) + 1):
        days = np.flatnonzero(calendar.week == week)
        here = _days_of_a_week(scenario, calendar, days, further, random)
        if week == quiet:
            here &= ~skips[:, None]
        share = len(days) / DAYS_OF_A_WEEK
        total = _negative_binomial(mean * share, skill.weekly_dispersion, random)
        present[np.ix_(people.rated, days)] = here
        actions[np.ix_(people.rated, days)] = _spread(total, here, random)
    return Attendance(present, actions, repeat_weeks)


def _quiet_week(
    calendar: Calendar, random: np.random.Generator
) -> tuple[int | None, tuple[int, ...]]:
    full = calendar.full_weeks()
    if len(full) <= 1:
        return None, tuple(full)
    quiet = int(random.choice(full))
    return quiet, tuple(week for week in full if week != quiet)


def _days_of_a_week(
    scenario: Scenario,
    calendar: Calendar,
    days: NDArray[np.int64],
    further: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Choose days by weight without replacement: the largest Gumbel-perturbed weights win."""
    fewest = min(FEWEST_DAYS_A_WEEK, len(days))
    counts = fewest + random.binomial(len(days) - fewest, further)
    weights = np.log(np.array(scenario.rhythm.weekdays))[calendar.weekday[days]]
    keys = weights + random.gumbel(size=(len(further), len(days)))
    rank = np.argsort(np.argsort(-keys, axis=1), axis=1)
    return np.asarray(rank < counts[:, None])


def _negative_binomial(
    mean: NDArray[np.float64], dispersion: float, random: np.random.Generator
) -> NDArray[np.int64]:
    rate = random.gamma(dispersion, mean / dispersion)
    return random.poisson(np.minimum(rate, mean * BUSIEST_WEEK))


def _spread(
    total: NDArray[np.int64], here: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.int64]:
    weights = here * random.gamma(3.0, size=here.shape)
    sums = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    shares[sums[:, 0] == 0, 0] = 1.0
    return np.where(here, random.multinomial(total, shares), 0)
