"""K-means, and what stands before and after it.

Plain K-means measures with the spread of the whole population, so a feature whose spread is
mostly noise counts as much as one that separates. ``cluster_in_own_metric`` runs K-means, measures
the covariance *within* the clusters it found, runs K-means again in the space where that
covariance is round, and so on until the partition stands. A few steps of the matching soft model
(Gaussians with one shared covariance, of which K-means is the hard limit) then give the clusters
their unequal sizes and every user a probability.

Sums in several threads depend on their number: callers hold the threads at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from analyzer_service.analysis.features import Floats

Ints = npt.NDArray[np.intp]

STARTS: tuple[tuple[float, ...], ...] = (
    (1 / 3, 1 / 3, 1 / 3),
    (0.5, 0.3, 0.2),
    (0.2, 0.3, 0.5),
)
"""Shares, least proficient first, by which the signed score is cut to start: even, and either
end heavy. Starting along proficiency keeps K-means from splitting users by some other habit."""
METRIC_ROUNDS = 8
"""K-means and its metric settle within 3-5 rounds; the rest is for hard cases."""
SOFT_STEPS = 60
"""Most soft steps; the likelihood has usually stood still well before."""
SOFT_TOLERANCE = 1e-7
"""Gain in mean log likelihood below which the soft model stands still."""
DIAGONAL_SHRINKAGE = 0.1
"""Share of the within-cluster correlations that is not believed."""
PRIOR_USERS = 20.0
"""Imagined users that keep the metric sane when there are few real ones."""
PRIOR_VARIANCE = 0.25
"""Their variance within a cluster, of a total of 1: half a standard deviation to each side."""
MIN_SIZE = 1e-9
"""Keeps the logarithm of a starved cluster's size finite."""
RESTARTS = 10
"""Random starts of the plain K-means; the best inertia wins."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """A partition: labels in 0..k-1 by user, memberships (users, k) whose rows sum to 1."""

    labels: Ints
    memberships: Floats


@dataclass(frozen=True, slots=True)
class _Soft:
    memberships: Floats
    log_likelihood: float

    def is_whole(self) -> bool:
        labels = self.memberships.argmax(axis=1)
        return bool(len(np.unique(labels)) == self.memberships.shape[1])


def distinct_rows(points: Floats) -> int:
    """Count the users who differ: no more clusters than that can be told apart."""
    return len(np.unique(points.round(9), axis=0))


def cluster_plainly(points: Floats, clusters: int, *, seed: int) -> Clustering:
    """Partition by K-means as it is, with random restarts.

    Args:
        points: (users, features), at least ``clusters`` distinct rows.
        clusters: k.
        seed: of the restarts.

    Returns:
        Labels of K-means; memberships from equal round Gaussians around the centroids.
    """
    model = KMeans(clusters, n_init=RESTARTS, random_state=seed, algorithm="lloyd").fit(points)
    squared = model.transform(points) ** 2
    own = squared[np.arange(len(points)), model.labels_]
    variance = (own.sum() + PRIOR_USERS * PRIOR_VARIANCE) / (points.size + PRIOR_USERS)
    return Clustering(model.labels_, _softmax(-squared / (2 * variance))[0])


def cluster_in_own_metric(
    points: Floats, clusters: int, *, weights: Floats, seed: int
) -> Clustering:
    """Partition by K-means in the metric of its own clusters, then soften.

    Args:
        points: (users, features) standard scores signed towards proficiency, at least
            ``clusters`` distinct rows.
        clusters: k.
        weights: trust in each feature, in (0, 1].
        seed: taken by K-means; every start is given, so it decides nothing today.

    Returns:
        The best of several starts by likelihood.
    """
    score = (points * weights).sum(axis=1)
    hard = [
        _settle(points, _cut(score, _shares(start, clusters)), weights, clusters, seed)
        for start in STARTS
    ]
    soft = [_soften(points, labels, weights, clusters) for labels in hard]
    whole = [candidate for candidate in soft if candidate.is_whole()]
    if not whole:
        # So few users that a soft cluster starved: keep the hard partition.
        return Clustering(hard[0], np.eye(clusters)[hard[0]])
    best = max(whole, key=lambda candidate: candidate.log_likelihood)
    return Clustering(best.memberships.argmax(axis=1), best.memberships)


def _shares(start: Sequence[float], clusters: int) -> Floats:
    chosen: Floats = np.array(start[:clusters])
    shares: Floats = chosen / chosen.sum()
    return shares


def _cut(score: Floats, shares: Floats) -> Ints:
    """Group users by rank of score; every group gets somebody."""
    count, clusters = len(score), len(shares)
    bounds = np.round(np.cumsum(shares)[:-1] * count).astype(int)
    steps = np.arange(1, clusters)
    bounds = np.clip(bounds, steps, count - clusters + steps)
    labels = np.empty(count, dtype=np.intp)
    for label, rows in enumerate(np.split(np.argsort(score, kind="stable"), bounds)):
        labels[rows] = label
    return labels


def _settle(points: Floats, labels: Ints, weights: Floats, clusters: int, seed: int) -> Ints:
    """Alternate K-means and its metric until the partition stands."""
    seen = points * weights
    for round_number in range(METRIC_ROUNDS):
        before, labels = labels, _kmeans(seen, labels, clusters, seed)
        if round_number and np.array_equal(before, labels):
            break
        onehot = np.eye(clusters)[labels]
        seen = points @ _whitening(points, onehot, weights).T
    return labels


def _kmeans(points: Floats, labels: Ints, clusters: int, seed: int) -> Ints:
    starts = np.array([points[labels == label].mean(axis=0) for label in range(clusters)])
    model = KMeans(clusters, init=starts, n_init=1, random_state=seed, algorithm="lloyd")
    found: Ints = model.fit(points).labels_.astype(np.intp)
    return found


def _soften(points: Floats, labels: Ints, weights: Floats, clusters: int) -> _Soft:
    """Run expectation and maximisation with one covariance for all clusters."""
    memberships = np.eye(clusters)[labels]
    likelihood = -np.inf
    for _ in range(SOFT_STEPS):
        before = likelihood
        sizes = memberships.sum(axis=0) + MIN_SIZE
        means = (memberships.T @ points) / sizes[:, None]
        whiten = _whitening(points, memberships, weights)
        here, there = points @ whiten.T, means @ whiten.T
        squared = (here**2).sum(axis=1)[:, None] - 2 * here @ there.T + (there**2).sum(axis=1)
        memberships, evidence = _softmax(np.log(sizes / sizes.sum()) - squared / 2)
        likelihood = float(evidence.mean() + np.log(np.diag(whiten)).sum())
        if abs(likelihood - before) < SOFT_TOLERANCE:
            break
    return _Soft(memberships, likelihood)


def _whitening(points: Floats, memberships: Floats, weights: Floats) -> Floats:
    """Return W, lower triangular, with W S Wᵀ = 1 for the covariance S within the clusters."""
    count, width = points.shape
    sizes = memberships.sum(axis=0) + MIN_SIZE
    means = (memberships.T @ points) / sizes[:, None]
    scatter = points.T @ points - means.T @ (means * sizes[:, None])
    within = (scatter + PRIOR_USERS * PRIOR_VARIANCE * np.eye(width)) / (count + PRIOR_USERS)
    diagonal = np.diag(np.diag(within))
    within = (1 - DIAGONAL_SHRINKAGE) * within + DIAGONAL_SHRINKAGE * diagonal
    distrust = diagonal * (1 / weights**2 - 1)
    inverse: Floats = np.linalg.inv(np.linalg.cholesky(within + distrust))
    return inverse


def _softmax(scores: Floats) -> tuple[Floats, Floats]:
    """Return probabilities by row and the logarithm of each row's sum."""
    top = scores.max(axis=1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(axis=1, keepdims=True)
    return weights / total, (top + np.log(total))[:, 0]
