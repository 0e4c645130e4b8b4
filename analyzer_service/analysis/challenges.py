"""From verdicts to challenges: a stable id, the evidence to show, the order of importance."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analyzer_service.analysis.calibrated import FALSE_DISCOVERY_RATE, Q
from analyzer_service.analysis.posterior import interval
from analyzer_service.analysis.rules import Denominator
from analyzer_service.analysis.shares import counted, signal_order
from analyzer_service.domain import (
    RATED_SEGMENTS,
    Challenge,
    ChallengeKind,
    Grade,
    Segment,
    SegmentCount,
    SignalCounts,
    SignalId,
    Verdict,
    Window,
)

DIGITS = 9
"""Output is rounded so that the last bits of a processor's arithmetic do not show."""
HASH_DIGITS = 12
"""48 bits: among a million challenges two share an id with a chance of one in five hundred."""
SLUG_LENGTH = 32
"""Long enough to recognise a signal by, short enough to read aloud."""

ABBREVIATIONS: Mapping[ChallengeKind, str] = {
    ChallengeKind.EDUCATION_TRAINING: "et",
    ChallengeKind.SIMPLICITY_OF_PLATFORM: "sop",
    ChallengeKind.MIXED: "mixed",
}


def challenge_id(signal: SignalId, kind: ChallengeKind) -> str:
    """Name a challenge, the same in every run.

    Returns:
        Kind, signal and a hash of what the challenge is about, such as
        ``et-idle-timeout-0f3a9c1b2d4e``: lower-case letters, digits and hyphens only.
    """
    return "-".join((ABBREVIATIONS[kind], _readable_id(signal, kind)))


def place_id(signal: SignalId) -> str:
    """Name a place, the same in every run and for every kind of challenge.

    Returns:
        Such as ``idle-timeout-0f3a9c1b2d4e``: lower-case letters, digits and hyphens only.
    """
    return _readable_id(signal)


def _readable_id(signal: SignalId, *about: str) -> str:
    whole = json.dumps([*about, signal.kind, signal.stage, signal.component, signal.signal])
    digest = hashlib.sha256(whole.encode()).hexdigest()[:HASH_DIGITS]
    slug = re.sub(r"[^a-z0-9]+", "-", signal.signal.lower())[:SLUG_LENGTH].strip("-")
    return "-".join(part for part in (slug, digest) if part)


def rank(challenges: Sequence[Challenge]) -> tuple[Challenge, ...]:
    """Order challenges by impact, users affected times time lost, and number them from 1.

    Insufficient ones come last. Ties go to more users, more time, then stage, component, signal
    and kind, so that equal runs give equal lists.
    """
    ordered = sorted(challenges, key=_importance)
    return tuple(replace(challenge, rank=place) for place, challenge in enumerate(ordered, start=1))


def _importance(challenge: Challenge) -> tuple[object, ...]:
    return (
        challenge.grade is Grade.INSUFFICIENT,
        -challenge.users_affected * challenge.time_lost_seconds,
        -challenge.users_affected,
        -challenge.time_lost_seconds,
        signal_order(challenge.signal),
        challenge.kind,
    )


def evidence(verdict: Verdict, window: Window) -> Mapping[str, object]:
    """Return what a verdict stands on, ready for JSON.

    Returns:
        Per segment k, n, share and its 95% Jeffreys interval; the denominator; the limits; the
        window; every period that fired with its counts (the first is the one the segments show);
        the shown period under both denominators. Where attempts were known, k counts who saw the
        signal, and the affected share with its interval stands beside it, with the probability of
        every kind. Calibrated verdicts add probability and, where reported, q and the false
        discovery rate; insufficient ones say what is missing.
    """
    limits = {n: v for n, v in verdict.thresholds.items() if n not in {Q, FALSE_DISCOVERY_RATE}}
    shown: dict[str, object] = {
        str(s): _segment(verdict.evidence[s]) | _affected(verdict, s) for s in RATED_SEGMENTS
    }
    shown |= {
        "denominator": str(verdict.denominator),
        "thresholds": limits,
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "periods": [_period(counts, verdict.denominator) for counts in verdict.fired],
        "denominators": _denominators(verdict),
        "probability": round(verdict.probability, DIGITS),
    }
    for name in (Q, FALSE_DISCOVERY_RATE):
        if name in verdict.thresholds:
            shown[name] = round(verdict.thresholds[name], DIGITS)
    if verdict.probabilities:
        shown["probabilities"] = {
            str(kind): round(p, DIGITS) for kind, p in sorted(verdict.probabilities.items())
        }
    if verdict.missing:
        shown["missing"] = verdict.missing
    return shown


def _segment(count: SegmentCount) -> dict[str, float]:
    low, high = interval(count)
    return {
        "k": count.k,
        "n": count.n,
        "share": round(count.share, DIGITS),
        "low": round(low, DIGITS),
        "high": round(high, DIGITS),
    }


def _affected(verdict: Verdict, segment: Segment) -> dict[str, float]:
    """Return the share judged at equal exposure, where attempts were known."""
    share = verdict.shares.get(segment)
    if share is None:
        return {}
    return {
        "affected_share": share.share,
        "affected_low": share.low,
        "affected_high": share.high,
    }


def _plain(counts: Mapping[Segment, SegmentCount]) -> dict[str, dict[str, int]]:
    return {str(segment): {"k": count.k, "n": count.n} for segment, count in counts.items()}


def _period(counts: SignalCounts, denominator: str) -> dict[str, object]:
    return {
        "period": str(counts.period),
        "start": counts.period_start.isoformat(),
        "segments": _plain(counted(counts, denominator)),
    }


def _denominators(verdict: Verdict) -> dict[str, object]:
    first = verdict.fired[0]
    return {str(name): _plain(counted(first, name)) for name in Denominator}
