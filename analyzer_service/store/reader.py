"""Rows of the store as values of the domain: one query, one dataclass, one method."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from analyzer_service.domain import (
    Analysis,
    AnalysisStatus,
    AttemptCount,
    Bottleneck,
    BottleneckStatus,
    Challenge,
    ChallengeKind,
    ChallengeSignal,
    Grade,
    Period,
    Segment,
    SegmentCount,
    SegmentSummary,
    SignalCounts,
    SignalId,
    SignalKind,
    UserActivity,
    UserSegment,
    UserWeek,
    Window,
)
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc

Counts = Mapping[Segment, int]


def days_of(window: Window) -> dict[str, date]:
    """Return a window of whole UTC days as the bound parameters first_day and end_day."""
    return {"first_day": window.start.date(), "end_day": window.end.date()}


class Reader:
    """Everything the Analyzer reads that is not a user's own SQL."""

    def __init__(self, store: Store) -> None:
        """Read from an open store."""
        self._store = store

    # --- what an analysis needs -------------------------------------------------------------
    def newest_settled_day(self) -> date | None:
        """Return the newest settled day that has signals with a user; None in an empty store."""
        day: date = self._store.query(queries["newest_settled_day"])[0][0]
        return None if day == EPOCH.date() else day

    def user_activity(self, window: Window) -> list[UserActivity]:
        """Return what each user did in a window, ordered by user."""
        columns = self._store.columns(queries["user_activity"], days_of(window))
        names = list(columns)
        values = [_plain(column) for column in columns.values()]
        return [
            UserActivity(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)
        ]

    def user_weeks(self, span: Window) -> list[UserWeek]:
        """Return what each user did in each seven days counted back from the end, by user.

        The newest week is 0, the one before -1. A completion time is a ratio to everybody's.
        """
        rows = self._store.query(queries["user_weeks"], days_of(span))
        return [
            UserWeek(
                user=user,
                week=-int(block),
                actions=float(actions),
                distinct_actions=float(distinct),
                completion_seconds=duration if duration >= 0 else math.nan,
                minutes_per_session=minutes if minutes >= 0 else math.nan,
            )
            for user, block, actions, distinct, duration, minutes in rows
        ]

    def error_counts(
        self, window: Window, analysis_id: str, sizes: Counts
    ) -> tuple[SignalCounts, ...]:
        """Return k and n of every error signal over the window, and who attempted how often."""
        attempts = self._error_attempts(window, analysis_id)
        rows = self._store.query(
            queries["error_counts"], {**days_of(window), "analysis_id": analysis_id}
        )
        return tuple(
            _signal_counts(
                SignalId(SignalKind.ERROR, row[0], row[1], row[2]),
                Period.WINDOW,
                window.start,
                affected=row[3:6],
                exposed=row[6:9],
                sizes=sizes,
                attempts=attempts.get((row[0], row[1], row[2]), {}),
            )
            for row in rows
        )

    def _error_attempts(
        self, window: Window, analysis_id: str
    ) -> dict[tuple[str, str, str], dict[Segment, tuple[AttemptCount, ...]]]:
        """Return how many users attempted and failed how often, by (stage, component, error)."""
        rows = self._store.query(
            queries["error_attempts"], {**days_of(window), "analysis_id": analysis_id}
        )
        found: dict[tuple[str, str, str], dict[Segment, tuple[AttemptCount, ...]]] = {}
        for (stage, component, signal, segment), cells in groupby(rows, key=lambda row: row[:4]):
            counts = tuple(AttemptCount(int(c[4]), int(c[5]), int(c[6])) for c in cells)
            found.setdefault((stage, component, signal), {})[Segment(segment)] = counts
        return found

    def redundancy_counts(
        self, window: Window, analysis_id: str, sizes: Counts, *, limit: int
    ) -> tuple[SignalCounts, ...]:
        """Return k and n of every action done more than ``limit`` times, per week and month."""
        rows = self._store.query(
            queries["redundancy_counts"],
            {**days_of(window), "analysis_id": analysis_id, "limit": limit},
        )
        return tuple(
            _signal_counts(
                SignalId(SignalKind.REDUNDANCY, row[2], row[3], row[4]),
                Period(row[0]),
                datetime.combine(row[1], time(), UTC),
                affected=row[5:8],
                exposed=row[8:11],
                sizes=sizes,
            )
            for row in rows
        )

    def affected_users(
        self,
        window: Window,
        analysis_id: str,
        challenges: Mapping[str, SignalId],
        *,
        limit: int,
    ) -> list[tuple[str, str, str, int]]:
        """Return (challenge, user, stage, nanoseconds lost), worst first within user and stage."""
        signals = challenges.values()
        rows = self._store.query(
            queries["affected_users"],
            {
                **days_of(window),
                "analysis_id": analysis_id,
                "limit": limit,
                "challenge_ids": list(challenges),
                "signal_kinds": [signal.kind.value for signal in signals],
                "stages": [signal.stage for signal in signals],
                "components": [signal.component for signal in signals],
                "signals": [signal.signal for signal in signals],
            },
        )
        return [(row[0], row[1], row[2], int(row[3])) for row in rows]

    def stage_activity(
        self, window: Window, analysis_id: str
    ) -> dict[tuple[str, str], tuple[int, int]]:
        """Return (attempts, nanoseconds spent) by (user, stage)."""
        rows = self._store.query(
            queries["stage_activity"], {**days_of(window), "analysis_id": analysis_id}
        )
        return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}

    def error_examples(self, window: Window) -> dict[tuple[str, str, str], tuple[str, ...]]:
        """Return the earliest trace ids by (stage, component, error type)."""
        rows = self._store.query(queries["error_examples"], days_of(window))
        return {(row[0], row[1], row[2]): _traces(row[3]) for row in rows}

    def redundancy_examples(
        self, window: Window, signal: SignalId, *, limit: int
    ) -> tuple[str, ...]:
        """Return the earliest trace ids of one action's repeats."""
        rows = self._store.query(
            queries["redundancy_examples"],
            {
                **days_of(window),
                "stage": signal.stage,
                "component": signal.component,
                "signal": signal.signal,
                "limit": limit,
            },
        )
        return _traces(rows[0][0])

    # --- results ----------------------------------------------------------------------------
    def analysis(self, analysis_id: str) -> Analysis | None:
        """Return one analysis."""
        rows = self._store.query(queries["analysis_by_id"], {"analysis_id": analysis_id})
        return _analysis(rows[0]) if rows else None

    def latest_analysis(self) -> Analysis | None:
        """Return the newest analysis that succeeded."""
        rows = self._store.query(queries["analysis_latest"])
        return _analysis(rows[0]) if rows else None

    def unfinished_analyses(self) -> list[Analysis]:
        """Return the analyses that have not ended."""
        return [_analysis(row) for row in self._store.query(queries["analyses_unfinished"])]

    def analyses(self, *, limit: int, offset: int) -> tuple[list[Analysis], int]:
        """Return some analyses, newest first, and how many there are."""
        rows = self._store.query(queries["analyses_page"], {"limit": limit, "offset": offset})
        return [_analysis(row) for row in rows], self._total("analyses_count", {})

    def challenges(
        self, analysis_id: str, *, kind: str, stage: str, grade: str, limit: int, offset: int
    ) -> tuple[list[Challenge], int]:
        """Return some challenges by rank, and how many pass the filter."""
        which = {"analysis_id": analysis_id, "kind": kind, "stage": stage, "grade": grade}
        rows = self._store.query(
            queries["challenges_page"], {**which, "limit": limit, "offset": offset}
        )
        return [_challenge(row) for row in rows], self._total("challenges_count", which)

    def challenge(self, analysis_id: str, challenge_id: str) -> Challenge | None:
        """Return one challenge."""
        which = {"analysis_id": analysis_id, "challenge_id": challenge_id}
        rows = self._store.query(queries["challenge_by_id"], which)
        return _challenge(rows[0]) if rows else None

    def segments(self, analysis_id: str) -> tuple[SegmentSummary, ...]:
        """Return the clusters of an analysis, most experienced first."""
        rows = self._store.query(queries["segments_of"], {"analysis_id": analysis_id})
        return tuple(
            SegmentSummary(Segment(row[0]), int(row[1]), int(row[2]), row[3], dict(row[4]))
            for row in rows
        )

    def users(
        self, analysis_id: str, *, segment: str, limit: int, offset: int
    ) -> tuple[list[UserSegment], int]:
        """Return some users of an analysis, and how many pass the filter."""
        which = {"analysis_id": analysis_id, "segment": segment}
        rows = self._store.query(queries["users_page"], {**which, "limit": limit, "offset": offset})
        return [_user_segment(row) for row in rows], self._total("users_count", which)

    def user(self, analysis_id: str, user: str) -> UserSegment | None:
        """Return one user of an analysis."""
        rows = self._store.query(
            queries["user_by_hash"], {"analysis_id": analysis_id, "user": user}
        )
        return _user_segment(rows[0]) if rows else None

    def bottlenecks(
        self, analysis_id: str, users: Sequence[str]
    ) -> dict[str, tuple[Bottleneck, ...]]:
        """Return the stage-wise bottlenecks of some users."""
        if not users:
            return {}
        rows = self._store.query(
            queries["bottlenecks_of"], {"analysis_id": analysis_id, "users": list(users)}
        )
        found: dict[str, list[Bottleneck]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(
                Bottleneck(
                    row[0], row[1], BottleneckStatus(row[2]), int(row[3]), row[4], row[5], row[6]
                )
            )
        return {user: tuple(items) for user, items in found.items()}

    def challenge_signals(
        self, challenge: Challenge, window: Window, *, repeats: int, limit: int, offset: int
    ) -> tuple[list[ChallengeSignal], int]:
        """Return some of the signals behind a challenge in time order, and how many there are."""
        kind = challenge.signal.kind.value
        which: dict[str, object] = {
            **days_of(window),
            "stage": challenge.signal.stage,
            "component": challenge.signal.component,
            "signal": challenge.signal.signal,
        }
        if challenge.signal.kind is SignalKind.REDUNDANCY:
            which["repeats"] = repeats
        rows = self._store.query(
            queries[f"{kind}_signals_page"], {**which, "limit": limit, "offset": offset}
        )
        return [_challenge_signal(row) for row in rows], self._total(f"{kind}_signals_count", which)

    def _total(self, query: str, parameters: Mapping[str, object]) -> int:
        return int(self._store.query(queries[query], parameters)[0][0])


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    """Return a column as Python's own numbers and strings."""
    to_list = getattr(column, "tolist", None)
    return to_list() if to_list is not None else column


def _signal_counts(
    signal: SignalId,
    period: Period,
    period_start: datetime,
    *,
    affected: Sequence[int],
    exposed: Sequence[int],
    sizes: Counts,
    attempts: Mapping[Segment, tuple[AttemptCount, ...]] | None = None,
) -> SignalCounts:
    segments = (Segment.EXPERT, Segment.INTERMEDIATE, Segment.BEGINNER)
    return SignalCounts(
        signal=signal,
        period=period,
        period_start=period_start,
        rated={s: SegmentCount(int(k), sizes[s]) for s, k in zip(segments, affected, strict=True)},
        exposed={
            s: SegmentCount(int(k), int(n))
            for s, k, n in zip(segments, affected, exposed, strict=True)
        },
        attempts=attempts or {},
    )


def _traces(examples: Sequence[tuple[datetime, str]]) -> tuple[str, ...]:
    """Return up to three different trace ids, earliest first."""
    return tuple(dict.fromkeys(trace for _, trace in examples))[:3]


def _analysis(row: Sequence[Any]) -> Analysis:
    start, end, known_at = (as_utc(row[index]) for index in (4, 5, 6))
    detail = json.loads(row[15]) if row[15] else {}
    return Analysis(
        analysis_id=row[0],
        status=AnalysisStatus(row[1]),
        created_time=as_utc(row[2]),
        updated_time=as_utc(row[3]),
        window=Window(start, end) if end - start > timedelta() else None,
        known_at=known_at if known_at > EPOCH else None,
        rule_set=row[7],
        rule_set_version=row[8],
        preset=row[9],
        rated=int(row[10]),
        unrated=int(row[11]),
        segment_sizes={Segment(name): int(size) for name, size in sorted(row[12].items())},
        challenges=int(row[13]),
        error=row[14],
        reason=str(detail.get("reason", "")),
        phase=str(detail.get("phase", "")),
    )


def _challenge(row: Sequence[Any]) -> Challenge:
    return Challenge(
        analysis_id=row[0],
        challenge_id=row[1],
        rank=int(row[2]),
        kind=ChallengeKind(row[3]),
        signal=SignalId(SignalKind(row[7]), row[4], row[5], row[6]),
        rule=row[8],
        grade=Grade(row[9]),
        probability=row[10],
        users_affected=int(row[11]),
        time_lost_seconds=row[12],
        evidence=json.loads(row[13]),
        evidence_query=row[14],
        example_trace_ids=tuple(row[15]),
    )


def _user_segment(row: Sequence[Any]) -> UserSegment:
    return UserSegment(
        user=row[0],
        segment=Segment(row[1]),
        membership=row[2],
        borderline=bool(row[3]),
        features=dict(sorted(row[4].items())),
    )


def _challenge_signal(row: Sequence[Any]) -> ChallengeSignal:
    return ChallengeSignal(
        event_time=as_utc(row[0]),
        ingest_time=as_utc(row[1]),
        user=row[2],
        stage=row[3],
        component=row[4],
        action=row[5],
        error_type=row[6],
        digest=row[7],
        duration_ns=int(row[8]),
        trace_id=row[9],
    )
