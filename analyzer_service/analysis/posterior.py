"""What k affected of n users say about the share of a segment: Jeffreys' posterior.

The prior Beta(½, ½) adds half a user to each side; its intervals cover close to what they promise
even for shares near 0 and 1 and for a handful of users.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv

from analyzer_service.analysis.features import Floats
from analyzer_service.domain import SegmentCount

DIGITS = 9
"""Output is rounded so that the last bits of a processor's arithmetic do not show."""
HALF = 0.5
"""Jeffreys' pseudo-count."""
INTERVAL = 0.95
"""Mass of the interval shown beside a share."""
GRID = 512
"""Mid-quantiles over which one posterior is compared with another; good to three digits."""


def mass_between(k: float | Floats, n: float | Floats, low: float, high: float) -> Floats:
    """Return the posterior probability that the share lies in (low, high), for each k of n."""
    a = np.asarray(k) + HALF
    b = np.asarray(n) - np.asarray(k) + HALF
    upper = betainc(a, b, min(max(high, 0.0), 1.0))
    lower = betainc(a, b, min(max(low, 0.0), 1.0))
    mass: Floats = np.maximum(upper - lower, 0.0)
    return mass


def interval(count: SegmentCount) -> tuple[float, float]:
    """Return the 95% interval of the share; 0 to 1 where nobody counts.

    By convention it reaches 0 when nobody is affected and 1 when all are.
    """
    a, b = count.k + HALF, count.n - count.k + HALF
    tail = (1 - INTERVAL) / 2
    low = 0.0 if count.k == 0 else float(betaincinv(a, b, tail))
    high = 1.0 if count.k == count.n else float(betaincinv(a, b, 1 - tail))
    return low, high


def probability_above(one: SegmentCount, other: SegmentCount) -> float:
    """Return the posterior probability that one segment's share exceeds another's."""
    quantiles = (np.arange(GRID) + HALF) / GRID
    shares = betaincinv(one.k + HALF, one.n - one.k + HALF, quantiles)
    return float(np.mean(betainc(other.k + HALF, other.n - other.k + HALF, shares)))
