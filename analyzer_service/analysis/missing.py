"""In words: what an insufficient verdict lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analyzer_service.analysis.attempted import limits_in_words
from analyzer_service.analysis.features import Floats
from analyzer_service.analysis.posterior import mass_between
from analyzer_service.analysis.rules import Judgement, Limits, Rule
from analyzer_service.domain import Segment, SegmentCount

MAX_MORE_USERS = 100
"""Asking a platform for more users of one segment than this is no advice."""
NO_MORE = np.zeros(())

Evidence = Mapping[Segment, SegmentCount]


def clause_probability(limits: Limits, k: float | Floats, n: float | Floats) -> Floats:
    """Return the posterior probability that a segment's true share lies within the limits."""
    return mass_between(k, n, float(limits.low), float(limits.high))


def too_few(rule: Rule, evidence: Evidence, minimum: int) -> tuple[Segment, ...]:
    """Return the segments with a clause but fewer users than the minimum."""
    return tuple(segment for segment in rule.clauses if evidence[segment].n < minimum)


def what_is_missing(rule: Rule, evidence: Evidence, judgement: Judgement) -> str:
    """Say what further data would make this kind possible, if more of the same would."""
    short = too_few(rule, evidence, judgement.minimum_exposed)
    if short:
        lacks = ", ".join(
            f"{judgement.minimum_exposed - evidence[s].n} more exposed {s} users" for s in short
        )
        return f"At least {judgement.minimum_exposed} per segment are needed: {lacks}."
    bar = judgement.grades.possible
    weakest = min(rule.clauses, key=lambda s: float(_probability(rule, evidence, s, NO_MORE)))
    more = _more_users(rule, evidence, (weakest,), bar)
    if more is not None:
        return f"{_wanted(more, weakest, evidence[weakest])} would make {rule.kind} possible."
    more = _more_users(rule, evidence, rule.clauses, bar)
    if more is not None:
        wanted = f"{more} more exposed users of each of {', '.join(rule.clauses)}"
        return f"{wanted}, at the shares seen, would make {rule.kind} possible."
    count, limits = evidence[weakest], rule.clauses[weakest]
    return (
        f"The share of {weakest} users ({count.k} of {count.n}) lies too near its limit "
        f"({limits_in_words(limits)}) for {MAX_MORE_USERS} more users at the same share to decide."
    )


def _probability(rule: Rule, evidence: Evidence, segment: Segment, more: Floats) -> Floats:
    """Return a clause's probability after so many more users at the share seen."""
    count = evidence[segment]
    return clause_probability(rule.clauses[segment], count.k + more * count.share, count.n + more)


def _more_users(
    rule: Rule, evidence: Evidence, segments: Iterable[Segment], bar: float
) -> int | None:
    """Return how many more users of each of these segments lift the probability over the bar."""
    more = np.arange(1.0, MAX_MORE_USERS + 1)
    grown = frozenset(segments)
    joint = np.ones_like(more)
    for segment in rule.clauses:
        joint *= _probability(rule, evidence, segment, more if segment in grown else NO_MORE)
    enough = np.flatnonzero(joint > bar)
    return int(more[enough[0]]) if len(enough) else None


def _wanted(more: int, segment: Segment, count: SegmentCount) -> str:
    if count.k == 0:
        return f"{more} more exposed {segment} users, all unaffected,"
    if count.k == count.n:
        return f"{more} more exposed {segment} users, all affected,"
    return f"{more} more exposed {segment} users at the same share ({count.k} of {count.n})"
