"""What can be asked of an Analyzer, whether it runs in this process or behind gRPC.

``analyzer_service.analyzer.Analyzer`` and ``analyzer_service.server.client.RemoteAnalyzer`` both
satisfy it, so a command or the servicer is written once. Every method raises errors of
``analyzer_service.errors`` only; an empty ``analysis_id`` means the newest that succeeded.
"""

from __future__ import annotations

from collections.abc import Iterator
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
