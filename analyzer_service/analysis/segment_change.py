"""What changed: who moved where, how far the population is from its model, how firm groups are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.panel import Panel
from analyzer_service.analysis.proficiency_model import DIGITS, SegmentModel, fit
from analyzer_service.analysis.standing import LEVELS, Ints, beliefs_of
from analyzer_service.domain import Segment

BOOTSTRAPS = 20
"""Resamples for a stability figure: its standard error is then a hundredth or two."""
DRIFT_BY_CHANCE = 0.001
"""A population that has not moved is called drifted one time in a thousand: weekly looks add up."""
DRIFT_WORTH_A_LOOK = 0.1
"""Population stability index below which a move, however certain, is too small to matter; the
customary limit of credit scoring, where the index comes from."""
LEAST_SHARE = 1e-4
"""Keeps the logarithm of an empty tenth finite."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a week's users are from those the model was learned from."""

    stability_index: float
    """Population stability index over tenths: the two-sided divergence of the distributions."""
    chance_limit: float
    """What it stays below by chance alone, for so many users."""
    shift: float
    """Mean proficiency of the users now, in standard deviations of users; the model's was 0."""
    drifted: bool
    """Certain and worth a look: time for a refit."""


def migrations(before: Ints, after: Ints) -> Mapping[Segment, Mapping[Segment, int]]:
    """Return how many users went from which segment to which, of those who had one at both times.

    Args:
        before: levels, -1 for none.
        after: levels of the same users later.
    """
    known = (before >= 0) & (after >= 0)
    counts = np.zeros((len(LEVELS), len(LEVELS)), dtype=np.intp)
    np.add.at(counts, (before[known], after[known]), 1)
    return {
        then: {now: int(counts[i, j]) for j, now in enumerate(LEVELS)}
        for i, then in enumerate(LEVELS)
    }


def drift(model: SegmentModel, panel: Panel) -> Drift:
    """Compare the newest week's users with the model's."""
    scores, precisions = model.estimates(panel.last(1))
    now = scores[precisions > 0]
    if not len(now) or not model.reference_cuts:
        return Drift(0.0, 0.0, 0.0, drifted=False)
    tenths = len(model.reference_cuts) + 1
    counts = np.bincount(np.searchsorted(model.reference_cuts, now), minlength=tenths)
    shares = np.maximum(counts / len(now), LEAST_SHARE)
    expected = 1.0 / tenths
    index = float(((shares - expected) * np.log(shares / expected)).sum())
    # Where nothing moved, the index is chi-square over both samples' sizes.
    freedom = tenths - 1
    limit = float(chi2.isf(DRIFT_BY_CHANCE, freedom)) * (1 / len(now) + 1 / max(model.users, 1))
    return Drift(
        stability_index=round(index, DIGITS),
        chance_limit=round(limit, DIGITS),
        shift=round(float(now.mean()), DIGITS),
        drifted=index > max(limit, DRIFT_WORTH_A_LOOK),
    )


def stability(model: SegmentModel, panel: Panel, *, seed: int) -> Mapping[Segment, float]:
    """Return how firm each segment is: mean Jaccard overlap with those of resampled users' models.

    Args:
        model: learned from the panel.
        panel: the weeks it was learned from.
        seed: of the resampling.

    Returns:
        1 is a segment that every resample finds again; below about 0.6 it is hardly one
        (Hennig, *Cluster-wise assessment of cluster stability*, 2007).
    """
    rng = np.random.default_rng(seed)
    panel = panel.present()
    placed = likeliest(model, panel)
    overlaps = []
    for _ in range(BOOTSTRAPS):
        rows = rng.integers(0, len(panel.users), len(panel.users))
        again = fit(panel.choose([int(row) for row in rows]), previous=model)
        overlaps.append(_overlaps(placed, likeliest(again, panel)))
    means = np.mean(overlaps, axis=0)
    return {segment: round(float(means[i]), DIGITS) for i, segment in enumerate(LEVELS)}


def likeliest(model: SegmentModel, panel: Panel) -> Ints:
    """Return each user's likeliest level at the end of the panel."""
    found: Ints = beliefs_of(model, panel)[:, -1].argmax(axis=1)
    return found


def _overlaps(one: Ints, other: Ints) -> Floats:
    found = np.ones(len(LEVELS))
    for level in range(len(LEVELS)):
        either = ((one == level) | (other == level)).sum()
        if either:
            found[level] = ((one == level) & (other == level)).sum() / either
    return found
