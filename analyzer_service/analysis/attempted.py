"""Verdicts on signals whose attempts and failures per user are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analyzer_service.analysis.affectedness import (
    affected_probability,
    judge_exposure,
    mean_share,
    probability_more,
    share_interval,
)
from analyzer_service.analysis.exposure import Exposure, exposure_of
from analyzer_service.analysis.population import Judgements
from analyzer_service.analysis.posterior import DIGITS
from analyzer_service.analysis.rules import Limits, Rule, RuleSet
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Segment,
    ShareEstimate,
    SignalCounts,
    SignalId,
    SignalKind,
)

EXPERT, BEGINNER = RATED_SEGMENTS.index(Segment.EXPERT), RATED_SEGMENTS.index(Segment.BEGINNER)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is known of one signal."""

    counts: SignalCounts
    rules: tuple[Rule, ...]
    probabilities: tuple[float, ...]
    """Of each rule."""
    shares: Mapping[Segment, ShareEstimate]
    clauses: tuple[Mapping[Segment, float], ...]
    """Per rule, how probably the clause of each segment holds by itself."""
    inverted: float
    """How probably a larger share of experts than of beginners is affected."""
    row: int
    exposure: Exposure = field(repr=False)
    found: Judgements = field(repr=False)
    """What it was judged from: its row in the exposure and the judgements of the run."""

    def affected(self, segment: Segment) -> list[tuple[int, int, float]]:
        """Return (attempts, failures, probability that such a user of a segment is affected)."""
        place = RATED_SEGMENTS.index(segment)
        probability = affected_probability(self.exposure, self.found, self.row, place)
        return [
            (
                cell.attempts,
                cell.failures,
                round(float(probability[self.exposure.pair(cell.attempts, cell.failures)]), DIGITS),
            )
            for cell in self.counts.attempts.get(segment, ())
        ]

    @property
    def best(self) -> int:
        """The place of the likeliest rule; of equals the first."""
        return max(range(len(self.rules)), key=lambda place: self.probabilities[place])

    def unexposed(self) -> tuple[Segment, ...]:
        """Return the segments the likeliest rule speaks of in which nobody had a chance."""
        return tuple(
            segment
            for segment in self.rules[self.best].clauses
            if not any(cell.users for cell in self.counts.attempts.get(segment, ()))
        )


def judge_attempts(
    by_signal: Sequence[Sequence[SignalCounts]], rule_set: RuleSet
) -> dict[SignalId, Judged]:
    """Judge those signals whose attempts are known, each kind of signal in its own light.

    Args:
        by_signal: the counts of one signal each.
        rule_set: of a literal one nothing comes.
    """
    judged: dict[SignalId, Judged] = {}
    if rule_set.judgement is None:
        return judged
    for kind in SignalKind:
        rules = rule_set.rules_for(kind)
        known = [
            counts
            for group in by_signal
            if group[0].signal.kind is kind
            for counts in group[:1]
            if counts.attempts and all(counts.period in rule.periods for rule in rules)
        ]
        if not known or not rules:
            continue
        exposure = exposure_of(known)
        found = judge_exposure(exposure, rules)
        for row, counts in enumerate(known):
            judged[counts.signal] = _judged(exposure, found, row, counts, rules)
    return judged


def what_is_open(judged: Judged, bar: float) -> str:
    """Say why the likeliest kind is not even possible."""
    rule = judged.rules[judged.best]
    unexposed = judged.unexposed()
    if unexposed:
        return f"Nobody exposed among {', '.join(unexposed)} users."
    clauses = judged.clauses[judged.best]
    weakest = min(rule.clauses, key=lambda segment: clauses[segment])
    share = judged.shares[weakest]
    return (
        f"{rule.kind} has a probability of {judged.probabilities[judged.best]:.2f}; "
        f"possible is more than {bar:g}. Most open are the {weakest} users: "
        f"{share.low:.0%} to {share.high:.0%} of them are affected, the limit is "
        f"{limits_in_words(rule.clauses[weakest])}."
    )


def what_is_inverted(judged: Judged) -> str:
    """Say that experts are affected more often than beginners."""
    experts, beginners = judged.shares[Segment.EXPERT], judged.shares[Segment.BEGINNER]
    return (
        f"Experts are affected more often (about {experts.share:.0%}) than beginners "
        f"(about {beginners.share:.0%}): none of the kinds describes that."
    )


def limits_in_words(limits: Limits) -> str:
    """Return limits as "more than 10% and less than 50%"."""
    parts = []
    if limits.more_than is not None:
        parts.append(f"more than {limits.more_than:g}%")
    if limits.less_than is not None:
        parts.append(f"less than {limits.less_than:g}%")
    return " and ".join(parts)


def _judged(
    exposure: Exposure,
    found: Judgements,
    row: int,
    counts: SignalCounts,
    rules: tuple[Rule, ...],
) -> Judged:
    return Judged(
        counts=counts,
        rules=rules,
        probabilities=tuple(round(float(p), DIGITS) for p in found.rules[row]),
        shares={
            segment: _estimate(found, row, place) for place, segment in enumerate(RATED_SEGMENTS)
        },
        clauses=tuple(
            {
                segment: _mass(found, row, RATED_SEGMENTS.index(segment), limits)
                for segment, limits in rule.clauses.items()
            }
            for rule in rules
        ),
        inverted=probability_more(found, row, EXPERT, BEGINNER),
        row=row,
        exposure=exposure,
        found=found,
    )


def _estimate(found: Judgements, row: int, segment: int) -> ShareEstimate:
    low, high = share_interval(found, row, segment)
    return ShareEstimate(
        round(mean_share(found, row, segment), DIGITS), round(low, DIGITS), round(high, DIGITS)
    )


def _mass(found: Judgements, row: int, segment: int, limits: Limits) -> float:
    edges = found.edges[segment]
    middles = (edges[1:] + edges[:-1]) / 2
    within = (middles > float(limits.low)) & (middles < float(limits.high))
    return float(found.shares[segment][row] @ within)
