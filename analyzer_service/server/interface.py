"""What can be asked of an Analyzer, whether it runs in this process or behind gRPC.

``analyzer_service.analyzer.Analyzer`` and ``analyzer_service.server.client.RemoteAnalyzer`` both
satisfy it, so a command or the servicer is written once. Every method raises errors of
``analyzer_service.errors`` only; an empty ``analysis_id`` means the newest that succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from analyzer_service.domain import (
    Analysis,
    AnalysisRequest,
    Challenge,
    ChallengeKind,
    ChallengeSignal,
    Grade,
    Page,
    QueryColumn,
    Segment,
    SegmentSummary,
    StoreStatus,
    UserReport,
)
from analyzer_service.lives import Life, LifeState, Review, ReviewDraft, Sighting
from analyzer_service.server.interface_map import SignalMapInterface


class QueryAnswer(Protocol):
    """The answer to one query, streamed."""

    @property
    def columns(self) -> tuple[QueryColumn, ...]:
        """The columns, known before the first row."""
        ...

    def __iter__(self) -> Iterator[str]:
        """Yield each row as a JSON array with one value per column."""
        ...


class AnalyzerInterface(Protocol):
    """Run analyses and read what they found."""

    @property
    def signal_map(self) -> SignalMapInterface:
        """The signal map: look at it, try names, change it, derive signals again."""
        ...

    def start(self, request: AnalysisRequest) -> Analysis:
        """Record an analysis and return at once while it runs; BusyError if one runs."""
        ...

    def watch(self, analysis_id: str) -> Iterator[Analysis]:
        """Yield the analysis at once and on every change, and end with it."""
        ...

    def get_analysis(self, analysis_id: str) -> Analysis:
        """Return one analysis; NotFoundError."""
        ...

    def list_analyses(self, *, page_size: int, page_token: str) -> Page[Analysis]:
        """Return a page of analyses, newest first."""
        ...

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
        """Return a page of challenges by rank."""
        ...

    def get_challenge(self, challenge_id: str, *, analysis_id: str = "") -> Challenge:
        """Return one challenge; NotFoundError."""
        ...

    def list_challenge_signals(
        self, challenge_id: str, *, analysis_id: str = "", page_size: int, page_token: str
    ) -> Page[ChallengeSignal]:
        """Return a page of the signals behind a challenge."""
        ...

    def list_lives(
        self, *, analysis_id: str = "", states: Sequence[LifeState] = ()
    ) -> tuple[Life, ...]:
        """Return how challenges stand over the runs up to an analysis, open ones first."""
        ...

    def get_life(
        self, challenge_id: str, *, analysis_id: str = ""
    ) -> tuple[Life, tuple[Sighting | Review, ...]]:
        """Return how one challenge stands and what was said of it, in order; NotFoundError."""
        ...

    def review_challenge(
        self, challenge_id: str, draft: ReviewDraft, *, analysis_id: str = ""
    ) -> Life:
        """Keep what a person says of a challenge and return how it stands then."""
        ...

    def list_users(
        self,
        *,
        analysis_id: str = "",
        segment: Segment | None,
        page_size: int,
        page_token: str,
    ) -> Page[UserReport]:
        """Return a page of users with segment and bottlenecks."""
        ...

    def get_user(self, user: str, *, analysis_id: str = "") -> UserReport:
        """Return one user with segment and bottlenecks; NotFoundError."""
        ...

    def list_segments(self, *, analysis_id: str = "") -> tuple[SegmentSummary, ...]:
        """Return the segments, experts first."""
        ...

    def query(self, sql: str, *, max_rows: int) -> QueryAnswer:
        """Answer one SELECT."""
        ...

    def status(self) -> StoreStatus:
        """Return the accounting of the store."""
        ...

    def report(self, *, analysis_id: str = "") -> dict[str, object]:
        """Return the whole result of an analysis, ready for JSON."""
        ...
