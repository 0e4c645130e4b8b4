"""K-means on proficiency, and the probabilities around it.

K-means cuts the axis into groups; it knows neither that groups differ in size nor how sure one
user's place is. A mixture with the precision the axis measured, started from K-means, adds both.
Two mild priors keep it sane where groups overlap so much that their sizes and distances cannot be
told: sizes towards even, the middle group towards half way. Where groups stand apart, both vanish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from analyzer_service.analysis.features import Floats

STARTS = 10
"""Random starts of K-means; the best inertia wins. On one axis they agree nearly always."""
EVEN_USERS = 30.0
"""Imagined users, spread evenly over the groups."""
MIDDLE_WITHIN = 0.1
"""Standard deviation, in steps between groups, of a prior that puts the middle group half way. It
weighs as many users as one user's noise is wide against it: dozens where groups overlap so much
that the middle could be anywhere, a few where it is plain to see."""
DISPERSION_USERS = 100.0
"""Weight of the measured noise against the spread found within groups, in users."""
LEAST_DISPERSION = 0.5
"""Groups tighter than the measured noise allows are chance."""
STEPS = 2000
TOLERANCE = 1e-9
"""Gain in mean log likelihood below which the mixture stands still."""
MOST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups on the axis, least proficient first."""

    centroids: Floats
    sizes: Floats
    """Shares of users, adding up to 1."""
    dispersion: float
    """How much wider users of a group spread than the axis' noise alone: 1 is not at all."""


def group_on_axis(scores: Floats, precisions: Floats, *, seed: int) -> Groups:
    """Group users by their proficiency.

    Args:
        scores: proficiency of each user, at least one.
        precisions: of each score, positive.
        seed: of K-means.

    Returns:
        Three groups, fewer where fewer scores differ.
    """
    count = min(MOST_GROUPS, len(np.unique(scores.round(9))))
    if count < 2:  # noqa: PLR2004 - nobody differs
        return Groups(np.array([float(scores.mean())]), np.ones(1), 1.0)
    points = scores[:, None]
    found = KMeans(count, n_init=STARTS, random_state=seed, algorithm="lloyd").fit(
        points, sample_weight=precisions
    )
    centroids: Floats = np.sort(found.cluster_centers_[:, 0].astype(np.float64))
    return _refined(scores, precisions, centroids)


def _refined(scores: Floats, precisions: Floats, centroids: Floats) -> Groups:
    count, users = len(centroids), len(scores)
    groups = Groups(centroids, np.full(count, 1 / count), 1.0)
    scale = float(precisions.mean())
    before = -np.inf
    for _ in range(STEPS):
        logs = log_densities(scores, precisions, groups) + np.log(groups.sizes)
        memberships, evidence = normalised(logs)
        weights = memberships * (precisions / scale)[:, None]
        pulls = np.diag(weights.sum(axis=0)) + _middle_pull(groups, groups.dispersion / scale)
        moved: Floats = np.linalg.solve(pulls, weights.T @ scores).astype(np.float64)
        misfit = (memberships * (scores[:, None] - moved) ** 2 * precisions[:, None]).sum()
        groups = Groups(
            centroids=moved,
            sizes=(memberships.sum(axis=0) + EVEN_USERS / count) / (users + EVEN_USERS),
            dispersion=max(
                float(misfit + DISPERSION_USERS) / (users + DISPERSION_USERS), LEAST_DISPERSION
            ),
        )
        likelihood = float(evidence.mean())
        if abs(likelihood - before) < TOLERANCE:
            break
        before = likelihood
    return _ascending(groups)


def _middle_pull(groups: Groups, variance: float) -> Floats:
    """Return the pull of the middle group to half way, in users; of one user's variance."""
    count = len(groups.centroids)
    step = float(np.ptp(groups.centroids)) / 2
    if count < MOST_GROUPS or step <= 0:
        return 1e-9 * np.eye(count)
    lean = np.array([0.5, -1.0, 0.5])
    pull: Floats = variance / (MIDDLE_WITHIN * step) ** 2 * np.outer(lean, lean)
    return pull + 1e-9 * np.eye(count)


def _ascending(groups: Groups) -> Groups:
    order = np.argsort(groups.centroids, kind="stable")
    return Groups(groups.centroids[order], groups.sizes[order], groups.dispersion)


def log_densities(scores: Floats, precisions: Floats, groups: Groups) -> Floats:
    """Return the log density of each score in each group, groups on a last axis."""
    spread = groups.dispersion / np.maximum(precisions, 1e-12)
    away = scores[..., None] - groups.centroids
    logs: Floats = -(away**2) / (2 * spread[..., None]) - np.log(spread)[..., None] / 2
    return logs


def normalised(logs: Floats) -> tuple[Floats, Floats]:
    """Return probabilities along the last axis and the logarithm of their sum."""
    top = logs.max(axis=-1, keepdims=True)
    weights = np.exp(logs - top)
    total = weights.sum(axis=-1, keepdims=True)
    return weights / total, (top + np.log(total))[..., 0]
