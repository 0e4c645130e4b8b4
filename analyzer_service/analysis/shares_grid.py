"""Shares of affected users cut into cells, so that every limit of a rule is the edge of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.rules import Rule
from analyzer_service.domain import RATED_SEGMENTS, Segment

CELLS = 30
"""Cells of equal width on the arcsine scale, on which a share is known equally well everywhere:
half as wide as the share of 100 known users is uncertain."""
CLOSE = 0.4
"""An edge nearer to a limit than this part of a cell gives way to it."""
GAUSS = 0.5 / np.sqrt(3.0)
"""Two points a cell, at this distance from its middle, integrate cubics exactly."""
ALIKE_POINTS = 2000
"""Shares tried to see through which boxes a share common to all segments passes."""

Box = tuple[int, ...]
"""One interval between limits per segment."""


@dataclass(frozen=True)
class Axis:
    """The shares of one segment."""

    cuts: Floats
    """0, the limits, 1."""
    edges: Floats
    """Of the cells."""
    points: Floats
    """Two shares in each cell, in order."""
    weights: Floats
    """The width each point stands for."""
    interval: NDArray[np.int64]
    """Between which cuts each cell lies."""

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self.interval)

    def by_cell(self, values: Floats) -> Floats:
        """Add up the two points of each cell along the last axis."""
        total: Floats = values.reshape(*values.shape[:-1], self.cells, 2).sum(-1)
        return total

    @property
    def middles(self) -> Floats:
        """The middle of each cell."""
        middles: Floats = self.points.reshape(-1, 2).mean(1)
        return middles


@dataclass(frozen=True)
class Grid:
    """The shares of all segments, the boxes that limits cut them into, and the rules' parts."""

    axes: tuple[Axis, ...]
    boxes: tuple[Box, ...]
    within: tuple[tuple[NDArray[np.bool_], ...], ...]
    """Per rule and segment: which intervals between cuts fulfil the clause."""

    def in_some_rule(self) -> NDArray[np.bool_]:
        """Tell of each box whether it lies within a rule's limits."""
        return np.array(
            [
                any(all(w[i] for w, i in zip(rule, box, strict=True)) for rule in self.within)
                for box in self.boxes
            ]
        )

    def flat_mass(self) -> Floats:
        """Return Jeffreys' mass of each box where segments have nothing to do with each other."""
        mass = [np.diff(_angle(axis.cuts)) * 2 / np.pi for axis in self.axes]
        return np.array(
            [np.prod([m[i] for m, i in zip(mass, box, strict=True)]) for box in self.boxes]
        )

    def alike_mass(self) -> Floats:
        """Return Jeffreys' mass of each box where all segments have the same share."""
        shares = np.sin((np.arange(ALIKE_POINTS) + 0.5) / ALIKE_POINTS * np.pi / 2) ** 2
        passed = np.stack([np.searchsorted(axis.cuts[1:-1], shares) for axis in self.axes], axis=1)
        return np.array([np.all(passed == box, axis=1).mean() for box in self.boxes])


def grid_of(rules: Sequence[Rule]) -> Grid:
    """Return the grid whose cells no limit of these rules cuts through."""
    axes = tuple(_axis(_limits(rules, segment)) for segment in RATED_SEGMENTS)
    within = tuple(
        tuple(
            _fulfilling(axis, rule, segment)
            for axis, segment in zip(axes, RATED_SEGMENTS, strict=True)
        )
        for rule in rules
    )
    boxes = tuple(product(*(range(len(axis.cuts) - 1) for axis in axes)))
    return Grid(axes, boxes, within)


def _limits(rules: Sequence[Rule], segment: Segment) -> list[float]:
    clauses = [rule.clauses[segment] for rule in rules if segment in rule.clauses]
    limits = {float(limit) for clause in clauses for limit in (clause.low, clause.high)}
    return sorted(limit for limit in limits if 0 < limit < 1)


def _axis(limits: Sequence[float]) -> Axis:
    cuts = np.array([0.0, *limits, 1.0])
    even = np.linspace(0.0, np.pi / 2, CELLS + 1)
    near = np.abs(even[:, None] - _angle(cuts)[None, :]).min(axis=1) < CLOSE * even[1]
    edges = np.union1d(np.sin(even[~near]) ** 2, cuts)
    half = np.diff(edges)[:, None]
    middle = (edges[1:] + edges[:-1])[:, None] / 2
    points = (middle + half * np.array([-GAUSS, GAUSS])).ravel()
    interval = np.searchsorted(cuts[1:-1], (edges[1:] + edges[:-1]) / 2)
    return Axis(cuts, edges, points, np.repeat(half.ravel() / 2, 2), interval)


def _angle(share: Floats) -> Floats:
    angle: Floats = np.arcsin(np.sqrt(share))
    return angle


def _fulfilling(axis: Axis, rule: Rule, segment: Segment) -> NDArray[np.bool_]:
    middles = (axis.cuts[1:] + axis.cuts[:-1]) / 2
    clause = rule.clauses.get(segment)
    if clause is None:
        return np.ones(len(middles), dtype=bool)
    fulfilled: NDArray[np.bool_] = (middles > float(clause.low)) & (middles < float(clause.high))
    return fulfilled
