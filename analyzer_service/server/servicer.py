"""The gRPC methods: each turns a message into a call of the Analyzer and its result back.

Errors are raised as they are: ``access.Guard`` turns them into statuses.
"""

# ruff: noqa: ARG002, N802 - the names and parameters are those of the .proto file.
from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
import orjson

from analyzer_service import domain, lives
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.errors import InvalidInputError
from analyzer_service.server import convert, convert_lives
from analyzer_service.server.interface import AnalyzerInterface
from analyzer_service.server.servicer_map import MapServicer
from analyzer_service.server.wire import enum, enum_filter

ROWS_PER_MESSAGE: Final = 500
BYTES_PER_MESSAGE: Final = 1 << 18
"""A message closes at whichever comes first: far below the 4 MiB that clients take, and big
enough that a row costs no call."""


class Servicer(MapServicer):
    """AnalyzerService over an Analyzer."""

    def __init__(
        self,
        analyzer: AnalyzerInterface,
        *,
        defaults: domain.AnalysisRequest,
        query_max_rows: int,
    ) -> None:
        self._analyzer = analyzer
        self._defaults = defaults
        self._query_max_rows = query_max_rows

    def RunAnalysis(
        self, request: pb.RunAnalysisRequest, context: grpc.ServicerContext
    ) -> pb.RunAnalysisResponse:
        """Start an analysis."""
        analysis = self._analyzer.start(
            convert.analysis_request_from_proto(request, self._defaults)
        )
        return pb.RunAnalysisResponse(analysis=convert.analysis_to_proto(analysis))

    def WatchAnalysis(
        self, request: pb.WatchAnalysisRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchAnalysisResponse]:
        """Send the analysis on every change."""
        for analysis in self._analyzer.watch(request.analysis_id):
            yield pb.WatchAnalysisResponse(analysis=convert.analysis_to_proto(analysis))

    def GetAnalysis(
        self, request: pb.GetAnalysisRequest, context: grpc.ServicerContext
    ) -> pb.GetAnalysisResponse:
        """Return one analysis."""
        analysis = self._analyzer.get_analysis(request.analysis_id)
        return pb.GetAnalysisResponse(analysis=convert.analysis_to_proto(analysis))

    def ListAnalyses(
        self, request: pb.ListAnalysesRequest, context: grpc.ServicerContext
    ) -> pb.ListAnalysesResponse:
        """Return a page of analyses."""
        page = self._analyzer.list_analyses(
            page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListAnalysesResponse(
            analyses=[convert.analysis_to_proto(item) for item in page.items],
            next_page_token=page.next_token,
            total_size=page.total,
        )

    def ListChallenges(
        self, request: pb.ListChallengesRequest, context: grpc.ServicerContext
    ) -> pb.ListChallengesResponse:
        """Return a page of challenges."""
        page = self._analyzer.list_challenges(
            analysis_id=request.analysis_id,
            kind=enum_filter(domain.ChallengeKind, request.kind, "kind"),
            stage=request.stage,
            grade=enum_filter(domain.Grade, request.grade, "grade"),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListChallengesResponse(
            challenges=[convert.challenge_to_proto(item) for item in page.items],
            next_page_token=page.next_token,
            total_size=page.total,
        )

    def GetChallenge(
        self, request: pb.GetChallengeRequest, context: grpc.ServicerContext
    ) -> pb.GetChallengeResponse:
        """Return one challenge."""
        challenge = self._analyzer.get_challenge(
            request.challenge_id, analysis_id=request.analysis_id
        )
        return pb.GetChallengeResponse(challenge=convert.challenge_to_proto(challenge))

    def ListChallengeSignals(
        self, request: pb.ListChallengeSignalsRequest, context: grpc.ServicerContext
    ) -> pb.ListChallengeSignalsResponse:
        """Return a page of the signals behind a challenge."""
        page = self._analyzer.list_challenge_signals(
            request.challenge_id,
            analysis_id=request.analysis_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListChallengeSignalsResponse(
            signals=[convert.challenge_signal_to_proto(item) for item in page.items],
            next_page_token=page.next_token,
            total_size=page.total,
        )

    def ListLives(
        self, request: pb.ListLivesRequest, context: grpc.ServicerContext
    ) -> pb.ListLivesResponse:
        """Return how challenges stand."""
        found = self._analyzer.list_lives(
            analysis_id=request.analysis_id,
            states=tuple(enum(lives.LifeState, state) for state in request.states),
        )
        return pb.ListLivesResponse(lives=[convert_lives.life_to_proto(item) for item in found])

    def GetLife(
        self, request: pb.GetLifeRequest, context: grpc.ServicerContext
    ) -> pb.GetLifeResponse:
        """Return one challenge's story."""
        life, events = self._analyzer.get_life(
            request.challenge_id, analysis_id=request.analysis_id
        )
        return pb.GetLifeResponse(
            life=convert_lives.life_to_proto(life),
            events=[convert_lives.event_to_proto(event) for event in events],
        )

    def ReviewChallenge(
        self, request: pb.ReviewChallengeRequest, context: grpc.ServicerContext
    ) -> pb.ReviewChallengeResponse:
        """Keep what a person says of a challenge."""
        life = self._analyzer.review_challenge(
            request.challenge_id,
            convert_lives.draft_from_proto(request),
            analysis_id=request.analysis_id,
        )
        return pb.ReviewChallengeResponse(life=convert_lives.life_to_proto(life))

    def ListUsers(
        self, request: pb.ListUsersRequest, context: grpc.ServicerContext
    ) -> pb.ListUsersResponse:
        """Return a page of users."""
        page = self._analyzer.list_users(
            analysis_id=request.analysis_id,
            segment=enum_filter(domain.Segment, request.segment, "segment"),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListUsersResponse(
            users=[convert.user_report_to_proto(item) for item in page.items],
            next_page_token=page.next_token,
            total_size=page.total,
        )

    def GetUser(
        self, request: pb.GetUserRequest, context: grpc.ServicerContext
    ) -> pb.GetUserResponse:
        """Return one user."""
        user = self._analyzer.get_user(request.user, analysis_id=request.analysis_id)
        return pb.GetUserResponse(user=convert.user_report_to_proto(user))

    def ListSegments(
        self, request: pb.ListSegmentsRequest, context: grpc.ServicerContext
    ) -> pb.ListSegmentsResponse:
        """Return the segments."""
        segments = self._analyzer.list_segments(analysis_id=request.analysis_id)
        return pb.ListSegmentsResponse(
            segments=[convert.segment_summary_to_proto(item) for item in segments]
        )

    def Query(
        self, request: pb.QueryRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.QueryResponse]:
        """Send the columns of the answer, then its rows."""
        if request.max_rows < 0:
            raise InvalidInputError(
                "max_rows is negative.",
                hint="Give 1 or more, or 0 for the service's limit.",
                field="max_rows",
            )
        limit = min(request.max_rows or self._query_max_rows, self._query_max_rows)
        answer = self._analyzer.query(request.sql, max_rows=limit)
        yield pb.QueryResponse(
            columns=[pb.QueryColumn(name=item.name, type=item.type) for item in answer.columns]
        )
        rows: list[str] = []
        size = 0
        for row in answer:
            rows.append(row)
            size += len(row)
            if len(rows) == ROWS_PER_MESSAGE or size >= BYTES_PER_MESSAGE:
                yield pb.QueryResponse(json_rows=rows)
                rows, size = [], 0
        if rows:
            yield pb.QueryResponse(json_rows=rows)

    def GetReport(
        self, request: pb.GetReportRequest, context: grpc.ServicerContext
    ) -> pb.GetReportResponse:
        """Return the whole result as JSON."""
        report = self._analyzer.report(analysis_id=request.analysis_id)
        return pb.GetReportResponse(report_json=orjson.dumps(report).decode())

    def GetStatus(
        self, request: pb.GetStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetStatusResponse:
        """Return the accounting."""
        return pb.GetStatusResponse(status=convert.status_to_proto(self._analyzer.status()))
