"""The words of the Analyzer as values: frozen, typed, without behaviour that needs a store.

Instants are aware UTC datetimes ending ``_time`` (or ``start``/``end`` of a half-open window),
users are pseudonyms of 32 lower-case hex digits, units are in the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from analyzer_service.accounts import PathStatus, SourceStatus, TurnedAwayStatus

T = TypeVar("T")


class Segment(StrEnum):
    """How experienced a rated user is; ``UNRATED`` ones did too little to tell."""

    EXPERT = "expert"
    INTERMEDIATE = "intermediate"
    BEGINNER = "beginner"
    UNRATED = "unrated"


RATED_SEGMENTS = (Segment.EXPERT, Segment.INTERMEDIATE, Segment.BEGINNER)


class ChallengeKind(StrEnum):
    """What a place where people get stuck needs."""

    EDUCATION_TRAINING = "education_training"
    SIMPLICITY_OF_PLATFORM = "simplicity_of_platform"
    MIXED = "mixed"


class SignalKind(StrEnum):
    """What a challenge was seen by."""

    ERROR = "error"
    REDUNDANCY = "redundancy"


class Grade(StrEnum):
    """How sure a verdict is; ``LITERAL`` where a rule set only compares shares with thresholds."""

    LITERAL = "literal"
    INSUFFICIENT = "insufficient"
    POSSIBLE = "possible"
    PROBABLE = "probable"
    CONFIRMED = "confirmed"


class Period(StrEnum):
    """What span of time a share was counted over."""

    WINDOW = "window"
    WEEK = "week"
    MONTH = "month"


class AnalysisStatus(StrEnum):
    """Where an analysis stands."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class BottleneckStatus(StrEnum):
    """What is known of one user at one stage."""

    BOTTLENECK = "bottleneck"
    NONE = "none"
    NOT_ENOUGH_SEEN = "not_enough_seen"


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open interval [start, end) of event time."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long the window is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class UserActivity:
    """What one user did in a window: action and time signals only, never errors."""

    user: str
    actions: int
    key_actions: int
    clicks: int
    views: int
    distinct_key_actions: int
    active_days: int
    active_weeks: int
    sessions: int
    session_minutes: float
    """Mean minutes per session."""
    completed: int
    """Key actions that ended well and took measurable time."""
    relative_log_duration: float
    """Mean natural-log ratio of the user's completion times to everybody's on the same actions."""


@dataclass(frozen=True, slots=True)
class UserWeek:
    """What one user did in one week: action and time signals only, never errors."""

    user: str
    week: int
    """Grows by one from week to week."""
    actions: float
    distinct_actions: float
    completion_seconds: float
    """Typical time to complete a task; NaN where none was completed."""
    minutes_per_session: float
    """NaN where there was no session."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Further features by name, admitted by ``analysis.feature_guard``."""

    @property
    def is_active(self) -> bool:
        """Whether the user did anything."""
        return self.actions > 0 or self.distinct_actions > 0


@dataclass(frozen=True, slots=True)
class SegmentCount:
    """How many users of a segment are affected, of how many that count."""

    k: int
    n: int

    @property
    def share(self) -> float:
        """k/n, 0 where nobody counts."""
        return self.k / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """How many users of a segment attempted so often and failed so often."""

    attempts: int
    failures: int
    users: int


@dataclass(frozen=True, slots=True)
class ShareEstimate:
    """The share of affected users of a segment, judged at equal exposure, with its 95% interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SignalId:
    """What a challenge is about: an error type at a component, or an action repeated."""

    kind: SignalKind
    stage: str
    component: str
    signal: str
    """The error type of an error, the action of a redundancy."""


@dataclass(frozen=True, slots=True)
class SignalCounts:
    """Affected users of one signal in one period, per segment, under both denominators."""

    signal: SignalId
    period: Period
    period_start: datetime
    rated: Mapping[Segment, SegmentCount]
    """Of all rated users of the segment."""
    exposed: Mapping[Segment, SegmentCount]
    """Of those who attempted the action or used the component."""
    attempts: Mapping[Segment, tuple[AttemptCount, ...]] = field(default_factory=dict)
    """How often the exposed attempted and failed; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule set says of one signal."""

    signal: SignalId
    kind: ChallengeKind | None
    """None: no challenge of a known kind (an insufficient one may still be reported)."""
    rule: str
    grade: Grade
    probability: float
    denominator: str
    """``rated`` or ``exposed``."""
    evidence: Mapping[Segment, SegmentCount]
    fired: tuple[SignalCounts, ...]
    """The periods in which the rule fired; the first is the one the evidence shows."""
    thresholds: Mapping[str, float]
    missing: str = ""
    """What an insufficient verdict lacks, or why a sure one is only called possible."""
    shares: Mapping[Segment, ShareEstimate] = field(default_factory=dict)
    """Affected users per segment, where attempts and failures per user were judged."""
    probabilities: Mapping[ChallengeKind, float] = field(default_factory=dict)
    """Of each kind, where attempts and failures per user were judged; the rest is none."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A verdict worth acting on, as stored with its evidence."""

    challenge_id: str
    analysis_id: str
    rank: int
    kind: ChallengeKind
    signal: SignalId
    rule: str
    grade: Grade
    probability: float
    users_affected: int
    time_lost_seconds: float
    evidence: Mapping[str, object]
    """JSON-ready: counts per segment with intervals, thresholds, window, periods, denominator."""
    evidence_query: str
    example_trace_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserSegment:
    """Where one user stands in one analysis."""

    user: str
    segment: Segment
    membership: float
    borderline: bool
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserWeekSegment:
    """Where one user stands at the end of one week."""

    user: str
    week: int
    segment: Segment
    membership: float
    borderline: bool


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """One cluster of an analysis."""

    segment: Segment
    rank: int
    users: int
    proficiency: float
    centroid: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """One challenge that holds one user up at one stage (or the word that none does)."""

    user: str
    stage: str
    status: BottleneckStatus
    rank: int
    challenge_id: str
    time_lost_seconds: float
    share_of_time: float


@dataclass(frozen=True, slots=True)
class UserReport:
    """One user with segment and stage-wise bottlenecks."""

    segment: UserSegment
    bottlenecks: tuple[Bottleneck, ...]


@dataclass(frozen=True, slots=True)
class ChallengeSignal:
    """One signal behind a challenge."""

    event_time: datetime
    ingest_time: datetime
    user: str
    stage: str
    component: str
    action: str
    error_type: str
    digest: str
    duration_ns: int
    trace_id: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """One run: what it was asked, how it stands, what it found in numbers."""

    analysis_id: str
    status: AnalysisStatus
    created_time: datetime
    updated_time: datetime
    window: Window | None
    known_at: datetime | None
    rule_set: str
    rule_set_version: str
    preset: str
    rated: int
    unrated: int
    segment_sizes: Mapping[Segment, int]
    challenges: int
    error: str
    reason: str = ""
    """Why it failed, for programs: the ``reason`` of an error class."""
    phase: str = ""
    """What a running analysis is doing: settling, features, segments, rules, results."""


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """What to analyse; None means the default."""

    rule_set: str = "calibrated"
    rule_set_yaml: str = ""
    """The text of a rule set of one's own; then ``rule_set`` only names where it came from."""
    preset: str = "calibrated"
    window_start: datetime | None = None
    window_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; ``next_token`` is empty on the last."""

    items: tuple[T, ...]
    next_token: str
    total: int


@dataclass(frozen=True, slots=True)
class QueryColumn:
    """One column of the answer to a user's query."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The accounting of a store: everything that came in and where it went."""

    version: str
    engine_version: str
    schema_version: int
    store: str
    sources: tuple[SourceStatus, ...]
    """Of all services together."""
    services: tuple[SourceStatus, ...]
    path: tuple[PathStatus, ...]
    turned_away: tuple[TurnedAwayStatus, ...]
    rejected_by_reason: Mapping[str, int]
    settled_days: int
    newest_settled_day: str
    watermark: datetime | None
    attempts: int
    failures: int
    propagated: int
    without_user: int
    unmapped: int
    unknown_stage: int
    users: int
    last_analysis: Analysis | None
