"""Values of the domain as rows of the result tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

from analyzer_service.domain import Analysis, Bottleneck, Challenge, SegmentSummary, UserSegment
from analyzer_service.store.connect import Store
from analyzer_service.store.values import EPOCH, user_key


class ResultWriter:
    """Writes what an analysis found; the same analysis written twice is one analysis."""

    def __init__(self, store: Store) -> None:
        """Write to an open store."""
        self._store = store

    def analysis(self, analysis: Analysis) -> None:
        """Write how an analysis stands; the newest row wins."""
        window = analysis.window
        self._store.insert_rows(
            "analyses",
            [
                "analysis_id", "status", "created_time", "updated_time", "window_start",
                "window_end", "known_at", "rule_set", "rule_set_version", "preset", "rated",
                "unrated", "segment_sizes", "challenges", "error", "detail",
            ],
            [
                [
                    analysis.analysis_id,
                    analysis.status.value,
                    analysis.created_time,
                    analysis.updated_time,
                    window.start if window else EPOCH,
                    window.end if window else EPOCH,
                    analysis.known_at or EPOCH,
                    analysis.rule_set,
                    analysis.rule_set_version,
                    analysis.preset,
                    analysis.rated,
                    analysis.unrated,
                    {segment.value: size for segment, size in analysis.segment_sizes.items()},
                    analysis.challenges,
                    analysis.error,
                    json.dumps({"phase": analysis.phase, "reason": analysis.reason}),
                ]
            ],
        )  # fmt: skip

    def users(self, analysis_id: str, users: Sequence[UserSegment]) -> None:
        """Write where each user stands."""
        self._store.insert_rows(
            "user_segments",
            ["analysis_id", "user_key", "segment", "membership", "borderline", "features"],
            [
                [
                    analysis_id,
                    user_key(user.user),
                    user.segment.value,
                    user.membership,
                    user.borderline,
                    dict(user.features),
                ]
                for user in users
            ],
        )

    def segments(self, analysis_id: str, segments: Sequence[SegmentSummary]) -> None:
        """Write the clusters."""
        self._store.insert_rows(
            "segments",
            ["analysis_id", "segment", "rank", "users", "proficiency", "centroid"],
            [
                [
                    analysis_id,
                    segment.segment.value,
                    segment.rank,
                    segment.users,
                    segment.proficiency,
                    dict(segment.centroid),
                ]
                for segment in segments
            ],
        )

    def challenges(self, challenges: Sequence[Challenge]) -> None:
        """Write challenges with their evidence; a later row of the same one replaces it."""
        self._store.insert_rows(
            "challenges",
            [
                "analysis_id", "challenge_id", "rank", "kind", "stage", "component", "signal",
                "signal_kind", "rule", "grade", "probability", "users_affected",
                "time_lost_seconds", "evidence", "evidence_query", "example_trace_ids",
            ],
            [
                [
                    challenge.analysis_id,
                    challenge.challenge_id,
                    challenge.rank,
                    challenge.kind.value,
                    challenge.signal.stage,
                    challenge.signal.component,
                    challenge.signal.signal,
                    challenge.signal.kind.value,
                    challenge.rule,
                    challenge.grade.value,
                    challenge.probability,
                    challenge.users_affected,
                    challenge.time_lost_seconds,
                    json.dumps(challenge.evidence, sort_keys=True),
                    challenge.evidence_query,
                    list(challenge.example_trace_ids),
                ]
                for challenge in challenges
            ],
        )  # fmt: skip

    def bottlenecks(self, analysis_id: str, bottlenecks: Sequence[Bottleneck]) -> None:
        """Write what holds each user up at each stage."""
        self._store.insert_rows(
            "user_bottlenecks",
            [
                "analysis_id", "user_key", "stage", "status", "rank", "challenge_id",
                "time_lost_seconds", "share_of_time",
            ],
            [
                [
                    analysis_id,
                    user_key(item.user),
                    item.stage,
                    item.status.value,
                    item.rank,
                    item.challenge_id,
                    item.time_lost_seconds,
                    item.share_of_time,
                ]
                for item in bottlenecks
            ],
        )  # fmt: skip
