"""Planted worlds: 200 signals a world, who is affected known, and what a rule set gets to see.

A rule set sees attempts and failures per user and the segments, nothing else. The definitions are
those of ``docs/verdicts.md``; every world follows from its setting and its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Range = tuple[float, float]
Triple = tuple[Range, Range, Range]
"""Ranges of the share of affected experts, intermediates, beginners."""

NONE, SOP, ET, MIXED = range(4)
KINDS = ("none", "simplicity_of_platform", "education_training", "mixed")
SEGMENTS = ("expert", "intermediate", "beginner")
SIGNALS = 200
LARGE, SMALL, TINY = (85, 118, 190), (20, 30, 50), (8, 12, 20)
SIZES = (LARGE, SMALL, TINY)
PARTLY: Range = (0.25, 0.80)
EVERYBODY: Range = (1.0, 1.0)
WRONG = 0.15
"""Users who carry a neighbouring segment where segments are wrong."""
FASTER = 1.5
"""How much more often experts adopt where adoption differs."""
DRAGGED = 0.5
"""Chance of a burst to end with each further attempt it drags down."""


@dataclass(frozen=True)
class Nature:
    """How signals, users and failures of a world come about; the defaults are the base world."""

    none: float = 0.80
    sop: float = 0.10
    et: float = 0.05
    mixed: float = 0.05
    near_misses: float = 0.0
    inverted: float = 0.0
    shares: Mapping[int, Triple] = field(
        default_factory=lambda: {
            SOP: ((0.55, 0.85), (0.70, 0.92), (0.84, 0.97)),
            ET: ((0.01, 0.07), (0.70, 0.92), (0.84, 0.97)),
            MIXED: ((0.18, 0.42), (0.70, 0.92), (0.84, 0.97)),
        }
    )
    base: tuple[float, float] = (1.2, 6.0)
    factors: Triple = ((0.6, 1.0), (0.8, 1.1), (0.9, 1.3))
    more_attempts: tuple[float, float, float] = (12.0, 8.0, 5.0)
    """Mean attempts beyond the first."""
    attempts_shape: float = 0.8
    rate: Range = (0.3, 0.8)
    concentration: float = 6.0
    noise: float = 0.02
    bursts: bool = False
    wrong: float = 0.0
    faster: float = 1.0


@dataclass(frozen=True)
class Setting:
    """One cell of the grid of worlds."""

    sizes: tuple[int, int, int]
    partly: bool
    variation: str = "base"

    @property
    def name(self) -> str:
        """Name a cell as ``85/118/190, all, base``."""
        sizes = "/".join(map(str, self.sizes))
        return f"{sizes}, {'25-80%' if self.partly else 'all'}, {self.variation}"


@dataclass(frozen=True)
class World:
    """Exposed users as columns of one length, and the truth of each signal."""

    sizes: tuple[int, int, int]
    signal: Ints
    segment: Ints
    user: Ints
    attempts: Ints
    failures: Ints
    affected: NDArray[np.bool_]
    truth: Ints
    given_sizes: tuple[int, ...]
    """Users per segment as the rule set is told."""


def shifted(rng: np.random.Generator) -> Nature:
    """Draw another population of signals, up to the very limits of the rules."""

    def between(low: Range, high: Range) -> Range:
        return float(rng.uniform(*low)), float(rng.uniform(*high))

    sop, et, mixed = rng.uniform(0.03, 0.2), rng.uniform(0.02, 0.12), rng.uniform(0.01, 0.1)
    others = {
        kind: (between((0.65, 0.75), (0.85, 0.99)), between((0.80, 0.86), (0.93, 0.995)))
        for kind in (SOP, ET, MIXED)
    }
    experts = {
        SOP: between((0.50, 0.65), (0.75, 0.98)),
        ET: between((0.0, 0.02), (0.06, 0.10)),
        MIXED: between((0.10, 0.22), (0.35, 0.50)),
    }
    mean = float(rng.uniform(0.6, 1.4))
    return Nature(
        none=1 - sop - et - mixed,
        sop=sop,
        et=et,
        mixed=mixed,
        shares={kind: (experts[kind], *others[kind]) for kind in experts},
        base=(float(rng.uniform(0.8, 2.0)), float(rng.uniform(4.0, 9.0))),
        more_attempts=(12 * mean, 8 * mean, 5 * mean),
        attempts_shape=float(rng.uniform(0.5, 1.5)),
        rate=between((0.2, 0.4), (0.6, 0.9)),
        concentration=float(rng.uniform(3.0, 12.0)),
    )


VARIATIONS: Mapping[str, Callable[[np.random.Generator], Nature]] = {
    "base": lambda _: Nature(),
    "adoption": lambda _: Nature(faster=FASTER),
    "noise 0.005": lambda _: Nature(noise=0.005),
    "noise 0.05": lambda _: Nature(noise=0.05),
    "segments wrong": lambda _: Nature(wrong=WRONG),
    "bursts": lambda _: Nature(bursts=True),
    "near misses": lambda _: Nature(none=0.70, near_misses=0.08, inverted=0.02),
    "shifted": shifted,
}


def draw(setting: Setting, seed: int) -> World:
    """Draw one world."""
    rng = np.random.default_rng(seed)
    nature = VARIATIONS[setting.variation](rng)
    truth, shares = _signals(nature, rng)
    adoption = rng.uniform(*(PARTLY if setting.partly else EVERYBODY), SIGNALS)
    rate = rng.uniform(*nature.rate, SIGNALS)
    given = _given_segments(setting.sizes, nature.wrong, rng)
    parts = []
    for segment, size in enumerate(setting.sizes):
        share_of_users = np.minimum(1.0, adoption * (nature.faster if segment == 0 else 1.0))
        exposed = rng.random((SIGNALS, size)) < share_of_users[:, None]
        nobody = np.flatnonzero(~exposed.any(axis=1))
        exposed[nobody, rng.integers(0, size, len(nobody))] = True
        signal, place = np.nonzero(exposed)
        attempts = _attempts(nature, segment, len(signal), rng)
        affected = rng.random(len(signal)) < shares[signal, segment]
        rates = np.where(affected, _own_rates(nature, rate[signal], rng), nature.noise)
        failures = _failures(attempts, rates, rng, bursts=nature.bursts)
        user = place + sum(setting.sizes[:segment])
        parts.append((signal, given[user], user, attempts, failures, affected))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    sizes = tuple(int(n) for n in np.bincount(given, minlength=len(SEGMENTS)))
    return World(setting.sizes, *columns, truth=truth, given_sizes=sizes)


def _signals(nature: Nature, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return the true kind of each signal and its shares per segment."""
    truth: list[int] = []
    shares: list[Floats] = []
    for kind, share in ((SOP, nature.sop), (ET, nature.et), (MIXED, nature.mixed)):
        for _ in range(round(share * SIGNALS)):
            truth.append(kind)
            shares.append(_planted(nature, kind, rng))
    for number in range(round(nature.near_misses * SIGNALS)):
        near = _planted(nature, (SOP, ET)[number % 2], rng)
        short = int(rng.integers(1, 3))
        near[short] = rng.uniform(*((0.45, 0.62), (0.60, 0.78))[short - 1])
        truth.append(NONE)
        shares.append(near)
    for _ in range(round(nature.inverted * SIGNALS)):
        truth.append(NONE)
        shares.append(_planted(nature, (ET, MIXED)[int(rng.integers(2))], rng)[::-1])
    while len(truth) < SIGNALS:
        base = rng.beta(*nature.base)
        low, high = np.array(nature.factors).T
        truth.append(NONE)
        shares.append(np.minimum(0.99, base * rng.uniform(low, high)))
    return np.array(truth[:SIGNALS]), np.array(shares[:SIGNALS])


def _planted(nature: Nature, kind: int, rng: np.random.Generator) -> Floats:
    low, high = np.array(nature.shares[kind]).T
    return rng.uniform(low, high)


def _given_segments(sizes: tuple[int, int, int], wrong: float, rng: np.random.Generator) -> Ints:
    """Return the segment each user carries; some carry a neighbour's."""
    true = np.repeat(np.arange(len(sizes)), sizes)
    step = np.where(
        true == 0, 1, np.where(true == len(sizes) - 1, -1, rng.choice((-1, 1), len(true)))
    )
    return np.where(rng.random(len(true)) < wrong, true + step, true)


def _attempts(nature: Nature, segment: int, users: int, rng: np.random.Generator) -> Ints:
    shape = nature.attempts_shape
    return 1 + rng.poisson(rng.gamma(shape, nature.more_attempts[segment] / shape, users))


def _own_rates(nature: Nature, rate: Floats, rng: np.random.Generator) -> Floats:
    return rng.beta(nature.concentration * rate, nature.concentration * (1 - rate))


def _failures(attempts: Ints, rates: Floats, rng: np.random.Generator, *, bursts: bool) -> Ints:
    """Count failures; in bursts one failing attempt drags 1 + Geometric further ones down."""
    if not bursts:
        return rng.binomial(attempts, rates)
    failures = np.zeros_like(attempts)
    dragged = np.zeros_like(attempts)
    for attempt in range(int(attempts.max())):
        going = attempts > attempt
        own = going & (dragged == 0) & (rng.random(len(attempts)) < rates)
        failures += going & (own | (dragged > 0))
        # numpy's geometric counts from 1, the definition's from 0.
        length = 1 + rng.geometric(DRAGGED, len(attempts)) - 1
        dragged = np.where(own, length, np.maximum(dragged - 1, 0))
    return failures
