"""The infrequent users: a few actions in all, or a single day of looking around.

They stay below what it takes to be rated (5 actions on 2 days) with certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.simulate.calendar_weeks import Calendar
from analyzer_service.simulate.population import UNRATED, People
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.scenario import Scenario

MOST_SCATTERED_ACTIONS: Final = 4
"""Spread over any days; one more could make a rated user."""

SINGLE_DAY_SHARE: Final = 0.25
SINGLE_DAY_ACTIONS: Final = (5, 12)
"""What those do who come on one day only; a second day could make them rated."""


@dataclass(frozen=True, slots=True)
class Visits:
    """Actions of infrequent users, sorted by day; parallel arrays."""

    day: NDArray[np.int64]
    user: NDArray[np.int64]
    is_key: NDArray[np.bool_]

    def of_day(self, day: int) -> slice:
        """Return where a day's actions lie."""
        first, last = np.searchsorted(self.day, [day, day + 1])
        return slice(int(first), int(last))


def visit(scenario: Scenario, people: People, calendar: Calendar, seed: int) -> Visits:
    """Draw what the infrequent users do."""
    random = stream(seed, "visitors")
    visitors = np.flatnonzero(people.segment == UNRATED)
    single = random.random(len(visitors)) < SINGLE_DAY_SHARE
    low, high = SINGLE_DAY_ACTIONS
    counts = np.where(
        single,
        random.integers(low, high + 1, len(visitors)),
        random.integers(1, MOST_SCATTERED_ACTIONS + 1, len(visitors)),
    )
    weights = np.array(scenario.rhythm.weekdays)[calendar.weekday]
    weights = weights / weights.sum()
    only_day = random.choice(calendar.days, len(visitors), p=weights)
    any_day = random.choice(calendar.days, int(counts.sum()), p=weights)
    day = np.where(np.repeat(single, counts), np.repeat(only_day, counts), any_day)
    user = np.repeat(visitors, counts)
    is_key = random.random(len(user)) < people.key_share[user]
    order = np.argsort(day, kind="stable")
    return Visits(day[order], user[order], is_key[order])
