"""Verdicts with a probability: is the true share of affected users within a rule's limits?

Where attempts and failures per user are known, who is affected is judged at equal exposure and in
the light of all signals of the run (``attempted``). Where only users are counted, the share has
Jeffreys' posterior per segment; clauses of different segments concern different users and multiply.
The kinds of one signal exclude one another, so what is left is the probability that it is no
challenge of these kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analyzer_service.analysis.attempted import (
    Judged,
    judge_attempts,
    what_is_inverted,
    what_is_open,
)
from analyzer_service.analysis.missing import clause_probability, too_few, what_is_missing
from analyzer_service.analysis.posterior import DIGITS, probability_above
from analyzer_service.analysis.rules import Judgement, Rule, RuleSet
from analyzer_service.analysis.shares import affected, counted, periods_of, signal_order
from analyzer_service.domain import (
    ChallengeKind,
    Grade,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    Verdict,
)
from analyzer_service.errors import RuleSetError

Q = "q"
"""The key, among a verdict's thresholds, of the expected share of false challenges down to it."""
FALSE_DISCOVERY_RATE = "false_discovery_rate"
"""The key of the limit that q is held to."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One rule on one period."""

    rule: Rule
    counts: SignalCounts
    evidence: dict[Segment, SegmentCount]
    probability: float
    decides: bool
    """Over the lowest grade, with enough users in every segment."""


def judge_calibrated(
    by_signal: Sequence[Sequence[SignalCounts]],
    rule_set: RuleSet,
    judged: Mapping[SignalId, Judged] | None = None,
) -> tuple[Verdict, ...]:
    """Judge each signal by its likeliest kind and period, then hold the run's false discoveries.

    Args:
        by_signal: the counts of one signal each, in the order the verdicts shall have.
        rule_set: a calibrated one.
        judged: what ``judge_attempts`` said of them, where it was asked before.

    Returns:
        At most one verdict per signal; none where even the likeliest kind is improbable.
    """
    judgement = rule_set.judgement
    if judgement is None:
        raise RuleSetError(f"The rule set {rule_set.name} has no judgement.", field="judgement")
    if judged is None:
        judged = judge_attempts(by_signal, rule_set)
    verdicts = [
        _by_attempts(judged[group[0].signal], rule_set, judgement)
        if group[0].signal in judged
        else _signal(group, rule_set, judgement)
        for group in by_signal
    ]
    return _hold_false_discoveries([v for v in verdicts if v], judgement.false_discovery_rate)


def joint_probability(rule: Rule, evidence: dict[Segment, SegmentCount]) -> float:
    """Return the posterior probability that every clause of a rule holds."""
    probability = 1.0
    for segment, limits in rule.clauses.items():
        count = evidence[segment]
        probability *= float(clause_probability(limits, count.k, count.n))
    return probability


def _by_attempts(judged: Judged, rule_set: RuleSet, judgement: Judgement) -> Verdict | None:
    probability = judged.probabilities[judged.best]
    if probability <= judgement.insufficient_above:
        return None
    rule = judged.rules[judged.best]
    grade = judgement.grades.grade(probability)
    kind: ChallengeKind | None = rule.kind
    missing = ""
    if judged.inverted > judgement.inverted_above:
        kind, grade, missing = None, Grade.INSUFFICIENT, what_is_inverted(judged)
    elif grade is Grade.INSUFFICIENT or judged.unexposed():
        grade, missing = Grade.INSUFFICIENT, what_is_open(judged, judgement.grades.possible)
    return Verdict(
        signal=judged.counts.signal,
        kind=kind,
        rule=rule.rule,
        grade=grade,
        probability=probability,
        denominator=str(rule_set.denominator),
        evidence=counted(judged.counts, rule_set.denominator),
        fired=(judged.counts,),
        thresholds=rule.thresholds,
        missing=missing,
        shares=judged.shares,
        probabilities={
            rule.kind: p for rule, p in zip(judged.rules, judged.probabilities, strict=True)
        },
    )


def _signal(
    group: Sequence[SignalCounts], rule_set: RuleSet, judgement: Judgement
) -> Verdict | None:
    looks = [
        _look(rule, counts, rule_set, judgement)
        for rule in rule_set.rules_for(group[0].signal.kind)
        for counts in periods_of(group, rule)
    ]
    if not looks:
        return None
    best = max(looks, key=lambda look: _strength(look, rule_set.denominator))
    if best.probability <= judgement.insufficient_above:
        return None
    if _is_inverted(best, judgement):
        return replace(_verdict(best, rule_set, missing=_inverted(best)), kind=None)
    if not best.decides:
        return _verdict(
            best, rule_set, missing=what_is_missing(best.rule, best.evidence, judgement)
        )
    others = [look for look in looks if look.rule is best.rule and look.decides]
    others.sort(key=lambda look: (look.counts.period_start, look.counts.period))
    periods = (best.counts, *(look.counts for look in others if look is not best))
    return _verdict(best, rule_set, judgement.grades.grade(best.probability), periods)


def _look(rule: Rule, counts: SignalCounts, rule_set: RuleSet, judgement: Judgement) -> _Look:
    evidence = counted(counts, rule_set.denominator)
    probability = round(joint_probability(rule, evidence), DIGITS)
    enough = not too_few(rule, evidence, judgement.minimum_exposed)
    decides = enough and probability > judgement.grades.possible
    return _Look(rule, counts, evidence, probability, decides)


def _strength(look: _Look, denominator: str) -> tuple[bool, float, int, float]:
    """Order looks: decisive ones, likelier ones, wider ones, earlier ones."""
    return (
        look.decides,
        look.probability,
        affected(look.counts, denominator),
        -look.counts.period_start.timestamp(),
    )


def _is_inverted(look: _Look, judgement: Judgement) -> bool:
    experts, beginners = look.evidence[Segment.EXPERT], look.evidence[Segment.BEGINNER]
    return probability_above(experts, beginners) > judgement.inverted_above


def _inverted(look: _Look) -> str:
    experts, beginners = look.evidence[Segment.EXPERT], look.evidence[Segment.BEGINNER]
    return (
        f"Experts are affected more often ({experts.k} of {experts.n}) than beginners "
        f"({beginners.k} of {beginners.n}): none of the kinds describes that."
    )


def _verdict(
    look: _Look,
    rule_set: RuleSet,
    grade: Grade = Grade.INSUFFICIENT,
    periods: tuple[SignalCounts, ...] = (),
    *,
    missing: str = "",
) -> Verdict:
    return Verdict(
        signal=look.counts.signal,
        kind=look.rule.kind,
        rule=look.rule.rule,
        grade=grade,
        probability=look.probability,
        denominator=str(rule_set.denominator),
        evidence=look.evidence,
        fired=periods or (look.counts,),
        thresholds=look.rule.thresholds,
        missing=missing,
    )


def _hold_false_discoveries(verdicts: Sequence[Verdict], rate: float) -> tuple[Verdict, ...]:
    """Claim only the surest verdicts, while the mean of (1 - probability) stays within the rate.

    Probable and confirmed are claims; a verdict beyond the rate is at most possible, a question to
    look into. q of a verdict is that mean over it and all surer ones.
    """
    reported = [index for index, v in enumerate(verdicts) if v.grade is not Grade.INSUFFICIENT]
    reported.sort(key=lambda i: (-verdicts[i].probability, signal_order(verdicts[i].signal)))
    held = list(verdicts)
    doubt = 0.0
    for place, index in enumerate(reported, start=1):
        doubt += 1 - verdicts[index].probability
        held[index] = _with_q(verdicts[index], round(doubt / place, DIGITS), rate)
    return tuple(held)


def _with_q(verdict: Verdict, q: float, rate: float) -> Verdict:
    thresholds = {**verdict.thresholds, FALSE_DISCOVERY_RATE: rate, Q: q}
    if q <= rate or verdict.grade is Grade.POSSIBLE:
        return replace(verdict, thresholds=thresholds)
    missing = (
        f"Its probability is {verdict.probability:.2f}; were it claimed with all surer ones, "
        f"{q:.1%} of the run's claims would be expected to be false (at most {rate:.0%})."
    )
    return replace(verdict, thresholds=thresholds, grade=Grade.POSSIBLE, missing=missing)
