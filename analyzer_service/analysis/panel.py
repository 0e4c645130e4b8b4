"""Users by weeks by features: what was observed, with gaps where nothing was.

A week in which a user did nothing is an inactive week: it is kept, and says nothing of skill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer_service.analysis.features import Floats
from analyzer_service.domain import UserWeek
from analyzer_service.errors import InvalidInputError

FEATURES = ("actions", "distinct_actions", "completion_seconds", "minutes_per_session")
"""Action and time signals only; errors and redundant actions never enter."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Observations (users, weeks, features); NaN where nothing was observed."""

    users: tuple[str, ...]
    weeks: tuple[int, ...]
    values: Floats
    features: tuple[str, ...] = FEATURES

    def until(self, count: int) -> Panel:
        """Return the first so many weeks: what was known then."""
        return replace(self, weeks=self.weeks[:count], values=self.values[:, :count])

    def last(self, count: int) -> Panel:
        """Return the newest so many weeks."""
        return replace(self, weeks=self.weeks[-count:], values=self.values[:, -count:])

    def choose(self, rows: Sequence[int]) -> Panel:
        """Return the users at these rows, which may repeat, as a bootstrap draws them."""
        names = tuple(self.users[row] for row in rows)
        return replace(self, users=names, values=self.values[list(rows)])

    def active(self) -> npt.NDArray[np.bool_]:
        """Return (users, weeks): who did anything."""
        flags: npt.NDArray[np.bool_] = np.asarray(np.isfinite(self.values).any(axis=-1))
        return flags

    def present(self) -> Panel:
        """Return the users of whom anything was observed."""
        return self.choose([int(row) for row in np.flatnonzero(self.active().any(axis=1))])


def panel_of(observed: Sequence[UserWeek], more: Sequence[str] = ()) -> Panel:
    """Arrange observations by user and week.

    Args:
        observed: at most one entry per user and week, in any order.
        more: features beyond the four, by their names in ``UserWeek.more``.

    Returns:
        Users in alphabetical order, weeks ascending; weeks that nobody has are left out.

    Raises:
        InvalidInputError: if a user's week comes twice.
    """
    users = tuple(sorted({item.user for item in observed}))
    weeks = tuple(sorted({item.week for item in observed}))
    rows = {user: row for row, user in enumerate(users)}
    columns = {week: column for column, week in enumerate(weeks)}
    features = (*FEATURES, *more)
    values = np.full((len(users), len(weeks), len(features)), np.nan)
    seen: set[tuple[str, int]] = set()
    for item in observed:
        if (item.user, item.week) in seen:
            raise InvalidInputError(
                f"User {item.user} has week {item.week} more than once.",
                hint="Give one row per user and week.",
                field="week",
            )
        seen.add((item.user, item.week))
        if item.is_active:
            values[rows[item.user], columns[item.week]] = [
                *(getattr(item, name) for name in FEATURES),
                *(item.more.get(name, np.nan) for name in more),
            ]
    return Panel(users, weeks, values, features)
