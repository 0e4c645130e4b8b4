"""What a run's signals tell about signals in general, and what that says of each of them.

The limits of the rules cut the cube of shares into boxes. Each box holds one archetype: for every
segment a Beta over the share of affected users, learned from the signals that resemble it. Weights
and shapes of archetypes, noise rates and failure rates are learned from the run itself (empirical
Bayes, by expectation and maximisation); where a run has few signals, stated hyperpriors prevail.
No signal vouches for itself: its verdict comes from what all the others taught.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer_service.analysis.failure_process import Likelihood, Process
from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.shares_grid import Axis, Grid

ITERATIONS = 8
"""Steps of expectation and maximisation. Stopping early is a way of smoothing: later steps sharpen
what few users cannot show (with 8 / 12 / 20 users, 50 steps cost five points of precision)."""
LIKELY_PROCESSES = 16
"""Ways of failing kept per signal: the likeliest; those left out weigh under a thousandth."""
WEIGHT_SIGNALS = 5.0
"""Signals' worth of belief in the weights of archetypes before any signal is seen."""
ALIKE = 0.5
"""Part of that belief in segments being equally affected; the rest: each is on its own."""
SHAPE_SIGNALS = 5.0
"""Signals' worth of belief that an archetype resembles those of other kinds in its interval."""
INTERVAL_SIGNALS = 3.0
"""Signals' worth of belief that these lie in the middle of their interval."""
INTERVAL_DEVIATIONS = 5.0
"""Standard deviations to an interval's width before any signal is seen: nearly all lies within."""
LEAST_VARIANCE = 4e-4
"""Signals of one archetype differ at least by two points of a hundred."""
LEAST_ROOM = 0.02
"""A Beta's variance stays this part under the most a mean allows."""
MOST_CONCENTRATED = 2000.0
"""Beyond this a Beta is narrower than any cell."""
RATE_BLUR = 0.1
"""Part of a failure rate's weight that goes to each neighbour: rates form a continuum."""
TINY = 1e-300


@dataclass(frozen=True)
class Judgements:
    """What is known of each signal in the light of all."""

    rules: Floats
    """(signals, rules): probability that every clause holds."""
    edges: tuple[Floats, ...]
    """Per segment: between which shares each cell lies."""
    shares: tuple[Floats, ...]
    """Per segment (signals, cells): posterior of the share of affected users."""
    evidence: float
    """Log-likelihood of all that was seen."""
    processes: tuple[Process, ...]
    process: Floats
    """(signals, processes): posterior of the way of failing."""


@dataclass(frozen=True)
class _Seen:
    """A run's likelihood, reduced to each signal's likeliest processes."""

    kept: np.ndarray
    scale: Floats
    top: Floats
    cells: tuple[Floats, ...]


@dataclass(frozen=True)
class Archetypes:
    """Weights over boxes, and per segment the mass of each archetype in each cell.

    The leading axis of the masses is missing where all signals share them.
    """

    weights: Floats
    masses: tuple[Floats, ...]


@dataclass(frozen=True)
class _Sums:
    """What signals contribute to archetypes: how much, and first and second moments of shares."""

    count: Floats
    moments: tuple[Floats, ...]


class Population:
    """Learns archetypes and processes from a run's likelihood."""

    def __init__(self, grid: Grid) -> None:
        """Know the limits that shares are judged by."""
        self._grid = grid
        boxes = np.array(grid.boxes)
        self._places = tuple(boxes[:, segment] for segment in range(boxes.shape[1]))
        self._mass = (1 - ALIKE) * grid.flat_mass() + ALIKE * grid.alike_mass()
        ruled = grid.in_some_rule()
        both = ruled[:, None] & ruled[None, :]
        own = np.eye(len(boxes), dtype=bool)
        self._resemble = tuple(
            ((((place[:, None] == place[None, :]) & both) | own).astype(np.float64))
            for place in self._places
        )
        self._first = tuple(_moments_of_intervals(axis)[p] for axis, p in self._axes())

    def evidence(self, seen: Likelihood, archetypes: Archetypes | None = None) -> Floats:
        """Return the log-likelihood of each signal and process.

        Args:
            seen: of signals.
            archetypes: learned before; unset: those stated before anything is learned.
        """
        known = archetypes or self._start()
        total = np.broadcast_to(known.weights, (*seen.scale.shape, len(known.weights)))
        for cells, mass in zip(seen.cells, known.masses, strict=True):
            total = total * (cells @ mass.T)
        evidence: Floats = seen.scale + np.log(np.maximum(total.sum(-1), TINY))
        return evidence

    def learn(self, seen: Likelihood) -> tuple[Archetypes, Floats]:
        """Return the archetypes of signals and the odds of processes."""
        reduced = self._reduce(seen)
        sums, odds = self._fit(reduced, seen.processes)
        return self._learn(_total(sums), len(reduced.scale)), odds

    def judge(self, seen: Likelihood) -> Judgements:
        """Learn from all signals, then judge each by what the others taught."""
        reduced = self._reduce(seen)
        sums, odds = self._fit(reduced, seen.processes)
        total = _total(sums)
        others = _Sums(
            total.count - sums.count,
            tuple(t - m for t, m in zip(total.moments, sums.moments, strict=True)),
        )
        return self._speak(seen, reduced, self._learn(others, len(reduced.scale) - 1), odds)

    def _fit(self, reduced: _Seen, processes: tuple[Process, ...]) -> tuple[_Sums, Floats]:
        """Return each signal's sums and the odds of processes after all iterations."""
        odds = _even_odds(processes)
        archetypes = self._start()
        for _ in range(ITERATIONS):
            held, sums = self._expect(reduced, archetypes, odds)
            odds = _process_odds(processes, reduced.kept, held)
            archetypes = self._learn(_total(sums), len(reduced.scale))
        return sums, odds

    def _axes(self) -> list[tuple[Axis, np.ndarray]]:
        return list(zip(self._grid.axes, self._places, strict=True))

    def _reduce(self, seen: Likelihood) -> _Seen:
        evidence = self.evidence(seen)
        keep = min(LIKELY_PROCESSES, evidence.shape[1])
        kept = np.argsort(-evidence, axis=1, kind="stable")[:, :keep]
        rows = np.arange(len(kept))[:, None]
        top = seen.scale[rows, kept].max(axis=1)
        scale = np.exp(seen.scale[rows, kept] - top[:, None])
        return _Seen(kept, scale, top, tuple(cells[rows, kept] for cells in seen.cells))

    def _start(self) -> Archetypes:
        boxes = len(self._mass)
        nothing = _Sums(np.zeros(boxes), tuple(np.zeros((boxes, 2)) for _ in self._places))
        return self._learn(nothing, 0)

    def _learn(self, sums: _Sums, signals: int) -> Archetypes:
        """Return archetypes from sums, for all signals together or one set for each."""
        weights = (sums.count + WEIGHT_SIGNALS * self._mass) / (signals + WEIGHT_SIGNALS)
        masses = []
        for (axis, _), moments, resemble, first in zip(
            self._axes(), sums.moments, self._resemble, self._first, strict=True
        ):
            pooled_count = (sums.count @ resemble)[..., None]
            pooled = np.einsum("...ak,ab->...bk", moments, resemble)
            target = (pooled + INTERVAL_SIGNALS * first) / (pooled_count + INTERVAL_SIGNALS)
            own = (moments + SHAPE_SIGNALS * target) / (sums.count[..., None] + SHAPE_SIGNALS)
            masses.append(_beta_cells(axis, own[..., 0], own[..., 1]))
        return Archetypes(weights, tuple(masses))

    def _expect(self, seen: _Seen, archetypes: Archetypes, odds: Floats) -> tuple[Floats, _Sums]:
        """Return how much each signal holds to each process, and its sums."""
        fits = [c @ m.T for c, m in zip(seen.cells, archetypes.masses, strict=True)]
        joint = (seen.scale * odds[seen.kept])[..., None] * archetypes.weights
        for fit in fits:
            joint *= fit
        joint /= np.maximum(joint.sum((1, 2), keepdims=True), TINY)
        moments = []
        for (axis, _), cells, mass, fit in zip(
            self._axes(), seen.cells, archetypes.masses, fits, strict=True
        ):
            share = joint / np.maximum(fit, TINY)
            powers = [(share * (cells @ (mass * axis.middles**power).T)).sum(1) for power in (1, 2)]
            moments.append(np.stack(powers, axis=-1))
        return joint.sum(2), _Sums(joint.sum(1), tuple(moments))

    def _speak(
        self, likelihood: Likelihood, seen: _Seen, archetypes: Archetypes, odds: Floats
    ) -> Judgements:
        before = (seen.scale * odds[seen.kept])[..., None] * archetypes.weights[:, None, :]
        fits = [_fits(c, m) for c, m in zip(seen.cells, archetypes.masses, strict=True)]
        joint = before * np.prod(fits, axis=0)
        total = np.maximum(joint.sum((1, 2)), TINY)
        rules = [
            (
                before
                * np.prod(
                    [
                        _fits(cells, mass * within[axis.interval])
                        for (axis, _), cells, mass, within in zip(
                            self._axes(), seen.cells, archetypes.masses, rule, strict=True
                        )
                    ],
                    axis=0,
                )
            ).sum((1, 2))
            / total
            for rule in self._grid.within
        ]
        shares = []
        for cells, mass, fit in zip(seen.cells, archetypes.masses, fits, strict=True):
            weight = joint / np.maximum(fit, TINY) / total[:, None, None]
            shares.append(np.einsum("sea,sec,sac->sc", weight, cells, mass, optimize=True))
        process = np.zeros(likelihood.scale.shape)
        np.put_along_axis(process, seen.kept, joint.sum(2) / total[:, None], axis=1)
        return Judgements(
            rules=np.stack(rules, axis=1),
            edges=tuple(axis.edges for axis in self._grid.axes),
            shares=tuple(shares),
            evidence=float((np.log(total) + seen.top).sum()),
            processes=likelihood.processes,
            process=process,
        )


def _total(sums: _Sums) -> _Sums:
    return _Sums(sums.count.sum(0), tuple(moments.sum(0) for moments in sums.moments))


def _fits(cells: Floats, mass: Floats) -> Floats:
    """Return the likelihood (signals, processes, archetypes) under each signal's own masses."""
    fit: Floats = cells @ mass.transpose(0, 2, 1)
    return fit


def _moments_of_intervals(axis: Axis) -> Floats:
    """Return mean and mean square of the share in each interval before any signal is seen."""
    middle = (axis.cuts[1:] + axis.cuts[:-1]) / 2
    deviation = np.diff(axis.cuts) / INTERVAL_DEVIATIONS
    return np.stack([middle, middle**2 + deviation**2], axis=-1)


def _beta_cells(axis: Axis, mean: Floats, square: Floats) -> Floats:
    """Return the mass in each cell of the Beta with such a mean and mean square."""
    most = mean * (1 - mean)
    variance = np.minimum(np.maximum(square - mean**2, LEAST_VARIANCE), most * (1 - LEAST_ROOM))
    both = np.minimum(most / variance - 1, MOST_CONCENTRATED)[..., None]
    one = mean[..., None] * both - 1
    other = (1 - mean[..., None]) * both - 1
    density = one * np.log(axis.points) + other * np.log1p(-axis.points)
    mass = axis.by_cell(np.exp(density - density.max(axis=-1, keepdims=True)) * axis.weights)
    cells: Floats = mass / mass.sum(axis=-1, keepdims=True)
    return cells


def _even_odds(processes: tuple[Process, ...]) -> Floats:
    return np.full(len(processes), 1 / len(processes))


def _process_odds(processes: tuple[Process, ...], kept: np.ndarray, held: Floats) -> Floats:
    """Return the odds of processes: noise and the rate of the affected are independent."""
    held_by = np.bincount(kept.ravel(), held.ravel(), minlength=len(processes))
    signals = len(held)
    noises = sorted({(p.noise_rate, p.noise.carry_on, p.noise.concentration) for p in processes})
    rates = sorted({p.affected_rate for p in processes})
    noise = np.array(
        [noises.index((p.noise_rate, p.noise.carry_on, p.noise.concentration)) for p in processes]
    )
    rate = np.array([rates.index(p.affected_rate) for p in processes])
    by_noise = np.bincount(noise, held_by, minlength=len(noises)) + 1 / len(noises)
    by_rate = np.bincount(rate, held_by, minlength=len(rates))
    wide = np.concatenate([by_rate[:1], by_rate, by_rate[-1:]])
    by_rate = (1 - 2 * RATE_BLUR) * by_rate + RATE_BLUR * (wide[:-2] + wide[2:]) + 1 / len(rates)
    odds: Floats = by_noise[noise] * by_rate[rate] / (signals + 1) ** 2
    odds /= odds.sum()
    return odds
