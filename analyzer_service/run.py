"""One analysis, from settled tables to results: features, segments, rules, bottlenecks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from analyzer_service.analysis.challenges import challenge_id, evidence, rank
from analyzer_service.analysis.rules import RuleSet
from analyzer_service.analysis.segmentation import Preset, Segmentation, segment_users
from analyzer_service.analysis.verdicts import judge
from analyzer_service.domain import (
    RATED_SEGMENTS,
    AnalysisRequest,
    Bottleneck,
    BottleneckStatus,
    Challenge,
    Segment,
    SignalId,
    SignalKind,
    Verdict,
    Window,
)
from analyzer_service.errors import InvalidInputError, NothingToAnalyzeError
from analyzer_service.store.evidence import evidence_query
from analyzer_service.store.reader import Reader
from analyzer_service.store.results import ResultWriter

DEFAULT_WINDOW: Final = timedelta(days=28)
"""Four whole weeks, so that every weekday weighs the same."""

FOLLOWED_BEFORE: Final = timedelta(weeks=8)
"""Users are followed from so long before the window: the segment model remembers six weeks, and
two more let names settle."""

ENOUGH_ATTEMPTS: Final = 3
"""Attempts at a stage below which "nothing holds this user up" would be a guess."""

Affected = Sequence[tuple[str, str, str, int]]
"""Rows of (challenge id, user, stage, nanoseconds lost)."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What one analysis found, in numbers."""

    rated: int
    unrated: int
    segment_sizes: Mapping[Segment, int]
    challenges: int


def choose_window(request: AnalysisRequest, newest_day: date | None) -> Window:
    """Return the window asked for: by default the 28 whole days up to the newest settled one.

    Raises:
        NothingToAnalyzeError: Nothing is settled, so there is no newest day.
        InvalidInputError: The bounds are not whole UTC days in order.
    """
    end = request.window_end
    if end is None:
        if newest_day is None:
            raise NothingToAnalyzeError(
                "The store holds no settled signals of any user.",
                hint="Send telemetry to the OTLP ports first; `mlp-analyzer status` shows it.",
            )
        end = datetime.combine(newest_day, time(), UTC) + timedelta(days=1)
    start = request.window_start or end - DEFAULT_WINDOW
    window = Window(start.astimezone(UTC), end.astimezone(UTC))
    for name, moment in (("window_start", window.start), ("window_end", window.end)):
        if moment.time() != time():
            raise InvalidInputError(
                f"{name} is {moment.isoformat()}, which is not midnight in UTC.",
                field=name,
                hint="Windows are whole UTC days, such as 2026-01-05.",
            )
    if window.length <= timedelta():
        raise InvalidInputError(
            "window_end does not come after window_start.",
            field="window_end",
            hint="The window is half-open: its end is the first day that no longer counts.",
        )
    return window


def run_analysis(
    reader: Reader,
    results: ResultWriter,
    *,
    analysis_id: str,
    window: Window,
    known_at: datetime,
    rule_set: RuleSet,
    preset: Preset,
    phase: Callable[[str], object],
) -> Findings:
    """Analyse a window and write what was found.

    Args:
        reader: Where settled tables are read.
        results: Where findings are written.
        analysis_id: Names the run in every result.
        window: Whole UTC days.
        known_at: Arrival time up to which the store is settled.
        rule_set: The rules to judge by.
        preset: How users are segmented.
        phase: Told what is being done.
    """
    phase("segments")
    weeks = (
        reader.user_weeks(Window(window.start - FOLLOWED_BEFORE, window.end))
        if preset is Preset.CALIBRATED
        else []
    )
    segmentation = segment_users(reader.user_activity(window), preset, weeks=weeks)
    results.users(analysis_id, segmentation.users)
    results.segments(analysis_id, segmentation.segments)
    sizes = _sizes(segmentation)
    phase("rules")
    limit = rule_set.repeats_more_than
    counts = (
        *reader.error_counts(window, analysis_id, sizes),
        *reader.redundancy_counts(window, analysis_id, sizes, limit=limit),
    )
    verdicts = {
        challenge_id(verdict.signal, verdict.kind): verdict
        for verdict in judge(counts, rule_set)
        if verdict.kind is not None
    }
    phase("results")
    affected = reader.affected_users(
        window,
        analysis_id,
        {identity: verdict.signal for identity, verdict in verdicts.items()},
        limit=limit,
    )
    challenges = _challenges(
        verdicts,
        _impact(affected),
        reader=reader,
        analysis_id=analysis_id,
        window=window,
        known_at=known_at,
        limit=limit,
    )
    results.challenges(challenges)
    spent = reader.stage_activity(window, analysis_id)
    results.bottlenecks(analysis_id, bottlenecks(segmentation, affected, spent))
    unrated = sum(user.segment is Segment.UNRATED for user in segmentation.users)
    return Findings(
        rated=len(segmentation.users) - unrated,
        unrated=unrated,
        segment_sizes=sizes,
        challenges=len(challenges),
    )


def bottlenecks(
    segmentation: Segmentation,
    affected: Affected,
    spent: Mapping[tuple[str, str], tuple[int, int]],
) -> list[Bottleneck]:
    """Return what holds each user up at each stage, worst first, or that nothing (known) does.

    Args:
        segmentation: All users of the analysis.
        affected: Challenges by user and stage, worst first within both.
        spent: (attempts, nanoseconds spent) by (user, stage).
    """
    held: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for challenge, who, stage, lost_ns in affected:
        held[who, stage].append((challenge, lost_ns))
    stages = sorted({stage for _, stage in spent} | {stage for _, stage in held})
    found: list[Bottleneck] = []
    for user in segmentation.users:
        for stage in stages:
            attempts, spent_ns = spent.get((user.user, stage), (0, 0))
            items = held.get((user.user, stage))
            if not items:
                enough = attempts >= ENOUGH_ATTEMPTS
                status = BottleneckStatus.NONE if enough else BottleneckStatus.NOT_ENOUGH_SEEN
                found.append(Bottleneck(user.user, stage, status, 0, "", 0.0, 0.0))
                continue
            for position, (challenge, lost_ns) in enumerate(items, start=1):
                found.append(
                    Bottleneck(
                        user=user.user,
                        stage=stage,
                        status=BottleneckStatus.BOTTLENECK,
                        rank=position,
                        challenge_id=challenge,
                        time_lost_seconds=round(lost_ns / 1e9, 9),
                        share_of_time=round(min(lost_ns / spent_ns, 1.0), 9) if spent_ns else 0.0,
                    )
                )
    return found


def _sizes(segmentation: Segmentation) -> dict[Segment, int]:
    sizes = dict.fromkeys(RATED_SEGMENTS, 0)
    for user in segmentation.users:
        if user.segment in sizes:
            sizes[user.segment] += 1
    return sizes


def _impact(affected: Affected) -> dict[str, tuple[int, int]]:
    """Return (users, nanoseconds lost) by challenge."""
    impact: dict[str, tuple[int, int]] = {}
    for challenge, _, _, lost_ns in affected:
        users, total_ns = impact.get(challenge, (0, 0))
        impact[challenge] = (users + 1, total_ns + lost_ns)
    return impact


def _challenges(
    verdicts: Mapping[str, Verdict],
    impact: Mapping[str, tuple[int, int]],
    *,
    reader: Reader,
    analysis_id: str,
    window: Window,
    known_at: datetime,
    limit: int,
) -> tuple[Challenge, ...]:
    error_examples = reader.error_examples(window)

    def examples(signal: SignalId) -> tuple[str, ...]:
        if signal.kind is SignalKind.ERROR:
            return error_examples.get((signal.stage, signal.component, signal.signal), ())
        return reader.redundancy_examples(window, signal, limit=limit)

    found = []
    for identity, verdict in verdicts.items():
        if verdict.kind is None:
            continue
        users, lost_ns = impact.get(identity, (0, 0))
        found.append(
            Challenge(
                challenge_id=identity,
                analysis_id=analysis_id,
                rank=0,
                kind=verdict.kind,
                signal=verdict.signal,
                rule=verdict.rule,
                grade=verdict.grade,
                probability=verdict.probability,
                users_affected=users,
                time_lost_seconds=round(lost_ns / 1e9, 9),
                evidence={**evidence(verdict, window), "repeats_more_than": limit},
                evidence_query=evidence_query(
                    verdict.fired[0],
                    window,
                    analysis_id=analysis_id,
                    known_at=known_at,
                    limit=limit,
                ),
                example_trace_ids=examples(verdict.signal),
            )
        )
    return rank(found)
