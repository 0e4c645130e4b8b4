"""The one direction in which features agree: proficiency, learned without labels.

What several action and time signals have in common is skill; what each has for itself is habit
(lasting) or chance (gone next week). One-factor analysis tells the common part from the rest by
how features vary *together* over users; repeated weeks tell habit from chance by how a user varies
from week to week. A user's week is then the least-noise estimate of the common part, with its
precision. Neither needs a label, and one week is enough for a start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer_service.analysis.features import Floats

Flags = npt.NDArray[np.bool_]

FACTOR_STEPS = 500
"""Expectation-maximisation steps of the factor analysis; it has stood still long before."""
FACTOR_TOLERANCE = 1e-9
LEAST_OWN_SHARE = 0.1
"""Of a feature's variance, at least so much is its own: none measures skill without error."""
PRIOR_USERS = 20.0
"""Imagined users whose features all correlate alike: few real ones give chance correlations."""
LEAST_CORRELATION = 0.1
"""Of those imagined users, where the real ones show nothing in common."""
LEAST_REPEATS = 50
"""Week-to-week differences needed to learn chance from; fewer weeks count as one."""
MEMORY_WEEKS = 6
"""Weeks over which evidence adds up: beyond, a lasting habit would pass for ever surer skill."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Where proficiency lies among standard scores."""

    offset: Floats
    """Mean standard scores of all users."""
    loadings: Floats
    """Change of each feature per unit of proficiency (whose spread over users is 1)."""
    noise: Floats
    """Covariance of what is not proficiency in a week, its lasting part times the memory."""

    def estimates(self, points: Floats) -> tuple[Floats, Floats]:
        """Return proficiency and precision of each user's week from what is known of it.

        Args:
            points: standard scores (users, weeks, features), NaN where unknown.
        """
        known = np.isfinite(points)
        scores = np.zeros(points.shape[:2])
        precisions = np.zeros(points.shape[:2])
        for pattern in np.unique(known.reshape(-1, points.shape[-1]), axis=0):
            used = pattern & (np.abs(self.loadings) > 0)
            if not used.any():
                continue
            weights = np.linalg.solve(self.noise[np.ix_(used, used)], self.loadings[used])
            precision = float(weights @ self.loadings[used])
            rows = (known == pattern).all(axis=-1)
            scores[rows] = (points[rows][:, used] - self.offset[used]) @ weights / precision
            precisions[rows] = precision
        return scores, precisions


def learn_axis(points: Floats) -> Axis:
    """Learn the axis from standard scores (users, weeks, features), NaN where unknown."""
    means, counts = _user_means(points)
    offset = np.nan_to_num(_mean(means))
    spread = _covariance(means - offset)
    live = np.diag(spread) > 0
    chance, repeats = _chance(points, means)
    width = points.shape[-1]
    if repeats < LEAST_REPEATS:
        loadings, own = _one_factor(spread, LEAST_OWN_SHARE * np.diag(spread), live)
        noise = np.diag(own)
    else:
        # An average over n weeks still carries 1/n of a week's chance.
        thinned = float(np.mean(1.0 / counts[counts > 0]))
        least = np.maximum(np.diag(chance) * thinned, 1e-6)
        loadings, own = _one_factor(spread, least, live)
        habit = np.maximum(own - least, 0.0)
        weeks = min(1.0 / thinned, MEMORY_WEEKS)
        noise = chance + weeks * np.diag(habit)
    noise = noise + np.diag(np.where(live, 1e-9, 1.0))
    return Axis(offset, np.where(live, loadings, 0.0), noise.reshape(width, width))


def _user_means(points: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(points)
    sums = np.where(known, points, 0.0).sum(axis=1)
    counts = known.sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means, counts.max(axis=1).astype(np.float64)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: Floats = total / np.maximum(known.sum(axis=0), 1)
    return mean


def _covariance(centred: Floats) -> Floats:
    """Return the covariance over users, each pair of features from those who have both.

    It is shrunk towards one correlation for all pairs, by the imagined users.
    """
    known = np.isfinite(centred)
    filled = np.where(known, centred, 0.0)
    both = known.T.astype(np.float64) @ known.astype(np.float64)
    raw = filled.T @ filled / np.maximum(both, 1.0)
    sigma = np.sqrt(np.diag(raw))
    safe = np.where(sigma > 0, sigma, 1.0)
    correlation = np.clip(raw / np.outer(safe, safe), -1.0, 1.0)
    live = np.outer(sigma > 0, sigma > 0) & ~np.eye(len(sigma), dtype=bool)
    typical = float(correlation[live].mean()) if live.any() else 0.0
    typical = max(typical, LEAST_CORRELATION)
    weight = both / (both + PRIOR_USERS)
    shrunk = np.where(live, weight * correlation + (1 - weight) * typical, 0.0)
    np.fill_diagonal(shrunk, 1.0)
    covariance: Floats = shrunk * np.outer(sigma, sigma)
    return covariance


def _chance(points: Floats, means: Floats) -> tuple[Floats, int]:
    """Return the covariance of a week around its user's mean, and how many differences made it."""
    apart = points - means[:, None, :]
    weeks = np.isfinite(points).any(axis=-1).sum(axis=1)
    rows = apart[weeks > 1].reshape(-1, points.shape[-1])
    known = np.isfinite(rows)
    filled = np.where(known, rows, 0.0)
    both = known.T.astype(np.float64) @ known.astype(np.float64)
    # Each user's own mean takes one week's freedom away.
    freedom = int((weeks[weeks > 1] - 1).sum())
    total = int(weeks[weeks > 1].sum())
    share = freedom / total if total else 1.0
    covariance: Floats = filled.T @ filled / np.maximum(both * share, 1.0)
    return covariance, freedom


def _one_factor(spread: Floats, least: Floats, live: Flags) -> tuple[Floats, Floats]:
    """Return loadings and own variances of a one-factor model, by expectation-maximisation.

    Own variances stay above ``least``: a feature cannot be surer than its measured chance.
    """
    width = len(spread)
    loadings, own = np.zeros(width), np.maximum(np.diag(spread), least)
    if live.sum() == 0:
        return loadings, np.maximum(own, 1.0)
    inner = spread[np.ix_(live, live)]
    floor = np.minimum(least[live], np.diag(inner))
    floor = np.maximum(floor, 1e-9)
    values, vectors = np.linalg.eigh(inner)
    load = vectors[:, -1] * np.sqrt(max(float(values[-1]), 0.0))
    load = load if load.sum() >= 0 else -load
    rest = np.maximum(np.diag(inner) / 2, floor)
    for _ in range(FACTOR_STEPS):
        before = load
        ratio = load / rest
        variance = 1.0 / (1.0 + float(ratio @ load))
        weights = variance * ratio
        shared = inner @ weights
        load = shared / (variance + float(weights @ shared))
        rest = np.maximum(np.diag(inner) - load * shared, floor)
        if float(np.abs(load - before).max()) < FACTOR_TOLERANCE:
            break
    loadings[live] = load if load.sum() >= 0 else -load
    own[live] = rest
    return loadings, own
