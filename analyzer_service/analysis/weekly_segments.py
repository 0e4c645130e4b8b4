"""Users into segments week by week, each week judged by what was known at its end.

A model is learned from the first weeks, again each week while they are few, and then stands until
its next scheduled refit. A refit renames nobody: groups are ordered along the same axis, belief is
worked out anew from the user's weeks under the new model, and a change still has to pass the same
hurdles. Given a model, nothing is learned at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyzer_service.analysis.panel import Panel, panel_of
from analyzer_service.analysis.proficiency_axis import MEMORY_WEEKS
from analyzer_service.analysis.proficiency_model import DIGITS, MODEL_SEED, SegmentModel, fit
from analyzer_service.analysis.standing import LEVELS, Standing, called, follow
from analyzer_service.domain import Segment, UserWeek, UserWeekSegment

WARM_UP_WEEKS = MEMORY_WEEKS
"""While fewer weeks are known than belief remembers, each new one improves the model much."""
REFIT_WEEKS = 8
"""After that: often enough to follow a platform that changes, seldom enough to stand still."""
HISTORY_WEEKS = 26
"""A refit looks back half a year: what users did before says little of them now."""


@dataclass(frozen=True, slots=True)
class WeeklySegments:
    """Every user in every week from the first the user was seen in."""

    panel: Panel
    standing: Standing
    models: tuple[SegmentModel, ...]
    """In the order they were used; the last one is in force."""
    model_of_week: tuple[int, ...]
    """Position in ``models`` by week."""
    rated: tuple[bool, ...]
    """By user: did enough to be judged."""

    @property
    def model(self) -> SegmentModel:
        """The model in force at the end."""
        return self.models[-1]

    def segment(self, row: int, column: int) -> Segment:
        """Return what a user is called in a week."""
        label = int(self.standing.labels[row, column])
        if label < 0 or not self.rated[row]:
            return Segment.UNRATED
        return LEVELS[label]

    def rows(self) -> tuple[UserWeekSegment, ...]:
        """Return users' weeks, by user and week; inactive weeks are among them."""
        memberships = self.standing.memberships()
        borderline = self.standing.borderline()
        return tuple(
            UserWeekSegment(
                user=user,
                week=week,
                segment=self.segment(row, column),
                membership=round(float(memberships[row, column]), DIGITS)
                if self.rated[row]
                else 0.0,
                borderline=bool(borderline[row, column]) and self.rated[row],
            )
            for row, user in enumerate(self.panel.users)
            for column, week in enumerate(self.panel.weeks)
            if self.standing.labels[row, column] >= 0
        )


def segment_weeks(
    observed: Sequence[UserWeek],
    *,
    model: SegmentModel | None = None,
    more: Sequence[str] = (),
    least_actions: float = 0.0,
    seed: int = MODEL_SEED,
) -> WeeklySegments:
    """Put users in segments, week by week.

    Args:
        observed: one entry per user and week, in any order.
        model: used as it is; without one, models are learned as the weeks pass.
        more: features beyond the four, by their names in ``UserWeek.more``.
        least_actions: users with fewer in all these weeks are *Unrated*, and the model learns
            nothing from them.
        seed: of K-means.

    Returns:
        The same for any order of ``observed`` and any number of threads.

    Raises:
        InvalidInputError: if a user's week comes twice, or nobody did anything.
    """
    panel = panel_of(observed, more)
    actions = np.nan_to_num(panel.values[..., 0]).sum(axis=1)
    rated = actions >= least_actions
    teachers = panel.choose([int(row) for row in np.flatnonzero(rated)])
    seen = panel.active()
    age = np.cumsum(seen, axis=1, dtype=np.intp)
    models: list[SegmentModel] = []
    used: list[int] = []
    labels = np.full(seen.shape, -1, dtype=np.intp)
    beliefs = np.zeros((*seen.shape, len(LEVELS)))
    now = np.full(len(panel.users), -1, dtype=np.intp)
    under, alone = beliefs, beliefs
    for week in range(len(panel.weeks)):
        if model is None and _is_due(week + 1):
            previous = models[-1] if models else None
            history = teachers.until(week + 1).last(HISTORY_WEEKS)
            models.append(fit(history, seed=seed, previous=previous))
            under, alone = follow(models[-1], panel)
        elif not models and model is not None:
            models.append(model)
            under, alone = follow(model, panel)
        before = under[:, max(week - 1, 0)]
        moved = called(now, before, under[:, week], alone[:, week], age[:, week])
        now = np.where(seen[:, week], moved, now)
        labels[:, week], beliefs[:, week] = now, under[:, week]
        used.append(len(models) - 1)
    return WeeklySegments(
        panel=panel,
        standing=Standing(labels, beliefs),
        models=tuple(models),
        model_of_week=tuple(used),
        rated=tuple(bool(enough) for enough in rated),
    )


def _is_due(weeks: int) -> bool:
    """Tell whether a model is learned when so many weeks are known."""
    return weeks <= WARM_UP_WEEKS or (weeks - WARM_UP_WEEKS) % REFIT_WEEKS == 0
