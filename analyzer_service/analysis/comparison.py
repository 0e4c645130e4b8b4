"""Did it help? Failures per attempt before and after, among the touched and the untouched.

Users are the clusters: one user's attempts are not independent of each other, so a rate's variance
comes from how users differ from it (the linearised ratio estimator, Cochran, *Sampling Techniques*,
chapter 6), and the covariance of a user's two times is kept. What changed for everybody cancels
against the untouched (difference in differences).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import t as student

from analyzer_service.analysis.features import Floats
from analyzer_service.lives import Comparison, Effect

INTERVAL: Final = 0.95
"""Mass of the interval that is shown."""

FALSE_EFFECT_RATE: Final = 0.05
"""Chance, over all looks together, of calling an intervention without effect better (or worse)."""

MINIMUM_USERS: Final = 5
"""Users with attempts before and after, fewer of whom give no variance worth the name."""

DIGITS: Final = 9
"""Output is rounded so that the last bits of a processor's arithmetic do not show."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Attempts and failures of the same users before and after; arrays of equal length."""

    attempts_before: Floats
    failures_before: Floats
    attempts_after: Floats
    failures_after: Floats

    @property
    def users_before(self) -> int:
        """How many users attempted before."""
        return int(np.count_nonzero(self.attempts_before))

    @property
    def users_after(self) -> int:
        """How many users attempted after."""
        return int(np.count_nonzero(self.attempts_after))


def compare(touched: Exposure, untouched: Exposure | None, *, look: int) -> Comparison:
    """Compare the time before an intervention with the time after it.

    Args:
        touched: Those whom the intervention reached.
        untouched: Those whom it did not; None or too few: the touched are compared with themselves.
        look: Which look this is, from 1. The k-th may err with ``FALSE_EFFECT_RATE`` / 2^k, so
            that all together, however many, stay within the rate.

    Returns:
        The change of failures per attempt with its 95% interval; ``BETTER`` or ``WORSE`` where the
        bound at this look's level excludes no change.
    """
    usable = untouched if untouched is not None and _enough(untouched) else None
    groups = [touched] if usable is None else [touched, usable]
    rates = [_rates(group) for group in groups]
    if not _enough(touched):
        return _comparison(Effect.NOT_ENOUGH_SEEN, 0.0, (-1.0, 1.0), rates)
    change = _change(rates[0]) - (_change(rates[1]) if usable is not None else 0.0)
    error = float(np.sqrt(sum(_variance(group) for group in groups)))
    freedom = min(min(group.users_before, group.users_after) for group in groups) - 1
    width = float(student.ppf((1 + INTERVAL) / 2, freedom)) * error
    bound = float(student.ppf(1 - FALSE_EFFECT_RATE / 2**look, freedom)) * error
    return _comparison(_effect(change, bound), change, (change - width, change + width), rates)


def _enough(group: Exposure) -> bool:
    return min(group.users_before, group.users_after) >= MINIMUM_USERS


def _effect(change: float, bound: float) -> Effect:
    if change + bound < 0:
        return Effect.BETTER
    return Effect.WORSE if change - bound > 0 else Effect.NO_DIFFERENCE


def _rates(group: Exposure) -> tuple[float, float]:
    return (
        _rate(group.failures_before, group.attempts_before),
        _rate(group.failures_after, group.attempts_after),
    )


def _change(rates: tuple[float, float]) -> float:
    return rates[1] - rates[0]


def _rate(failures: Floats, attempts: Floats) -> float:
    total = float(attempts.sum())
    return float(failures.sum()) / total if total else 0.0


def _variance(group: Exposure) -> float:
    """Return the variance of (rate after - rate before), users being the clusters."""
    before, after = _rates(group)
    influence = (group.failures_after - after * group.attempts_after) / max(
        group.attempts_after.sum(), 1.0
    ) - (group.failures_before - before * group.attempts_before) / max(
        group.attempts_before.sum(), 1.0
    )
    users = len(influence)
    return float(np.sum(influence**2)) * users / max(users - 1, 1)


def _comparison(
    effect: Effect, change: float, limits: tuple[float, float], rates: list[tuple[float, float]]
) -> Comparison:
    untouched = rates[1] if len(rates) > 1 else (None, None)
    return Comparison(
        effect=effect,
        change=round(change, DIGITS),
        low=round(max(limits[0], -2.0), DIGITS),
        high=round(min(limits[1], 2.0), DIGITS),
        touched_before=round(rates[0][0], DIGITS),
        touched_after=round(rates[0][1], DIGITS),
        untouched_before=untouched[0] if untouched[0] is None else round(untouched[0], DIGITS),
        untouched_after=untouched[1] if untouched[1] is None else round(untouched[1], DIGITS),
    )
