"""What a rule set says of each signal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from analyzer_service.analysis.attempted import Judged
from analyzer_service.analysis.calibrated import judge_calibrated
from analyzer_service.analysis.rules import Denominator, Rule, RuleSet, RuleSetKind
from analyzer_service.analysis.shares import counted, periods_of, shown_first, signal_order
from analyzer_service.domain import Grade, Segment, SegmentCount, SignalCounts, SignalId, Verdict


def judge(
    counts: Sequence[SignalCounts],
    rule_set: RuleSet,
    *,
    judged: Mapping[SignalId, Judged] | None = None,
) -> tuple[Verdict, ...]:
    """Judge signals.

    Args:
        counts: affected users per signal and period, in any order.
        rule_set: how to judge.
        judged: what ``judge_attempts`` said of them, where it was asked before.

    Returns:
        Ordered by signal, then kind. From a literal rule set one verdict per (signal, kind) that
        fired in at least one period. From a calibrated one at most one verdict per signal: the
        likeliest kind with its grade, or an insufficient verdict that says what is missing, whose
        ``fired`` then holds the one period looked at. Where experts are hit more often than
        beginners, its kind is None.
    """
    ordered = sorted(counts, key=lambda c: (signal_order(c.signal), c.period, c.period_start))
    by_signal = [tuple(group) for _, group in groupby(ordered, key=lambda c: c.signal)]
    if rule_set.kind is RuleSetKind.CALIBRATED:
        return judge_calibrated(by_signal, rule_set, judged)
    return tuple(v for group in by_signal for v in _literal(group, rule_set))


def _literal(group: Sequence[SignalCounts], rule_set: RuleSet) -> Iterable[Verdict]:
    """Yield one verdict per kind; of two rules for one kind the first that fired speaks."""
    found: dict[str, Verdict] = {}
    for rule in rule_set.rules_for(group[0].signal.kind):
        fired = [
            c for c in periods_of(group, rule) if fires(rule, counted(c, rule_set.denominator))
        ]
        if fired and rule.kind not in found:
            found[rule.kind] = _verdict(rule, rule_set.denominator, fired)
    return [found[kind] for kind in sorted(found)]


def _verdict(rule: Rule, denominator: Denominator, fired: Sequence[SignalCounts]) -> Verdict:
    shown = shown_first(fired, denominator)
    return Verdict(
        signal=shown[0].signal,
        kind=rule.kind,
        rule=rule.rule,
        grade=Grade.LITERAL,
        probability=1.0,
        denominator=str(denominator),
        evidence=counted(shown[0], denominator),
        fired=shown,
        thresholds=rule.thresholds,
    )


def fires(rule: Rule, evidence: Mapping[Segment, SegmentCount]) -> bool:
    """Tell whether every clause holds, strictly and without rounding.

    A segment in which nobody counts fulfils no clause: "less than 10% of nobody" is no evidence.
    """
    for segment, limits in rule.clauses.items():
        count = evidence[segment]
        if count.n <= 0 or not limits.low * count.n < count.k < limits.high * count.n:
            return False
    return True
