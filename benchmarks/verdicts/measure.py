"""Recall, precision and reliability of verdicts over many worlds, beside those who know more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from analyzer_service.analysis.attempted import judge_attempts
from analyzer_service.analysis.rules import load_rule_set
from analyzer_service.analysis.verdicts import judge
from analyzer_service.cli.attempt_table import NO_TIME
from analyzer_service.domain import (
    RATED_SEGMENTS,
    AttemptCount,
    Grade,
    Period,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    SignalKind,
)
from benchmarks.verdicts import judges
from benchmarks.verdicts.judges import Answers
from benchmarks.verdicts.worlds import KINDS, NONE, SEGMENTS, SIGNALS, Setting, World, draw

BINS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
"""Edges of the reliability curve."""
CALIBRATED = load_rule_set("calibrated")


@dataclass
class Tally:
    """What one judge got right, summed over worlds."""

    planted: int = 0
    reported: int = 0
    right: int = 0
    confirmed: int = 0
    confirmed_right: int = 0
    reliability: dict[float, list[float]] = field(default_factory=dict)

    def add(self, truth: np.ndarray, answers: Answers) -> None:
        """Count one world."""
        reported = answers.kind != NONE
        right = reported & (answers.kind == truth)
        self.planted += int((truth != NONE).sum())
        self.reported += int(reported.sum())
        self.right += int(right.sum())
        self.confirmed += int((reported & answers.confirmed).sum())
        self.confirmed_right += int((right & answers.confirmed).sum())
        for low, high in pairwise(BINS):
            inside = reported & (answers.probability > low) & (answers.probability <= high)
            found = self.reliability.setdefault(low, [0, 0, 0.0])
            found[0] += int(inside.sum())
            found[1] += int((right & inside).sum())
            found[2] += float(answers.probability[inside].sum())

    def figures(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return {
            "recall": round(self.right / max(self.planted, 1), 4),
            "precision": round(self.right / self.reported, 4) if self.reported else None,
            "reported": self.reported,
            "confirmed": self.confirmed,
            "confirmed_right": round(self.confirmed_right / self.confirmed, 4)
            if self.confirmed
            else None,
        }

    def curve(self) -> list[dict[str, float]]:
        """Return per bin how sure and how often right."""
        return [
            {
                "above": low,
                "verdicts": n,
                "mean_probability": round(total / n, 4),
                "right": round(right / n, 4),
            }
            for low, (n, right, total) in sorted(self.reliability.items())
            if n
        ]


def counts_of(world: World) -> list[SignalCounts]:
    """Return what a rule set gets to see of a world."""
    columns = (world.signal, world.segment, world.attempts, world.failures)
    cells, users = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    found: list[dict[Segment, list[AttemptCount]]] = [
        {segment: [] for segment in RATED_SEGMENTS} for _ in range(SIGNALS)
    ]
    for (signal, segment, attempts, failures), n in zip(
        cells.tolist(), users.tolist(), strict=True
    ):
        found[signal][Segment(SEGMENTS[segment])].append(AttemptCount(attempts, failures, n))
    return [_counts(world, number, by_segment) for number, by_segment in enumerate(found)]


def _counts(world: World, number: int, cells: dict[Segment, list[AttemptCount]]) -> SignalCounts:
    hit = {s: sum(c.users for c in cells[s] if c.failures) for s in RATED_SEGMENTS}
    return SignalCounts(
        signal=SignalId(SignalKind.ERROR, "", "", f"{number:03d}"),
        period=Period.WINDOW,
        period_start=NO_TIME,
        rated={
            s: SegmentCount(hit[s], size)
            for s, size in zip(RATED_SEGMENTS, world.given_sizes, strict=True)
        },
        exposed={s: SegmentCount(hit[s], sum(c.users for c in cells[s])) for s in RATED_SEGMENTS},
        attempts={s: tuple(cells[s]) for s in RATED_SEGMENTS},
    )


def calibrated(world: World) -> Answers:
    """Answer as the rule set ``calibrated`` does."""
    counts = counts_of(world)
    judged = judge_attempts([(one,) for one in counts], CALIBRATED)
    kind = np.full(SIGNALS, NONE)
    probability = np.zeros(SIGNALS)
    confirmed = np.zeros(SIGNALS, dtype=bool)
    for verdict in judge(counts, CALIBRATED, judged=judged):
        place = int(verdict.signal.signal)
        if verdict.kind is not None and verdict.grade is not Grade.INSUFFICIENT:
            kind[place] = KINDS.index(verdict.kind.value)
            probability[place] = verdict.probability
            confirmed[place] = verdict.grade is Grade.CONFIRMED
    return Answers(kind, probability, confirmed)


JUDGES = {
    "calibrated": calibrated,
    "oracle": judges.oracle,
    "literal": lambda world: judges.literal(world, exposed=False),
    "literal, exposed": lambda world: judges.literal(world, exposed=True),
    "plain mixture": judges.plain_mixture,
}


def measure(setting: Setting, seeds: Sequence[int]) -> dict[str, Tally]:
    """Return every judge's tally over the worlds of one cell."""
    tallies = {name: Tally() for name in JUDGES}
    for seed in seeds:
        world = draw(setting, seed)
        for name, answer in JUDGES.items():
            tallies[name].add(world.truth, answer(world))
    return tallies


def summary(setting: Setting, seeds: Sequence[int], tallies: dict[str, Tally]) -> dict[str, Any]:
    """Return one cell's figures, and how the calibrated rules stand to the oracle."""
    figures: dict[str, Any] = {name: tally.figures() for name, tally in tallies.items()}
    ours, best = tallies["calibrated"], tallies["oracle"]
    return {
        "cell": setting.name,
        "worlds": len(seeds),
        "judges": figures,
        "recall_of_oracle": round(ours.right / max(best.right, 1), 4),
        "precision_over_oracle": round(
            ours.right / max(ours.reported, 1) - best.right / max(best.reported, 1), 4
        ),
        "reliability": ours.curve(),
    }
