"""The report of an analysis: the document that `mlp-analyzer report --json` prints.

It says nothing that changes between two runs over the same settled signals: no run id, no times of
the run, so that equal data give equal documents.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer_service.domain import RATED_SEGMENTS, Analysis, Challenge, UserReport


def build_report(analysis: Analysis, challenges: Sequence[Challenge]) -> dict[str, object]:
    """Return the report as JSON-ready data."""
    window = analysis.window
    return {
        "window": (
            {"start": window.start.isoformat(), "end": window.end.isoformat()} if window else None
        ),
        "rules": analysis.rule_set,
        "rules_version": analysis.rule_set_version,
        "preset": analysis.preset,
        "users": {"rated": analysis.rated, "unrated": analysis.unrated},
        "segments": {
            segment.value: analysis.segment_sizes.get(segment, 0) for segment in RATED_SEGMENTS
        },
        "challenges_total": analysis.challenges,
        "challenges": [challenge_document(challenge) for challenge in challenges],
    }


def challenge_document(challenge: Challenge) -> dict[str, object]:
    """Return one challenge as a report and the command line show it."""
    shares = {str(segment): challenge.evidence.get(segment, {}) for segment in RATED_SEGMENTS}
    details = {key: value for key, value in challenge.evidence.items() if key not in shares}
    return {
        "id": challenge.challenge_id,
        "rank": challenge.rank,
        "kind": challenge.kind.value,
        "stage": challenge.signal.stage,
        "component": challenge.signal.component,
        "signal": challenge.signal.signal,
        "signal_kind": challenge.signal.kind.value,
        "rule": int(challenge.rule) if challenge.rule.isdigit() else challenge.rule,
        "grade": challenge.grade.value,
        "probability": challenge.probability,
        "users_affected": challenge.users_affected,
        "time_lost_seconds": challenge.time_lost_seconds,
        "evidence": shares,
        "details": details,
        "example_trace_ids": list(challenge.example_trace_ids),
    }


def user_document(report: UserReport) -> dict[str, object]:
    """Return one user as the command line shows it."""
    segment = report.segment
    return {
        "user": segment.user,
        "segment": segment.segment.value,
        "membership": segment.membership,
        "borderline": segment.borderline,
        "features": dict(segment.features),
        "bottlenecks": [
            {
                "stage": item.stage,
                "status": item.status.value,
                "rank": item.rank,
                "challenge_id": item.challenge_id,
                "time_lost_seconds": item.time_lost_seconds,
                "share_of_time": item.share_of_time,
            }
            for item in report.bottlenecks
        ],
    }
