"""The truth: who is affected by what, and the events by which it shows.

Everything here is an exact number, not a chance: a segment's affected users are drawn at random,
each of them meets the problem at least once, and nobody else ever does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.domain import RATED_SEGMENTS, Segment
from analyzer_service.simulate.attendance import Attendance
from analyzer_service.simulate.calendar_weeks import Calendar
from analyzer_service.simulate.catalogue import NO_ERROR, Catalogue, PlantedSignal
from analyzer_service.simulate.population import People
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.scenario import Decoy, Scenario

FURTHER_FAILURES: Final = 0.8
"""Mean number of times an affected user meets an error again after the first."""

FEWEST_REPEATS: Final = 6
MOST_REPEATS: Final = 12
"""Equal digests of an affected user in one ISO week; more than five are redundant."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Affected:
    """One planted signal with its people."""

    signal: PlantedSignal
    users: NDArray[np.int64]
    week: int | None
    """The ISO week of a redundancy's repeats."""


@dataclass(frozen=True, slots=True)
class SpecialEvents:
    """Key actions that have to happen, sorted by day; parallel arrays."""

    day: NDArray[np.int64]
    user: NDArray[np.int64]
    action: NDArray[np.int64]
    error: NDArray[np.int64]
    digest: NDArray[np.uint64]

    def of_day(self, day: int) -> slice:
        """Return where a day's events lie."""
        first, last = np.searchsorted(self.day, [day, day + 1])
        return slice(int(first), int(last))


def choose_affected(
    scenario: Scenario, catalogue: Catalogue, people: People, weeks: tuple[int, ...], seed: int
) -> list[Affected]:
    """Draw the affected users of every challenge and decoy."""
    chosen = []
    for number, signal in enumerate(catalogue.planted):
        random = stream(seed, "affected", number)
        users = [
            random.choice(
                members, _count(scenario, signal, segment, len(members), random), replace=False
            )
            for segment in RATED_SEGMENTS
            for members in [people.members(segment)]
        ]
        week = int(random.choice(weeks)) if signal.redundancy else None
        chosen.append(Affected(signal, np.sort(np.concatenate(users)), week))
    return chosen


def _count(
    scenario: Scenario,
    signal: PlantedSignal,
    segment: Segment,
    members: int,
    random: np.random.Generator,
) -> int:
    """Draw a number of users whose share lies in the range, as far as the segment's size allows."""
    spec = signal.spec
    ranges = spec.affected or scenario.affected[spec.rule]
    bounds = getattr(ranges, segment.value)
    if isinstance(spec, Decoy) and spec.misses == segment:
        bounds = getattr(scenario.near_misses[spec.rule], segment.value)
    low, high = ceil(bounds[0] * members - _ROUNDING), floor(bounds[1] * members + _ROUNDING)
    if low > high:
        return round(float(bounds[0] + bounds[1]) / 2 * members)
    return int(random.integers(low, high + 1))


def special_events(
    people: People,
    attendance: Attendance,
    calendar: Calendar,
    affected: list[Affected],
    seed: int,
) -> SpecialEvents:
    """Place planted problems, and every adopted action once, on days the users are there."""
    random = stream(seed, "special events")
    parts = [_first_uses(people, attendance, random)]
    for item in affected:
        parts.extend(_problems(item, attendance, calendar, random))
    day, user, action, error, digest = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    order = np.argsort(day, kind="stable")
    return SpecialEvents(day[order], user[order], action[order], error[order], digest[order])


_Columns = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]
]


def _first_uses(people: People, attendance: Attendance, random: np.random.Generator) -> _Columns:
    rated = people.rated
    row, action = np.nonzero(people.adopted[rated])
    user = rated[row]
    day = _pick_days(attendance.present, user, random)
    return day, user, action, np.full(len(user), NO_ERROR), _digests(len(user), random)


def _problems(
    item: Affected, attendance: Attendance, calendar: Calendar, random: np.random.Generator
) -> Iterator[_Columns]:
    count = len(item.users)
    allowed = attendance.present
    if item.week is not None:
        times = random.integers(FEWEST_REPEATS, MOST_REPEATS + 1, count)
        digest = np.repeat(_digests(count, random), times)
        allowed = allowed & (calendar.week == item.week)[None, :]
    else:
        times = 1 + random.poisson(FURTHER_FAILURES, count)
        digest = _digests(int(times.sum()), random)
    user = np.repeat(item.users, times)
    day = _pick_days(allowed, user, random)
    action = np.full(len(user), item.signal.action)
    yield day, user, action, np.full(len(user), item.signal.error), digest


def _pick_days(
    allowed: NDArray[np.bool_], user: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return, for each entry, a random one of its user's allowed days."""
    nth = np.floor(random.random(len(user)) * allowed.sum(axis=1)[user]).astype(np.int64)
    return np.asarray((allowed.cumsum(axis=1)[user] <= nth[:, None]).sum(axis=1))


def _digests(count: int, random: np.random.Generator) -> NDArray[np.uint64]:
    return random.integers(0, 2**64, count, dtype=np.uint64)
