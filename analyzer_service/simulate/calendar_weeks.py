"""The days of a world and the ISO weeks they fall into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAYS_OF_A_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days are numbered from 0, weeks from 0; the first and last week may be cut."""

    start: datetime
    days: int

    @property
    def end(self) -> datetime:
        """The first instant after the last day."""
        return self.start + timedelta(days=self.days)

    @property
    def weekday(self) -> NDArray[np.int64]:
        """Of each day, Monday = 0."""
        return (self.start.weekday() + np.arange(self.days)) % DAYS_OF_A_WEEK

    @property
    def week(self) -> NDArray[np.int64]:
        """Of each day, the number of its ISO week within the world."""
        return (self.start.weekday() + np.arange(self.days)) // DAYS_OF_A_WEEK

    def full_weeks(self) -> list[int]:
        """Return the weeks of which no day is cut."""
        lengths = np.bincount(self.week)
        return [int(week) for week in np.flatnonzero(lengths == DAYS_OF_A_WEEK)]

    def start_ns(self, day: int) -> int:
        """Return the first instant of a day in nanoseconds since 1970."""
        return int((self.start + timedelta(days=day)).timestamp()) * 1_000_000_000
