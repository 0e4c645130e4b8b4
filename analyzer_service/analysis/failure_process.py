"""How users fail: the unaffected at a signal's own noise, the affected at rates of their own.

For a share of affected users, what is seen of a segment is a mixture of the two; its likelihood is
computed on a grid of shares for each way in which users may fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaln

from analyzer_service.analysis.exposure import Exposure
from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.shares_grid import Grid

LEAST = 1e-200
"""Probability of what a process cannot produce: small enough to count for nothing."""
RATES = 48
"""Rates of affected users over which bursts are mixed, evenly spread on the arcsine scale."""


@dataclass(frozen=True)
class Noise:
    """How failures of unaffected users depend on one another.

    ``carry_on`` is the chance that a failed attempt drags the next one of the same user down;
    ``concentration`` says how alike the users' own noise rates are (0: exactly alike).
    """

    carry_on: float = 0.0
    concentration: float = 0.0


@dataclass(frozen=True)
class Process:
    """One way in which users may fail."""

    noise: Noise
    noise_rate: float
    affected_rate: float
    """Mean failure rate of affected users."""
    affected_concentration: float
    """How alike the rates of affected users are: the sum of the two shapes of their Beta."""


@dataclass(frozen=True)
class Likelihood:
    """What is seen under each process and share."""

    processes: tuple[Process, ...]
    scale: Floats
    """(signals, processes): logarithms that the cells are multiples of."""
    cells: tuple[Floats, ...]
    """Per segment (signals, processes, cells): mean likelihood in a cell, at most about 1."""


def unaffected_log_likelihood(exposure: Exposure, noise: Noise, rate: float) -> Floats:
    """Return the log-likelihood of each pair for a user who is not affected."""
    n, f = exposure.attempts, exposure.failures
    if noise.concentration:
        a, b = noise.concentration * rate, noise.concentration * (1 - rate)
        varied: Floats = betaln(f + a, n - f + b) - betaln(a, b)
        return varied
    if noise.carry_on:
        dragged: Floats = _bursts(exposure, np.array([rate]), noise.carry_on)[0]
        return dragged
    alike: Floats = f * np.log(rate) + (n - f) * np.log1p(-rate)
    return alike


class Affected:
    """Log-likelihoods of each pair for an affected user, whose own rate is from a Beta."""

    def __init__(self, exposure: Exposure, noise: Noise) -> None:
        """Bursts drag the attempts of affected users down too; otherwise the Beta is exact."""
        self._exposure = exposure
        self._likelihood: Floats | None = None
        if noise.carry_on:
            edges = np.sin(np.linspace(0.0, np.pi / 2, RATES + 1)) ** 2
            self._edges = edges
            self._middles = (edges[1:] + edges[:-1]) / 2
            logs = _bursts(exposure, self._middles, noise.carry_on)
            self._peak = logs.max(axis=0)
            self._likelihood = np.exp(logs - self._peak)

    def log_likelihood(self, rate: float, concentration: float) -> Floats:
        """Return the logarithms for a mean rate and a concentration of the users' own rates."""
        a, b = concentration * rate, concentration * (1 - rate)
        if self._likelihood is None:
            n, f = self._exposure.attempts, self._exposure.failures
            exact: Floats = betaln(f + a, n - f + b) - betaln(a, b)
            return exact
        weights = np.diff(betainc(a, b, self._edges))
        mixed: Floats = np.log(np.maximum(weights @ self._likelihood, LEAST)) + self._peak
        return mixed


def likelihood(exposure: Exposure, processes: Sequence[Process], grid: Grid) -> Likelihood:
    """Return the likelihood of every share under every process."""
    unaffected = {
        key: unaffected_log_likelihood(exposure, *key)
        for key in {(p.noise, p.noise_rate) for p in processes}
    }
    affected = {noise: Affected(exposure, noise) for noise in {p.noise for p in processes}}
    scale = np.empty((exposure.signals, len(processes)))
    cells = tuple(np.empty((exposure.signals, len(processes), axis.cells)) for axis in grid.axes)
    totals = sum(exposure.users[1:], exposure.users[0])
    seen = [np.flatnonzero(users.getnnz(axis=0)) for users in exposure.users]
    counts = [users[:, pairs] for users, pairs in zip(exposure.users, seen, strict=True)]
    for place, process in enumerate(processes):
        without = unaffected[process.noise, process.noise_rate]
        with_ = affected[process.noise].log_likelihood(
            process.affected_rate, process.affected_concentration
        )
        top = np.maximum(without, with_)
        scale[:, place] = totals @ top
        without, with_ = np.exp(without - top), np.exp(with_ - top)
        for axis, pairs, users, target in zip(grid.axes, seen, counts, cells, strict=True):
            mixed = np.outer(with_[pairs], axis.points)
            mixed += np.outer(without[pairs], 1 - axis.points)
            logs = users @ np.log(np.maximum(mixed, LEAST))
            peak = logs.max(axis=1)
            scale[:, place] += peak
            target[:, place] = axis.by_cell(np.exp(logs - peak[:, None])) / 2
    return Likelihood(tuple(processes), scale, cells)


def _bursts(exposure: Exposure, rates: Floats, carry_on: float) -> Floats:
    """Return the log-likelihood (rates, pairs) where a failure carries on with some chance.

    Two states, walked attempt by attempt: after a success an attempt fails at the rate, after a
    failure it is dragged down with the chance or else fails at the rate.
    """
    n, f = exposure.attempts.astype(int), exposure.failures.astype(int)
    most = int(n.max(initial=0))
    after_success = np.zeros((len(rates), most + 1))
    after_failure = np.zeros((len(rates), most + 1))
    after_success[:, 0] = 1.0
    rate = rates[:, None]
    again = carry_on + (1 - carry_on) * rate
    found = np.zeros((len(rates), len(n)))
    for attempts in range(most + 1):
        if attempts:
            fails = after_success * rate + after_failure * again
            after_success = after_success * (1 - rate) + after_failure * (1 - again)
            after_failure[:, 1:] = fails[:, :-1]
            after_failure[:, 0] = 0.0
        now = n == attempts
        found[:, now] = after_success[:, f[now]] + after_failure[:, f[now]]
    # Other processes leave out in how many orders failures may have come; so does this one.
    orders = betaln(n - f + 1.0, f + 1.0) + np.log1p(n)
    value: Floats = np.log(np.maximum(found, LEAST)) + orders
    return value
