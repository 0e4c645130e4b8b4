"""An Analyzer with its answers in memory, for tests of what stands in front of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from memory_signal_map import MemorySignalMap

from analyzer_service.accounts import PathStatus, SourceStatus, TurnedAwayStatus
from analyzer_service.domain import (
    Analysis,
    AnalysisRequest,
    AnalysisStatus,
    Bottleneck,
    BottleneckStatus,
    Challenge,
    ChallengeKind,
    ChallengeSignal,
    Grade,
    Page,
    QueryColumn,
    Segment,
    SegmentSummary,
    SignalId,
    SignalKind,
    StoreStatus,
    UserReport,
    UserSegment,
    Window,
)
from analyzer_service.errors import (
    BusyError,
    InvalidInputError,
    NotFoundError,
    PageTokenError,
    QueryFailedError,
)
from analyzer_service.lives import (
    Comparison,
    Effect,
    Life,
    LifeState,
    Review,
    ReviewDraft,
    ReviewKind,
    Sighting,
)

T = TypeVar("T")
START = datetime(2026, 1, 5, tzinfo=UTC)
EXPERT, BEGINNER = "ab" * 16, "cd" * 16


def analysis(**changes: object) -> Analysis:
    values: dict[str, object] = {
        "analysis_id": "an-1",
        "status": AnalysisStatus.SUCCEEDED,
        "created_time": START,
        "updated_time": START + timedelta(seconds=3),
        "window": Window(START, START + timedelta(days=28)),
        "known_at": START + timedelta(days=29),
        "rule_set": "paper",
        "rule_set_version": "1",
        "preset": "calibrated",
        "rated": 3,
        "unrated": 1,
        "segment_sizes": {Segment.EXPERT: 1, Segment.INTERMEDIATE: 1, Segment.BEGINNER: 1},
        "challenges": 2,
        "error": "",
        "phase": "",
    }
    return Analysis(**{**values, **changes})


def challenge(number: int, kind: ChallengeKind, stage: str) -> Challenge:
    return Challenge(
        challenge_id=f"ch-{number}",
        analysis_id="an-1",
        rank=number,
        kind=kind,
        signal=SignalId(SignalKind.ERROR, stage, "trainer", "TimeLimitExceeded"),
        rule="2",
        grade=Grade.LITERAL,
        probability=1.0,
        users_affected=7,
        time_lost_seconds=5400.25,
        evidence={
            "expert": {"k": 0, "n": 1, "share": 0.0, "low": 0.0, "high": 0.5},
            "beginner": {"k": 1, "n": 1, "share": 1.0, "low": 0.5, "high": 1.0},
            "denominator": "rated",
        },
        evidence_query="SELECT 1",
        example_trace_ids=("0" * 32,),
    )


def user(name: str, segment: Segment) -> UserReport:
    held_up = Bottleneck(name, "model_training", BottleneckStatus.BOTTLENECK, 1, "ch-1", 60.5, 0.25)
    free = Bottleneck(name, "data_collection", BottleneckStatus.NONE, 0, "", 0.0, 0.0)
    place = UserSegment(name, segment, 0.75, borderline=False, features={"active_days": 9.0})
    return UserReport(place, (free, held_up))


BANNER = Review(
    review_id="rv-1",
    place_id="time-limit-1",
    kind=ReviewKind.INTERVENE,
    review_time=START,
    reviewer="ann",
    comment="a banner",
    effective_time=START + timedelta(days=1),
    segments=(Segment.BEGINNER,),
)
HELPED = Comparison(Effect.BETTER, -0.25, -0.375, -0.125, 0.5, 0.25, None, None)
STORY = (
    Sighting("an-1", START, ChallengeKind.EDUCATION_TRAINING, Grade.PROBABLE, "ch-1", HELPED),
    BANNER,
    Sighting("an-2", START + timedelta(days=7), None, None),
)
LIFE = Life(
    place_id="time-limit-1",
    signal=SignalId(SignalKind.ERROR, "model_training", "trainer", "TimeLimitExceeded"),
    kind=ChallengeKind.EDUCATION_TRAINING,
    state=LifeState.VERIFYING,
    since=START,
    cause="the time after it is being watched",
    first_seen=START,
    last_seen=START + timedelta(days=7),
    runs=2,
    challenge_id="ch-1",
    confirmed=True,
    intervention=BANNER,
    comparison=HELPED,
)
SIGNAL = ChallengeSignal(
    event_time=START,
    ingest_time=START + timedelta(microseconds=7),
    user=BEGINNER,
    stage="model_training",
    component="trainer",
    action="submit_job",
    error_type="TimeLimitExceeded",
    digest="d1",
    duration_ns=3_600_000_000_001,
    trace_id="0" * 32,
)


@dataclass
class Rows:
    columns: tuple[QueryColumn, ...]
    rows: Sequence[str]
    fails_after: int | None = None

    def __iter__(self) -> Iterator[str]:
        for number, row in enumerate(self.rows):
            if number == self.fails_after:
                raise QueryFailedError("It broke half-way.")
            yield row


TRACES = SourceStatus(
    source="traces", received=13, stored=9, duplicated=2, rejected=1, uncounted=1, signals=9,
    late=1, rejected_by_reason={"NOT_UTF8": 1},
)  # fmt: skip
LOGS = SourceStatus(source="logs", received=1, stored=1, signals=1)


@dataclass
class MemoryAnalyzer:
    """Satisfies AnalyzerInterface; ``raises`` makes every call fail with that error."""

    raises: Exception | None = None
    requests: list[AnalysisRequest] = field(default_factory=list)
    sqls: list[tuple[str, int]] = field(default_factory=list)
    drafts: list[ReviewDraft] = field(default_factory=list)
    busy: bool = False
    signal_map: MemorySignalMap = field(default_factory=MemorySignalMap)
    fails: bool = False

    def _check(self) -> None:
        if self.raises is not None:
            raise self.raises

    def start(self, request: AnalysisRequest) -> Analysis:
        self._check()
        if self.busy:
            raise BusyError("One is running.", hint="Wait for it.")
        self.requests.append(request)
        return analysis(analysis_id="an-2", status=AnalysisStatus.PENDING, window=None)

    def watch(self, analysis_id: str) -> Iterator[Analysis]:
        self._check()
        running = analysis(analysis_id=analysis_id, status=AnalysisStatus.RUNNING)
        yield replace(running, phase="settling")
        yield replace(running, phase="rules")
        if self.fails:
            yield replace(running, status=AnalysisStatus.FAILED, error="Nothing is settled.")
        else:
            yield replace(running, status=AnalysisStatus.SUCCEEDED)

    def get_analysis(self, analysis_id: str) -> Analysis:
        self._check()
        if analysis_id not in {"", "latest", "an-1"}:
            raise NotFoundError(
                f"There is no analysis {analysis_id}.", hint="List them.", field="analysis_id"
            )
        return analysis()

    def list_analyses(self, *, page_size: int, page_token: str) -> Page[Analysis]:
        self._check()
        return paged([analysis(), analysis(analysis_id="an-0")], page_size, page_token)

    def list_challenges(
        self,
        *,
        analysis_id: str = "",
        kind: ChallengeKind | None,
        stage: str,
        grade: Grade | None,
        page_size: int,
        page_token: str,
    ) -> Page[Challenge]:
        self.get_analysis(analysis_id)
        found = [
            item
            for item in (
                challenge(1, ChallengeKind.EDUCATION_TRAINING, "model_training"),
                challenge(2, ChallengeKind.SIMPLICITY_OF_PLATFORM, "data_collection"),
            )
            if kind in {None, item.kind} and stage in {"", item.signal.stage}
            if grade in {None, item.grade}
        ]
        return paged(found, page_size, page_token)

    def get_challenge(self, challenge_id: str, *, analysis_id: str = "") -> Challenge:
        self.get_analysis(analysis_id)
        if challenge_id != "ch-1":
            raise NotFoundError(f"There is no challenge {challenge_id}.", field="challenge_id")
        return challenge(1, ChallengeKind.EDUCATION_TRAINING, "model_training")

    def list_challenge_signals(
        self, challenge_id: str, *, analysis_id: str = "", page_size: int, page_token: str
    ) -> Page[ChallengeSignal]:
        self.get_challenge(challenge_id, analysis_id=analysis_id)
        return paged([SIGNAL] * 3, page_size, page_token)

    def list_lives(
        self, *, analysis_id: str = "", states: Sequence[LifeState] = ()
    ) -> tuple[Life, ...]:
        self.get_analysis(analysis_id)
        return tuple(item for item in (LIFE,) if not states or item.state in states)

    def get_life(
        self, challenge_id: str, *, analysis_id: str = ""
    ) -> tuple[Life, tuple[Sighting | Review, ...]]:
        self.get_analysis(analysis_id)
        if challenge_id not in {LIFE.place_id, LIFE.challenge_id}:
            raise NotFoundError(f"There is no challenge {challenge_id}.", field="challenge_id")
        return LIFE, STORY

    def review_challenge(
        self, challenge_id: str, draft: ReviewDraft, *, analysis_id: str = ""
    ) -> Life:
        life, _ = self.get_life(challenge_id, analysis_id=analysis_id)
        self.drafts.append(draft)
        return life

    def list_users(
        self, *, analysis_id: str = "", segment: Segment | None, page_size: int, page_token: str
    ) -> Page[UserReport]:
        self.get_analysis(analysis_id)
        found = [user(EXPERT, Segment.EXPERT), user(BEGINNER, Segment.BEGINNER)]
        wanted = [item for item in found if segment in {None, item.segment.segment}]
        return paged(wanted, page_size, page_token)

    def get_user(self, user_hash: str, *, analysis_id: str = "") -> UserReport:
        self.get_analysis(analysis_id)
        if user_hash != EXPERT:
            raise NotFoundError(f"There is no user {user_hash}.", field="user")
        return user(EXPERT, Segment.EXPERT)

    def list_segments(self, *, analysis_id: str = "") -> tuple[SegmentSummary, ...]:
        self.get_analysis(analysis_id)
        return (
            SegmentSummary(Segment.EXPERT, 1, 1, 1.5, {"active_days": 20.0}),
            SegmentSummary(Segment.BEGINNER, 3, 1, -1.5, {"active_days": 5.0}),
        )

    def query(self, sql: str, *, max_rows: int) -> Rows:
        self._check()
        self.sqls.append((sql, max_rows))
        columns = (QueryColumn("stage", "String"), QueryColumn("n", "UInt64"))
        if sql == "empty":
            return Rows(columns, ())
        if sql == "half":
            return Rows(columns, ['["a", 1]'] * 1200, fails_after=1100)
        if sql == "twice":
            return Rows((QueryColumn("a", "UInt8"), QueryColumn("a", "UInt8")), ("[1, 2]",))
        return Rows(columns, [json.dumps([f"s{number}", number]) for number in range(1234)])

    def status(self) -> StoreStatus:
        self._check()
        return StoreStatus(
            version="0.1.0",
            engine_version="26.9",
            schema_version=6,
            store="chdb:///there",
            sources=(TRACES, LOGS),
            services=(replace(TRACES, service_name="studio"), replace(LOGS, service_name="")),
            path=(
                PathStatus("sdk", "studio", "batch/0", "traces", "lost", "queue_full", 7),
                PathStatus("collector", "otelcol", "otlp/grpc", "traces", "received", "", 12),
            ),
            turned_away=(TurnedAwayStatus("otlp_http", "traces", "too_large", 2, 0),),
            rejected_by_reason={"NOT_UTF8": 1},
            settled_days=28,
            newest_settled_day="2026-02-01",
            watermark=START,
            attempts=5,
            failures=2,
            propagated=1,
            without_user=3,
            unmapped=4,
            unknown_stage=0,
            users=4,
            last_analysis=analysis(),
        )

    def report(self, *, analysis_id: str = "") -> dict[str, object]:
        self.get_analysis(analysis_id)
        return {
            "window": {"start": START.isoformat(), "end": "2026-02-02T00:00:00+00:00"},
            "rules": "paper",
            "users": {"rated": 3, "unrated": 1},
            "segments": {"expert": 1, "intermediate": 1, "beginner": 1},
            "challenges": [
                {
                    "id": "ch-1",
                    "kind": "education_training",
                    "stage": "model_training",
                    "component": "trainer",
                    "signal": "TimeLimitExceeded",
                    "rule": 2,
                    "grade": "literal",
                    "evidence": {"expert": {"k": 0, "n": 1}, "beginner": {"k": 1, "n": 1}},
                }
            ],
        }


def paged(items: Sequence[T], page_size: int, page_token: str) -> Page[T]:
    if page_size < 0:
        raise InvalidInputError("page_size is negative.", hint="Give 1 to 1000.", field="page_size")
    if page_token and not page_token.isdigit():
        raise PageTokenError("page_token is foreign.", hint="Start over.", field="page_token")
    start = int(page_token or 0)
    end = start + (page_size or 50)
    return Page(tuple(items[start:end]), str(end) if end < len(items) else "", len(items))
