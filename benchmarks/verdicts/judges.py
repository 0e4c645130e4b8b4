"""What our judge is measured against: the oracle, the literal rules, a plain mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaln

from benchmarks.verdicts.worlds import ET, MIXED, NONE, SEGMENTS, SIGNALS, SOP, Floats, Ints, World

JEFFREYS = 0.5
CONFIRMED = 0.95
PLAIN_NOISE, PLAIN_RATE, PLAIN_CONCENTRATION = 0.02, 0.55, 6.0
"""The fixed shapes of the plain mixture: what somebody would guess who looked at the data once."""


@dataclass(frozen=True)
class Answers:
    """A kind per signal, how sure, and whether it is called confirmed."""

    kind: Ints
    probability: Floats
    confirmed: np.ndarray


def table(world: World, weights: np.ndarray | None = None) -> Floats:
    """Sum rows by signal and segment."""
    shape = (SIGNALS, len(SEGMENTS))
    flat = np.bincount(
        world.signal * len(SEGMENTS) + world.segment, weights, minlength=shape[0] * shape[1]
    )
    return flat.reshape(shape)


def oracle(world: World) -> Answers:
    """Answer as one who knows who is affected, and nothing more."""
    n, k = table(world), table(world, world.affected.astype(float))

    def below(limit: float, segment: int) -> Floats:
        a, b = k[:, segment] + JEFFREYS, n[:, segment] - k[:, segment] + JEFFREYS
        return np.asarray(betainc(a, b, limit))

    base = (1 - below(0.65, 1)) * (1 - below(0.80, 2))
    sop, et = 1 - below(0.50, 0), below(0.10, 0)
    kinds = np.stack([sop, et, 1 - sop - et], axis=1) * base[:, None]
    best = kinds.argmax(axis=1)
    probability = kinds.max(axis=1)
    answer = np.where(base > 0.5, np.array([SOP, ET, MIXED])[best], NONE)
    return Answers(answer, probability, (answer != NONE) & (probability > CONFIRMED))


def literal(world: World, *, exposed: bool) -> Answers:
    """Answer with rules 1 and 2 over who ever saw the error, and MIXED for what lies between."""
    hit = table(world, (world.failures > 0).astype(float))
    n = table(world) if exposed else np.broadcast_to(np.array(world.given_sizes, float), hit.shape)
    share = hit / np.maximum(n, 1)
    return _by_limits(share)


def plain_mixture(world: World) -> Answers:
    """Answer with the limits on each segment's most likely share under one fixed mixture."""
    a, b = PLAIN_CONCENTRATION * PLAIN_RATE, PLAIN_CONCENTRATION * (1 - PLAIN_RATE)
    n, f = world.attempts, world.failures
    affected = betaln(f + a, n - f + b) - betaln(a, b)
    ratio = affected - f * np.log(PLAIN_NOISE) - (n - f) * np.log1p(-PLAIN_NOISE)
    grid = np.linspace(0.0, 1.0, 201)[1:-1]
    likelihood = np.zeros((len(grid), SIGNALS, len(SEGMENTS)))
    for place, share in enumerate(grid):
        likelihood[place] = table(world, np.logaddexp(np.log1p(-share), np.log(share) + ratio))
    return _by_limits(grid[likelihood.argmax(axis=0)])


def _by_limits(share: Floats) -> Answers:
    base = (share[:, 1] > 0.65) & (share[:, 2] > 0.80)
    expert = share[:, 0]
    kind = np.where(expert > 0.5, SOP, np.where(expert < 0.1, ET, MIXED))
    answer = np.where(base, kind, NONE)
    return Answers(answer, (answer != NONE) * 1.0, np.zeros(len(answer), bool))
