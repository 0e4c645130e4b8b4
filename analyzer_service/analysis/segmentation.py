"""Users into Beginner, Intermediate and Expert: K-means over what they did, then names.

Cluster numbers mean nothing and change with the seed; names come from ordering the centroids by a
proficiency score, the weighted mean of features all signed so that more is more proficient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from analyzer_service.analysis.clustering import (
    Clustering,
    cluster_in_own_metric,
    cluster_plainly,
    distinct_rows,
)
from analyzer_service.analysis.features import (
    CALIBRATED_FEATURES,
    PAPER_FEATURES,
    FeatureTable,
    Floats,
    feature_table,
    is_rated,
)
from analyzer_service.analysis.proficiency_model import combined
from analyzer_service.analysis.standing import LEVELS
from analyzer_service.analysis.weekly_segments import segment_weeks
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Segment,
    SegmentSummary,
    UserActivity,
    UserSegment,
    UserWeek,
)
from analyzer_service.errors import InvalidInputError

SEGMENTATION_SEED = 20200728
"""Any fixed number serves; this is the day of the paper's conference."""
BORDERLINE_BELOW = 0.9
"""A membership below this is a user who may well belong next door."""
DIGITS = 9
"""Output is rounded so that the last bits of a processor's arithmetic do not show."""

LEAST_WEEKS = 2
"""From two weeks on, what lasts is told from what is chance."""
LEAST_USERS = 30
"""With fewer users what features have in common is chance; the window as a whole tells more."""

LABELS: dict[int, tuple[Segment, ...]] = {
    1: (Segment.INTERMEDIATE,),
    2: (Segment.BEGINNER, Segment.EXPERT),
    3: (Segment.BEGINNER, Segment.INTERMEDIATE, Segment.EXPERT),
}
"""Names by number of clusters, least proficient first. Where all users are alike nobody is above
or below anybody; where only two kinds exist they are the ends."""


class Preset(StrEnum):
    """Which features and which K-means."""

    PAPER = "paper"
    CALIBRATED = "calibrated"

    @classmethod
    def named(cls, name: str) -> Preset:
        """Return the preset of that name.

        Raises:
            InvalidInputError: if there is none.
        """
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(cls)
            raise InvalidInputError(
                f"There is no segment preset {name!r}.",
                hint=f"Use one of: {known}.",
                field="preset",
            ) from None


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Where every user stands, and the clusters they stand in."""

    users: tuple[UserSegment, ...]
    """Rated and unrated, ordered by user."""
    segments: tuple[SegmentSummary, ...]
    """All three, expert first; one that nobody is in has 0 users and an empty centroid."""


def segment_users(
    activities: Sequence[UserActivity],
    preset: Preset,
    *,
    weeks: Sequence[UserWeek] = (),
    seed: int = SEGMENTATION_SEED,
) -> Segmentation:
    """Put users in segments.

    Args:
        activities: one entry per user, in any order.
        preset: ``paper`` is K-means over plain volumes and times; ``calibrated`` compares breadth,
            speed and persistence in the metric of its own clusters.
        weeks: what the same users did week by week, up to the window's end. With at least
            ``LEAST_WEEKS`` of them ``calibrated`` follows users through their weeks instead.
        seed: of K-means.

    Returns:
        The same for any order of ``activities`` and any number of threads.

    Raises:
        InvalidInputError: if a user comes twice.
    """
    ordered = sorted(activities, key=lambda activity: activity.user)
    _refuse_doubles(ordered)
    rated = [activity for activity in ordered if is_rated(activity)]
    with threadpool_limits(limits=1):
        found = (
            _Found.through_weeks(rated, _of(rated, weeks), seed)
            if preset is Preset.CALIBRATED and _are_enough(rated, weeks)
            else _Found.of(rated, preset, seed)
        )
    placed = {activity.user: found.place(row, activity.user) for row, activity in enumerate(rated)}
    return Segmentation(
        users=tuple(placed.get(a.user) or _unrated(a.user) for a in ordered),
        segments=tuple(found.summary(s, rank) for rank, s in enumerate(RATED_SEGMENTS, start=1)),
    )


def _of(rated: Sequence[UserActivity], weeks: Sequence[UserWeek]) -> list[UserWeek]:
    names = {activity.user for activity in rated}
    return [week for week in weeks if week.user in names]


def _are_enough(rated: Sequence[UserActivity], weeks: Sequence[UserWeek]) -> bool:
    """Tell whether users can be followed through their weeks."""
    active = [week for week in _of(rated, weeks) if week.is_active]
    covers = len({week.user for week in active}) == len(rated) >= LEAST_USERS
    return covers and len({week.week for week in active}) >= LEAST_WEEKS


def _refuse_doubles(ordered: Sequence[UserActivity]) -> None:
    for before, after in pairwise(ordered):
        if before.user == after.user:
            raise InvalidInputError(
                f"User {after.user} comes more than once.",
                hint="Give one activity per user and window.",
                field="user",
            )


def _unrated(user: str) -> UserSegment:
    return UserSegment(user=user, segment=Segment.UNRATED, membership=0.0, borderline=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """Clusters of the rated users, named; rows as in the table."""

    table: FeatureTable
    clustering: Clustering
    score: Floats
    names: tuple[Segment, ...]

    @classmethod
    def of(cls, rated: Sequence[UserActivity], preset: Preset, seed: int) -> _Found:
        features = PAPER_FEATURES if preset is Preset.PAPER else CALIBRATED_FEATURES
        table = feature_table(rated, features)
        score: Floats = table.points @ (table.weights / table.weights.sum())
        clustering = _cluster(table, preset, seed)
        return cls(table, clustering, score, _names(clustering, table, score))

    @classmethod
    def through_weeks(
        cls, rated: Sequence[UserActivity], weeks: Sequence[UserWeek], seed: int
    ) -> _Found:
        """Place users where they stand after the newest week."""
        table = feature_table(rated, CALIBRATED_FEATURES)
        found = segment_weeks(weeks, seed=seed)
        score, _ = combined(*found.model.estimates(found.panel))
        clustering = Clustering(found.standing.labels[:, -1], found.standing.beliefs[:, -1])
        return cls(table, clustering, score, LEVELS)

    def place(self, row: int, user: str) -> UserSegment:
        cluster = int(self.clustering.labels[row])
        membership = round(float(self.clustering.memberships[row, cluster]), DIGITS)
        return UserSegment(
            user=user,
            segment=self.names[cluster],
            membership=membership,
            borderline=membership < BORDERLINE_BELOW,
            features=self._plain(self.table.plain[row], float(self.score[row])),
        )

    def summary(self, segment: Segment, rank: int) -> SegmentSummary:
        """Describe one cluster by the means of its members, in plain units."""
        clusters = [cluster for cluster, name in enumerate(self.names) if name is segment]
        members = np.isin(self.clustering.labels, clusters)
        if not members.any():
            return SegmentSummary(segment, rank, 0, 0.0, {})
        proficiency = float(self.score[members].mean())
        return SegmentSummary(
            segment=segment,
            rank=rank,
            users=int(members.sum()),
            proficiency=round(proficiency, DIGITS),
            centroid=self._plain(self.table.plain[members].mean(axis=0), proficiency),
        )

    def _plain(self, values: Floats, proficiency: float) -> dict[str, float]:
        named = zip(self.table.names, values, strict=True)
        return {name: round(float(value), DIGITS) for name, value in named} | {
            "proficiency": round(proficiency, DIGITS)
        }


def _cluster(table: FeatureTable, preset: Preset, seed: int) -> Clustering:
    clusters = min(len(LABELS), distinct_rows(table.points))
    if clusters <= 1:
        users = len(table.points)
        return Clustering(np.zeros(users, dtype=np.intp), np.ones((users, 1)))
    if preset is Preset.PAPER:
        return cluster_plainly(table.points, clusters, seed=seed)
    return cluster_in_own_metric(table.points, clusters, weights=table.weights, seed=seed)


def _names(clustering: Clustering, table: FeatureTable, score: Floats) -> tuple[Segment, ...]:
    """Name each cluster by the rank of its centroid's proficiency; equal ones by the centroid."""
    clusters = clustering.memberships.shape[1]
    if not len(score):
        return LABELS[1]

    def proficiency(cluster: int) -> tuple[float, ...]:
        members = clustering.labels == cluster
        centroid = table.points[members].mean(axis=0)
        return tuple(round(float(v), DIGITS) for v in (score[members].mean(), *centroid))

    ranked = sorted(range(clusters), key=proficiency)
    named = dict(zip(ranked, LABELS[clusters], strict=True))
    return tuple(named[cluster] for cluster in range(clusters))
