"""One day of a world as arrays: sessions, key actions, clicks and views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analyzer_service.simulate.catalogue import NO_BACKEND, NO_ERROR
from analyzer_service.simulate.plan import Plan
from analyzer_service.simulate.population import UNRATED
from analyzer_service.simulate.randomness import stream
from analyzer_service.simulate.scenario import HOURS_OF_A_DAY

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 24 * 60 * MINUTE

FURTHER_SESSIONS: Final = 0.35
"""Mean number of sessions of a working day beyond the first."""
MOST_SESSIONS: Final = 4
SHORTEST_SESSION: Final = SECOND * 20
LONGEST_SESSION: Final = 10 * 60 * MINUTE
"""Sessions end on the day they begin; ten hours leave room for that at any hour."""

SHORTEST_ACTION: Final = SECOND // 50
LONGEST_ACTION: Final = 2 * 60 * MINUTE

REPEATED_SHARE: Final = 0.03
"""Ordinary key actions that are simply done again with the same arguments..."""
MOST_COPIES: Final = 2
"""...once or twice: three equal digests, far from the six that are redundant."""

CLICK_SHARE: Final = 0.6
"""Of clicks and views."""

SINGLE, ROUTED, CALLING = 0, 1, 2
"""Shapes of a key action's trace: one span; through the gateway; through it and on to a backend."""
ROUTED_SHARE: Final = 0.2
CALLING_SHARE: Final = 0.4
"""Of the attempts at actions that call a backend at all."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Parallel arrays, grouped by user."""

    user: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class KeyActions:
    """Parallel arrays in order of time; instants and durations in nanoseconds."""

    start: NDArray[np.int64]
    duration: NDArray[np.int64]
    session: NDArray[np.int64]
    action: NDArray[np.int64]
    error: NDArray[np.int64]
    digest: NDArray[np.uint64]
    shape: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gestures:
    """Clicks and views; parallel arrays in order of time."""

    time: NDArray[np.int64]
    session: NDArray[np.int64]
    component: NDArray[np.int64]
    is_click: NDArray[np.bool_]
    place: NDArray[np.int64]
    """A number whose remainder chooses the widget or screen."""


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day."""

    number: int
    sessions: Sessions
    key_actions: KeyActions
    gestures: Gestures


@dataclass(frozen=True, slots=True)
class _Deeds:
    """Who does what, before it is known when; parallel arrays."""

    user: NDArray[np.int64]
    action: NDArray[np.int64]
    error: NDArray[np.int64]
    digest: NDArray[np.uint64]


class DayMaker:
    """Makes the days of one world, each from random numbers of its own."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rated = plan.people.segment != UNRATED
        weights = plan.people.adopted * plan.catalogue.action_weight[None, :]
        cumulated = weights.cumsum(axis=1)
        self._choice = cumulated / cumulated[:, -1:]
        self._rates, self._errors = plan.catalogue.background_table()
        self._end = plan.calendar.start_ns(plan.calendar.days)

    def make(self, number: int) -> Day:
        """Make one day; the same one however often and in whatever order it is asked for."""
        random = stream(self._plan.seed, "day", number)
        deeds = self._deeds(number, random)
        onlookers = self._who_looks_around(number, deeds.user, random)
        here = self._plan.attendance.present[:, number].copy()
        here[deeds.user] = True
        here[onlookers] = True
        sessions = self._sessions(number, np.flatnonzero(here), random)
        return Day(
            number,
            sessions,
            self._key_actions(sessions, deeds, random),
            self._gestures(sessions, onlookers, random),
        )

    def _deeds(self, number: int, random: np.random.Generator) -> _Deeds:
        visits, attendance = self._plan.visits, self._plan.attendance
        today = visits.of_day(number)
        users = np.arange(len(self._rated))
        busy = np.repeat(users, attendance.key_actions[:, number])
        ordinary = np.concatenate((busy, visits.user[today][visits.is_key[today]]))
        action = self._choose_actions(ordinary, random)
        digest = random.integers(0, 2**64, len(ordinary), dtype=np.uint64)
        # One more action of an infrequent user could make a rated one.
        again = (random.random(len(ordinary)) < REPEATED_SHARE) & self._rated[ordinary]
        times = 1 + np.where(again, random.integers(1, MOST_COPIES + 1, len(ordinary)), 0)
        special, planned = self._plan.special, self._plan.special.of_day(number)
        fine = np.full(int(times.sum()), NO_ERROR)
        return _Deeds(
            user=np.concatenate((np.repeat(ordinary, times), special.user[planned])),
            action=np.concatenate((np.repeat(action, times), special.action[planned])),
            error=np.concatenate((fine, special.error[planned])),
            digest=np.concatenate((np.repeat(digest, times), special.digest[planned])),
        )

    def _choose_actions(
        self, user: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        drawn = random.random(len(user))
        return np.asarray((self._choice[user] <= drawn[:, None]).sum(axis=1), dtype=np.int64)

    def _who_looks_around(
        self, number: int, key_user: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Clicks and views keep the user's share of key actions, whatever the planted ones add."""
        users = np.arange(len(self._rated))
        key = np.where(self._rated, np.bincount(key_user, minlength=len(users)), 0)
        share = self._plan.people.key_share
        counts = random.poisson(key * (1 - share) / share)
        visits = self._plan.visits
        today = visits.of_day(number)
        return np.concatenate((np.repeat(users, counts), visits.user[today][~visits.is_key[today]]))

    def _sessions(
        self, number: int, users: NDArray[np.int64], random: np.random.Generator
    ) -> Sessions:
        scenario, people = self._plan.scenario, self._plan.people
        further = np.minimum(random.poisson(FURTHER_SESSIONS, len(users)), MOST_SESSIONS - 1)
        user = np.repeat(users, np.where(self._rated[users], 1 + further, 1))
        spread = scenario.skill.session_minutes.spread
        minutes = random.lognormal(people.session_minutes[user], spread)
        length = np.clip(minutes * MINUTE, SHORTEST_SESSION, LONGEST_SESSION).astype(np.int64)
        weights = np.array(scenario.rhythm.hours)
        hour = random.choice(HOURS_OF_A_DAY, len(user), p=weights / weights.sum())
        offset = ((hour + random.random(len(user))) * 60 * MINUTE).astype(np.int64)
        offset = np.clip(offset, SECOND, DAY - length - SECOND)
        return Sessions(user, self._plan.calendar.start_ns(number) + offset, length)

    def _moments(
        self, sessions: Sessions, user: NDArray[np.int64], random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a session of each event's user, and an instant within it."""
        first = np.searchsorted(sessions.user, user, side="left")
        beyond = np.searchsorted(sessions.user, user, side="right")
        session = first + np.floor(random.random(len(user)) * (beyond - first)).astype(np.int64)
        offset = (random.random(len(user)) * sessions.length[session]).astype(np.int64)
        return session, sessions.start[session] + offset

    def _key_actions(
        self, sessions: Sessions, deeds: _Deeds, random: np.random.Generator
    ) -> KeyActions:
        session, start = self._moments(sessions, deeds.user, random)
        spread = self._plan.scenario.skill.completion_seconds.spread
        skill = random.lognormal(self._plan.people.completion[deeds.user], spread)
        seconds = self._plan.catalogue.action_seconds[deeds.action] * skill
        duration = np.clip(seconds * SECOND, SHORTEST_ACTION, LONGEST_ACTION).astype(np.int64)
        # Nothing reaches beyond the world's last instant: its newest day stays the last planned.
        duration = np.minimum(duration, self._end - SECOND // 2 - start)
        misfortune = self._misfortune(deeds.action, random)
        error = np.where(deeds.error == NO_ERROR, misfortune, deeds.error)
        shape = self._shapes(deeds.action, error, random)
        order = np.argsort(start, kind="stable")
        return KeyActions(
            start=start[order],
            duration=duration[order],
            session=session[order],
            action=deeds.action[order],
            error=error[order],
            digest=deeds.digest[order],
            shape=shape[order],
        )

    def _misfortune(
        self, action: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the failures that just happen, whoever attempts the action."""
        drawn = random.random(len(action))
        column = (self._rates[action] <= drawn[:, None]).sum(axis=1)
        hit = column < self._rates.shape[1]
        return np.where(hit, self._errors[action, np.where(hit, column, 0)], NO_ERROR)

    def _shapes(
        self, action: NDArray[np.int64], error: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        catalogue = self._plan.catalogue
        backend = catalogue.action_backend[action]
        calling = (backend != NO_BACKEND) & (random.random(len(action)) < CALLING_SHARE)
        # A failure of the backend is only seen by calling it.
        calling |= (error != NO_ERROR) & (catalogue.error_component[error] == backend)
        routed = random.random(len(action)) < ROUTED_SHARE
        return np.where(calling, CALLING, np.where(routed, ROUTED, SINGLE)).astype(np.int64)

    def _gestures(
        self, sessions: Sessions, user: NDArray[np.int64], random: np.random.Generator
    ) -> Gestures:
        session, time = self._moments(sessions, user, random)
        component = self._plan.catalogue.action_component[self._choose_actions(user, random)]
        is_click = random.random(len(user)) < CLICK_SHARE
        place = random.integers(0, 2**16, len(user))
        order = np.argsort(time, kind="stable")
        return Gestures(
            time=time[order],
            session=session[order],
            component=component[order],
            is_click=is_click[order],
            place=place[order],
        )
