"""Features on scales where weeks can be averaged and users compared.

Counts and times are compared by ratio, so they are taken as logarithms; breadth, a count out of a
most, by the arcsine that makes its noise even. Centre and spread are the median and the
interquartile range, and what lies far out is pulled in: one script's million actions move nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analyzer_service.analysis.features import CLIP_Z, MIN_SPREAD, Floats
from analyzer_service.analysis.panel import Panel

QUARTILES_TO_SIGMA = 1.349
"""The interquartile range of a normal distribution, in standard deviations."""
START_SHARE = 0.5
"""Of the median, added to a count before its logarithm: small counts are mostly chance, and a
plain logarithm would stretch them into the widest part of the scale (Tukey's started logarithm)."""
LEAST_AMOUNT = 1e-3
"""Smaller amounts count as this: a clock that stood still says nothing of skill."""


class Kind(StrEnum):
    """How a feature's values become comparable."""

    COUNT = "count"
    BREADTH = "breadth"
    AMOUNT = "amount"
    TIME_TAKEN = "time_taken"
    """Less is more proficient."""


KINDS: dict[str, Kind] = {
    "actions": Kind.COUNT,
    "distinct_actions": Kind.BREADTH,
    "completion_seconds": Kind.TIME_TAKEN,
    "minutes_per_session": Kind.AMOUNT,
}
"""Others are amounts; which way they point is learned from what they have in common with these."""


@dataclass(frozen=True, slots=True)
class FeatureScale:
    """One feature's way from plain values to robust standard scores; frozen with its model."""

    name: str
    kind: Kind
    start: float
    """Added to a count; the most of a breadth; unused otherwise."""
    center: float
    spread: float
    """0 where all users agree: such a feature is left out."""

    def apply(self, values: Floats) -> Floats:
        """Return standard scores, more is more proficient, NaN where nothing was observed."""
        if self.spread <= 0:
            return np.where(np.isfinite(values), 0.0, np.nan)
        scores = (transformed(values, self.kind, self.start) - self.center) / self.spread
        clipped: Floats = np.clip(scores, -CLIP_Z, CLIP_Z)
        return clipped


def transformed(values: Floats, kind: Kind, start: float) -> Floats:
    """Return values where equal steps mean equal things."""
    result: Floats
    if kind is Kind.COUNT:
        result = np.log(np.maximum(values, 0.0) + start)
    elif kind is Kind.BREADTH:
        # Anscombe's arcsine; who exceeds the most of the weeks learned from counts as at it.
        shares = (np.clip(values, 0.0, start) + 0.375) / (start + 0.75)
        result = np.arcsin(np.sqrt(shares))
    else:
        logs = np.log(np.maximum(values, LEAST_AMOUNT))
        result = -logs if kind is Kind.TIME_TAKEN else logs
    return result


def learn_scales(panel: Panel) -> tuple[FeatureScale, ...]:
    """Learn each feature's scale from all the user-weeks there are."""
    return tuple(
        _learn(name, KINDS.get(name, Kind.AMOUNT), panel.values[..., column])
        for column, name in enumerate(panel.features)
    )


def _learn(name: str, kind: Kind, values: Floats) -> FeatureScale:
    known = values[np.isfinite(values)]
    if not len(known):
        return FeatureScale(name, kind, 1.0, 0.0, 0.0)
    start = 0.0
    if kind is Kind.COUNT:
        start = max(START_SHARE * float(np.median(known)), START_SHARE)
    elif kind is Kind.BREADTH:
        start = max(float(known.max()), 1.0)
    points = transformed(known, kind, start)
    low, high = np.quantile(points, [0.25, 0.75])
    spread = float(high - low) / QUARTILES_TO_SIGMA
    if spread < MIN_SPREAD:
        # More than half of the users agree to the digit: the rest still differ.
        spread = float(points.std())
    return FeatureScale(
        name=name,
        kind=kind,
        start=start,
        center=float(np.median(points)),
        spread=spread if spread >= MIN_SPREAD else 0.0,
    )


def standard_scores(panel: Panel, scales: tuple[FeatureScale, ...]) -> Floats:
    """Return (users, weeks, features) of standard scores."""
    columns = [scale.apply(panel.values[..., i]) for i, scale in enumerate(scales)]
    return np.stack(columns, axis=-1)
