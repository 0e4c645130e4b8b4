"""Who is affected at equal exposure: judged from attempts and failures, never from "ever failed".

First the run's own way of failing is found: how often unaffected users fail, whether their failures
come in bursts or differ by user, how alike the affected are. Then every signal is judged with what
all the others teach (``population``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

from analyzer_service.analysis.exposure import Exposure, Ints
from analyzer_service.analysis.failure_process import (
    Affected,
    Noise,
    Process,
    likelihood,
    unaffected_log_likelihood,
)
from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.population import Archetypes, Judgements, Population
from analyzer_service.analysis.posterior import INTERVAL
from analyzer_service.analysis.rules import Rule
from analyzer_service.analysis.shares_grid import Grid, grid_of

SAMPLE = 60
"""Signals from which the way of failing is found; all share it, so more would tell no more."""
NOISES = (
    Noise(),
    Noise(carry_on=0.5),
    Noise(carry_on=0.67),
    Noise(carry_on=0.8),
    Noise(concentration=20.0),
    Noise(concentration=5.0),
)
"""Independent failures; runs of two, three, five on average; users who differ somewhat and much."""
WIDE_NOISE_RATES = tuple(float(rate) for rate in np.geomspace(0.001, 0.4, 10))
"""From one failure in a thousand attempts to four in ten."""
LOWER = (0.25, 0.5, 1.0)
"""Where failures depend on one another, fewer starts make as many: rates tried beside the plain."""
WIDE_RATES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
FINE_RATES = tuple(round(0.1 + 0.05 * step, 2) for step in range(18))
"""Failure rates of affected users, to look around and to judge: 0.10 to 0.95."""
FIRST_CONCENTRATION = 5.7
CONCENTRATIONS = (2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 32.0)
"""From affected users who all differ to nearly alike ones, each step a factor of the root of 2."""
WORSE = 2.0
"""Who is affected fails at least so many times as often as who is not."""
ZOOMS = 2
"""Halvings of the (logarithmic) distance between noise rates: to a sixth of the rate."""
NOTABLE = 0.02
"""Noise rates that weigh less in the run are not looked at further."""
MOST_NOISE_RATES = 8
"""Kept at most, the weightiest: a run of unlike signals may need several."""
UNLIKELY = 0.004
"""Rates of the affected under a tenth of an even share are not worth the search."""
STEPS = 30
"""Of expectation and maximisation for the weights of noise rates."""


def judge_exposure(exposure: Exposure, rules: Sequence[Rule]) -> Judgements:
    """Judge signals by who is affected.

    Args:
        exposure: attempts and failures of a run's signals.
        rules: kinds that exclude one another, with their limits.

    Returns:
        One row per signal, in the order of the exposure.
    """
    grid = grid_of(rules)
    population = Population(grid)
    processes = find_processes(exposure, grid, population)
    return population.judge(likelihood(exposure, processes, grid))


def affected_probability(
    exposure: Exposure, judgements: Judgements, signal: int, segment: int
) -> Floats:
    """Return for each pair of the exposure how probably a user who did that is affected."""
    share = mean_share(judgements, signal, segment)
    total = np.zeros(len(exposure.attempts))
    affected: dict[Noise, Affected] = {}
    for process, weight in zip(judgements.processes, judgements.process[signal], strict=True):
        if weight <= 0:
            continue
        without = unaffected_log_likelihood(exposure, process.noise, process.noise_rate)
        if process.noise not in affected:
            affected[process.noise] = Affected(exposure, process.noise)
        with_ = affected[process.noise].log_likelihood(
            process.affected_rate, process.affected_concentration
        )
        odds = np.clip(with_ - without, -500.0, 500.0) + np.log(share) - np.log1p(-share)
        total += weight / (1 + np.exp(-odds))
    return total


def mean_share(judgements: Judgements, signal: int, segment: int) -> float:
    """Return the expected share of affected users."""
    edges = judgements.edges[segment]
    return float(judgements.shares[segment][signal] @ (edges[1:] + edges[:-1]) / 2)


def share_interval(judgements: Judgements, signal: int, segment: int) -> tuple[float, float]:
    """Return the central 95% interval of the share of affected users."""
    below = np.concatenate([[0.0], np.cumsum(judgements.shares[segment][signal])])
    tail = (1 - INTERVAL) / 2
    quantiles = np.array([tail, 1 - tail]) * below[-1]
    low, high = np.interp(quantiles, below, judgements.edges[segment])
    return float(low), float(high)


def probability_more(judgements: Judgements, signal: int, one: int, other: int) -> float:
    """Return how probably one segment's share exceeds another's."""
    middles = [(e[1:] + e[:-1]) / 2 for e in (judgements.edges[one], judgements.edges[other])]
    above = middles[0][:, None] > middles[1][None, :]
    mass = judgements.shares[one][signal] @ above @ judgements.shares[other][signal]
    return float(mass)


def find_processes(exposure: Exposure, grid: Grid, population: Population) -> tuple[Process, ...]:
    """Return the ways of failing to judge a run by, found in a sample of its signals."""
    search = _Search(exposure.some(_sample(exposure.signals)), grid, population)
    noise, rates = search.noise()
    concentration = FIRST_CONCENTRATION
    step = WIDE_NOISE_RATES[1] / WIDE_NOISE_RATES[0]
    for _ in range(ZOOMS):
        step = float(np.sqrt(step))
        search.learn(_processes(noise, rates, FINE_RATES, concentration))
        rates, _ = search.weigh(_processes(noise, _around(rates, step), FINE_RATES, concentration))
        concentration = search.concentration(noise, rates, concentration)
    return _processes(noise, rates, FINE_RATES, concentration)


class _Search:
    """Scores ways of failing by the evidence for them in a sample."""

    def __init__(self, sample: Exposure, grid: Grid, population: Population) -> None:
        self._sample = sample
        self._grid = grid
        self._population = population
        self._archetypes: Archetypes | None = None
        self._odds: dict[float, float] = {}

    def noise(self) -> tuple[Noise, list[float]]:
        """Return how failures of the unaffected depend on one another, and their notable rates."""
        plain, _ = self.weigh(
            _processes(Noise(), WIDE_NOISE_RATES, WIDE_RATES, FIRST_CONCENTRATION)
        )
        found = [
            self.weigh(_processes(noise, _lower(noise, plain), WIDE_RATES, FIRST_CONCENTRATION))
            for noise in NOISES
        ]
        best = max(range(len(NOISES)), key=lambda place: found[place][1])
        return NOISES[best], found[best][0]

    def learn(self, processes: tuple[Process, ...]) -> None:
        """Learn archetypes and the rates of the affected, to weigh by from now on."""
        seen = likelihood(self._sample, processes, self._grid)
        self._archetypes, odds = self._population.learn(seen)
        self._odds = dict.fromkeys(FINE_RATES, 0.0)
        for process, weight in zip(processes, odds, strict=True):
            self._odds[process.affected_rate] += float(weight)

    def concentration(self, noise: Noise, rates: Sequence[float], start: float) -> float:
        """Return how alike the affected are: uphill from a start."""
        place = CONCENTRATIONS.index(start)
        scores: dict[int, float] = {}

        def score(at: int) -> float:
            if at not in scores:
                inside = 0 <= at < len(CONCENTRATIONS)
                scores[at] = (
                    self.weigh(_processes(noise, rates, FINE_RATES, CONCENTRATIONS[at]))[1]
                    if inside
                    else -np.inf
                )
            return scores[at]

        while (up := max((place - 1, place + 1), key=score)) and score(up) > score(place):
            place = up
        return CONCENTRATIONS[place]

    def weigh(self, processes: tuple[Process, ...]) -> tuple[list[float], float]:
        """Return the notable noise rates of some processes, and the evidence for them."""
        likely = tuple(p for p in processes if self._odds.get(p.affected_rate, 1.0) >= UNLIKELY)
        seen = likelihood(self._sample, likely, self._grid)
        evidence = self._population.evidence(seen, self._archetypes)
        evidence += np.log([self._odds.get(p.affected_rate, 1.0) for p in likely])
        rates = sorted({p.noise_rate for p in likely})
        place = np.array([rates.index(p.noise_rate) for p in likely])
        by_rate = np.stack(
            [np.logaddexp.reduce(evidence[:, place == i], axis=1) for i in range(len(rates))],
            axis=1,
        )
        weights, total = _weigh(by_rate)
        order = np.argsort(-weights, kind="stable")[:MOST_NOISE_RATES]
        return sorted(rates[i] for i in order if weights[i] >= NOTABLE), total


def _weigh(evidence: Floats) -> tuple[Floats, float]:
    """Return the likeliest weights of alternatives, and the evidence under them."""
    top = evidence.max(axis=1, keepdims=True)
    fit = np.exp(evidence - top)
    weights = np.full(evidence.shape[1], 1 / evidence.shape[1])
    for _ in range(STEPS):
        held = fit * weights
        held /= held.sum(axis=1, keepdims=True)
        weights = held.mean(axis=0)
    return weights, float((np.log(fit @ weights) + top[:, 0]).sum())


def _sample(signals: int) -> Ints:
    rows = np.linspace(0, signals - 1, min(signals, SAMPLE))
    return np.unique(np.rint(rows).astype(np.int64))


def _lower(noise: Noise, rates: Iterable[float]) -> list[float]:
    if noise == Noise():
        return list(WIDE_NOISE_RATES)
    return sorted({rate * part for rate in rates for part in LOWER})


def _around(rates: Iterable[float], step: float) -> list[float]:
    highest = WIDE_NOISE_RATES[-1]
    near = {round(rate * step**shift, 9) for rate in rates for shift in (-1, 0, 1)}
    return sorted({min(rate, highest) for rate in near})


def _processes(
    noise: Noise, noise_rates: Iterable[float], rates: Sequence[float], concentration: float
) -> tuple[Process, ...]:
    return tuple(
        Process(noise, noise_rate, rate, concentration)
        for noise_rate, rate in product(noise_rates, rates)
        if rate >= WORSE * noise_rate
    )
