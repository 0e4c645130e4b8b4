"""Reading ``SignalCounts``: whose shares, in which periods, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analyzer_service.analysis.rules import Denominator, Rule
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
)

NOBODY = SegmentCount(0, 0)


def signal_order(signal: SignalId) -> tuple[str, ...]:
    """Return the key by which signals are ordered wherever nothing else decides."""
    return (signal.stage, signal.component, signal.signal, signal.kind)


def counted(counts: SignalCounts, denominator: str) -> dict[Segment, SegmentCount]:
    """Return the counts of the three segments under one denominator; absent ones are 0 of 0."""
    given: Mapping[Segment, SegmentCount] = (
        counts.rated if denominator == Denominator.RATED else counts.exposed
    )
    return {segment: given.get(segment, NOBODY) for segment in RATED_SEGMENTS}


def periods_of(group: Iterable[SignalCounts], rule: Rule) -> list[SignalCounts]:
    """Return the counts of the periods a rule judges."""
    return [counts for counts in group if counts.period in rule.periods]


def affected(counts: SignalCounts, denominator: str) -> int:
    """Return how many rated users of all segments are affected."""
    return sum(count.k for count in counted(counts, denominator).values())


def shown_first(fired: Sequence[SignalCounts], denominator: str) -> tuple[SignalCounts, ...]:
    """Put the period with the most affected users first, the others by time.

    That one is shown as the evidence: it is the period in which the problem was widest.
    """
    by_time = sorted(fired, key=lambda c: (c.period_start, c.period))
    widest = max(by_time, key=lambda c: affected(c, denominator))
    return (widest, *(c for c in by_time if c is not widest))
