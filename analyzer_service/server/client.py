"""An Analyzer behind gRPC, as the commands and other programs use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import grpc
import orjson

from analyzer_service import domain, lives
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.api.v1 import analyzer_pb2_grpc as pb_grpc
from analyzer_service.server import convert, convert_lives
from analyzer_service.server.client_map import RemoteSignalMap
from analyzer_service.server.status import error_of
from analyzer_service.server.wire import enum_to_proto

CALL_SECONDS: Final = 120.0
"""Longest wait for one answer: four times what a query may take by default."""
LARGEST_MESSAGE_BYTES: Final = 64 << 20
"""A report on many challenges, or one very long row, may exceed gRPC's own 4 MiB."""

T = TypeVar("T")


class RemoteAnalyzer:
    """Satisfies ``AnalyzerInterface`` by calling a service; close it after use."""

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        ca_file: Path | None = None,
        certificate_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        """Prepare the connection; nothing is sent before the first call.

        Args:
            server: HOST:PORT.
            token: Bearer token; empty: none is sent.
            ca_file: With it the connection is TLS, and the service's certificate must be signed
                by one of these authorities.
            certificate_file: The client's own certificate, for mTLS.
            key_file: Its key.
        """
        self._server = server
        options = (("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),)
        if ca_file is None:
            self._channel = grpc.insecure_channel(server, options=options)
        else:
            credentials = grpc.ssl_channel_credentials(
                ca_file.read_bytes(),
                key_file.read_bytes() if key_file else None,
                certificate_file.read_bytes() if certificate_file else None,
            )
            self._channel = grpc.secure_channel(server, credentials, options=options)
        self._stub = pb_grpc.AnalyzerServiceStub(self._channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.signal_map = RemoteSignalMap(
            self._stub, call=self._call, errors=self._errors, metadata=self._metadata
        )
        """The signal map of the service."""

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, request: domain.AnalysisRequest) -> domain.Analysis:
        """Record an analysis and return at once while it runs."""
        message = convert.analysis_request_to_proto(request)
        return convert.analysis_from_proto(self._call(self._stub.RunAnalysis, message).analysis)

    def watch(self, analysis_id: str) -> Iterator[domain.Analysis]:
        """Yield the analysis at once and on every change, and end with it."""
        message = pb.WatchAnalysisRequest(analysis_id=analysis_id)
        with self._errors():
            for state in self._stub.WatchAnalysis(message, metadata=self._metadata):
                yield convert.analysis_from_proto(state.analysis)

    def get_analysis(self, analysis_id: str) -> domain.Analysis:
        """Return one analysis."""
        message = pb.GetAnalysisRequest(analysis_id=analysis_id)
        return convert.analysis_from_proto(self._call(self._stub.GetAnalysis, message).analysis)

    def list_analyses(self, *, page_size: int, page_token: str) -> domain.Page[domain.Analysis]:
        """Return a page of analyses, newest first."""
        answer = self._call(
            self._stub.ListAnalyses,
            pb.ListAnalysesRequest(page_size=page_size, page_token=page_token),
        )
        return _page(answer, [convert.analysis_from_proto(item) for item in answer.analyses])

    def list_challenges(
        self,
        *,
        analysis_id: str = "",
        kind: domain.ChallengeKind | None,
        stage: str,
        grade: domain.Grade | None,
        page_size: int,
        page_token: str,
    ) -> domain.Page[domain.Challenge]:
        """Return a page of challenges by rank."""
        answer = self._call(
            self._stub.ListChallenges,
            pb.ListChallengesRequest(
                analysis_id=analysis_id,
                kind=enum_to_proto(kind, domain.ChallengeKind),
                stage=stage,
                grade=enum_to_proto(grade, domain.Grade),
                page_size=page_size,
                page_token=page_token,
            ),
        )
        return _page(answer, [convert.challenge_from_proto(item) for item in answer.challenges])

    def get_challenge(self, challenge_id: str, *, analysis_id: str = "") -> domain.Challenge:
        """Return one challenge."""
        message = pb.GetChallengeRequest(challenge_id=challenge_id, analysis_id=analysis_id)
        return convert.challenge_from_proto(self._call(self._stub.GetChallenge, message).challenge)

    def list_challenge_signals(
        self, challenge_id: str, *, analysis_id: str = "", page_size: int, page_token: str
    ) -> domain.Page[domain.ChallengeSignal]:
        """Return a page of the signals behind a challenge."""
        answer = self._call(
            self._stub.ListChallengeSignals,
            pb.ListChallengeSignalsRequest(
                challenge_id=challenge_id,
                analysis_id=analysis_id,
                page_size=page_size,
                page_token=page_token,
            ),
        )
        return _page(answer, [convert.challenge_signal_from_proto(item) for item in answer.signals])

    def list_lives(
        self, *, analysis_id: str = "", states: Sequence[lives.LifeState] = ()
    ) -> tuple[lives.Life, ...]:
        """Return how challenges stand, open ones first."""
        message = pb.ListLivesRequest(
            analysis_id=analysis_id,
            states=[enum_to_proto(state, lives.LifeState) for state in states],
        )
        answer = self._call(self._stub.ListLives, message)
        return tuple(convert_lives.life_from_proto(item) for item in answer.lives)

    def get_life(
        self, challenge_id: str, *, analysis_id: str = ""
    ) -> tuple[lives.Life, tuple[lives.Sighting | lives.Review, ...]]:
        """Return how one challenge stands and what was said of it, in order."""
        message = pb.GetLifeRequest(challenge_id=challenge_id, analysis_id=analysis_id)
        answer = self._call(self._stub.GetLife, message)
        events = tuple(convert_lives.event_from_proto(event) for event in answer.events)
        return convert_lives.life_from_proto(answer.life), events

    def review_challenge(
        self, challenge_id: str, draft: lives.ReviewDraft, *, analysis_id: str = ""
    ) -> lives.Life:
        """Say something of a challenge and return how it stands then."""
        message = convert_lives.draft_to_proto(challenge_id, analysis_id, draft)
        answer = self._call(self._stub.ReviewChallenge, message)
        return convert_lives.life_from_proto(answer.life)

    def list_users(
        self,
        *,
        analysis_id: str = "",
        segment: domain.Segment | None,
        page_size: int,
        page_token: str,
    ) -> domain.Page[domain.UserReport]:
        """Return a page of users with segment and bottlenecks."""
        answer = self._call(
            self._stub.ListUsers,
            pb.ListUsersRequest(
                analysis_id=analysis_id,
                segment=enum_to_proto(segment, domain.Segment),
                page_size=page_size,
                page_token=page_token,
            ),
        )
        return _page(answer, [convert.user_report_from_proto(item) for item in answer.users])

    def get_user(self, user: str, *, analysis_id: str = "") -> domain.UserReport:
        """Return one user with segment and bottlenecks."""
        message = pb.GetUserRequest(user=user, analysis_id=analysis_id)
        return convert.user_report_from_proto(self._call(self._stub.GetUser, message).user)

    def list_segments(self, *, analysis_id: str = "") -> tuple[domain.SegmentSummary, ...]:
        """Return the segments, experts first."""
        answer = self._call(
            self._stub.ListSegments, pb.ListSegmentsRequest(analysis_id=analysis_id)
        )
        return tuple(convert.segment_summary_from_proto(item) for item in answer.segments)

    def query(self, sql: str, *, max_rows: int) -> RemoteAnswer:
        """Answer one SELECT."""
        with self._errors():
            stream = self._stub.Query(
                pb.QueryRequest(sql=sql, max_rows=max_rows),
                metadata=self._metadata,
                timeout=CALL_SECONDS,
            )
            first = next(stream)
        columns = tuple(domain.QueryColumn(item.name, item.type) for item in first.columns)
        return RemoteAnswer(columns, self._rows(stream))

    def status(self) -> domain.StoreStatus:
        """Return the accounting of the store."""
        return convert.status_from_proto(
            self._call(self._stub.GetStatus, pb.GetStatusRequest()).status
        )

    def report(self, *, analysis_id: str = "") -> dict[str, object]:
        """Return the whole result of an analysis, ready for JSON."""
        message = pb.GetReportRequest(analysis_id=analysis_id)
        document = orjson.loads(self._call(self._stub.GetReport, message).report_json)
        return cast("dict[str, object]", document)

    def _rows(self, stream: Iterator[pb.QueryResponse]) -> Iterator[str]:
        with self._errors():
            for message in stream:
                yield from message.json_rows

    def _call(self, method: Callable[..., T], message: object) -> T:
        with self._errors():
            return method(message, metadata=self._metadata, timeout=CALL_SECONDS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as failure:
            raise error_of(failure, service=self._server) from None


class RemoteAnswer:
    """The answer to one query; its rows arrive while they are read, once."""

    def __init__(self, columns: tuple[domain.QueryColumn, ...], rows: Iterator[str]) -> None:
        self.columns = columns
        self._rows = rows

    def __iter__(self) -> Iterator[str]:
        return self._rows


def _page(answer: Any, items: list[T]) -> domain.Page[T]:
    return domain.Page(tuple(items), answer.next_page_token, answer.total_size)
