"""Domain values to messages and back: the only place where the two meet."""

from __future__ import annotations

from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from analyzer_service import domain
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.server import convert_accounts
from analyzer_service.server.wire import (
    NANOSECONDS,
    duration,
    enum,
    enum_to_proto,
    instant,
    json_value,
    nanoseconds,
    seconds,
    time_from_proto,
    time_to_proto,
)


def analysis_request_to_proto(value: domain.AnalysisRequest) -> pb.RunAnalysisRequest:
    """Return the request of an analysis as a message."""
    return pb.RunAnalysisRequest(
        rule_set=value.rule_set,
        rule_set_yaml=value.rule_set_yaml,
        preset=value.preset,
        window_start_time=time_to_proto(value.window_start),
        window_end_time=time_to_proto(value.window_end),
    )


def analysis_request_from_proto(
    message: pb.RunAnalysisRequest, defaults: domain.AnalysisRequest
) -> domain.AnalysisRequest:
    """Return the request of an analysis, what it leaves open filled in from ``defaults``."""
    return domain.AnalysisRequest(
        rule_set=message.rule_set or defaults.rule_set,
        rule_set_yaml=message.rule_set_yaml,
        preset=message.preset or defaults.preset,
        window_start=time_from_proto(message, "window_start_time") or defaults.window_start,
        window_end=time_from_proto(message, "window_end_time") or defaults.window_end,
    )


def window_to_proto(value: domain.Window | None) -> pb.Window | None:
    """Return a window as a message; None stays absent."""
    if value is None:
        return None
    return pb.Window(start_time=time_to_proto(value.start), end_time=time_to_proto(value.end))


def analysis_to_proto(value: domain.Analysis) -> pb.Analysis:
    """Return an analysis as a message."""
    return pb.Analysis(
        analysis_id=value.analysis_id,
        status=enum_to_proto(value.status, domain.AnalysisStatus),
        created_time=time_to_proto(value.created_time),
        updated_time=time_to_proto(value.updated_time),
        window=window_to_proto(value.window),
        known_at=time_to_proto(value.known_at),
        rule_set=value.rule_set,
        rule_set_version=value.rule_set_version,
        preset=value.preset,
        rated=value.rated,
        unrated=value.unrated,
        segment_sizes=[
            pb.SegmentSize(segment=enum_to_proto(segment, domain.Segment), users=users)
            for segment, users in value.segment_sizes.items()
        ],
        challenges=value.challenges,
        error=value.error,
        reason=value.reason,
        phase=value.phase,
    )


def analysis_from_proto(message: pb.Analysis) -> domain.Analysis:
    """Return an analysis from its message."""
    window = None
    if message.HasField("window"):
        window = domain.Window(
            start=instant(message.window, "start_time"), end=instant(message.window, "end_time")
        )
    return domain.Analysis(
        analysis_id=message.analysis_id,
        status=enum(domain.AnalysisStatus, message.status),
        created_time=instant(message, "created_time"),
        updated_time=instant(message, "updated_time"),
        window=window,
        known_at=time_from_proto(message, "known_at"),
        rule_set=message.rule_set,
        rule_set_version=message.rule_set_version,
        preset=message.preset,
        rated=message.rated,
        unrated=message.unrated,
        segment_sizes={
            enum(domain.Segment, size.segment): size.users for size in message.segment_sizes
        },
        challenges=message.challenges,
        error=message.error,
        reason=message.reason,
        phase=message.phase,
    )


def signal_to_proto(value: domain.SignalId) -> pb.SignalId:
    """Return what a challenge is about as a message."""
    return pb.SignalId(
        kind=enum_to_proto(value.kind, domain.SignalKind),
        stage=value.stage,
        component=value.component,
        signal=value.signal,
    )


def signal_from_proto(message: pb.SignalId) -> domain.SignalId:
    """Return what a challenge is about from its message."""
    return domain.SignalId(
        kind=enum(domain.SignalKind, message.kind),
        stage=message.stage,
        component=message.component,
        signal=message.signal,
    )


def challenge_to_proto(value: domain.Challenge) -> pb.Challenge:
    """Return a challenge as a message."""
    evidence = Struct()
    evidence.update(cast("dict[str, Any]", dict(value.evidence)))
    return pb.Challenge(
        challenge_id=value.challenge_id,
        analysis_id=value.analysis_id,
        rank=value.rank,
        kind=enum_to_proto(value.kind, domain.ChallengeKind),
        signal=signal_to_proto(value.signal),
        rule=value.rule,
        grade=enum_to_proto(value.grade, domain.Grade),
        probability=value.probability,
        users_affected=value.users_affected,
        time_lost=seconds(value.time_lost_seconds),
        evidence=evidence,
        evidence_query=value.evidence_query,
        example_trace_ids=value.example_trace_ids,
    )


def challenge_from_proto(message: pb.Challenge) -> domain.Challenge:
    """Return a challenge from its message."""
    return domain.Challenge(
        challenge_id=message.challenge_id,
        analysis_id=message.analysis_id,
        rank=message.rank,
        kind=enum(domain.ChallengeKind, message.kind),
        signal=signal_from_proto(message.signal),
        rule=message.rule,
        grade=enum(domain.Grade, message.grade),
        probability=message.probability,
        users_affected=message.users_affected,
        time_lost_seconds=nanoseconds(message.time_lost) / NANOSECONDS,
        evidence=json_value(MessageToDict(message.evidence)),
        evidence_query=message.evidence_query,
        example_trace_ids=tuple(message.example_trace_ids),
    )


def challenge_signal_to_proto(value: domain.ChallengeSignal) -> pb.ChallengeSignal:
    """Return a signal behind a challenge as a message."""
    return pb.ChallengeSignal(
        event_time=time_to_proto(value.event_time),
        ingest_time=time_to_proto(value.ingest_time),
        user=value.user,
        stage=value.stage,
        component=value.component,
        action=value.action,
        error_type=value.error_type,
        digest=value.digest,
        duration=duration(value.duration_ns),
        trace_id=value.trace_id,
    )


def challenge_signal_from_proto(message: pb.ChallengeSignal) -> domain.ChallengeSignal:
    """Return a signal behind a challenge from its message."""
    return domain.ChallengeSignal(
        event_time=instant(message, "event_time"),
        ingest_time=instant(message, "ingest_time"),
        user=message.user,
        stage=message.stage,
        component=message.component,
        action=message.action,
        error_type=message.error_type,
        digest=message.digest,
        duration_ns=nanoseconds(message.duration),
        trace_id=message.trace_id,
    )


def user_report_to_proto(value: domain.UserReport) -> pb.UserReport:
    """Return one user as a message."""
    return pb.UserReport(
        segment=pb.UserSegment(
            user=value.segment.user,
            segment=enum_to_proto(value.segment.segment, domain.Segment),
            membership=value.segment.membership,
            borderline=value.segment.borderline,
            features=value.segment.features,
        ),
        bottlenecks=[
            pb.Bottleneck(
                user=item.user,
                stage=item.stage,
                status=enum_to_proto(item.status, domain.BottleneckStatus),
                rank=item.rank,
                challenge_id=item.challenge_id,
                time_lost=seconds(item.time_lost_seconds),
                share_of_time=item.share_of_time,
            )
            for item in value.bottlenecks
        ],
    )


def user_report_from_proto(message: pb.UserReport) -> domain.UserReport:
    """Return one user from the message."""
    return domain.UserReport(
        segment=domain.UserSegment(
            user=message.segment.user,
            segment=enum(domain.Segment, message.segment.segment),
            membership=message.segment.membership,
            borderline=message.segment.borderline,
            features=dict(sorted(message.segment.features.items())),
        ),
        bottlenecks=tuple(
            domain.Bottleneck(
                user=item.user,
                stage=item.stage,
                status=enum(domain.BottleneckStatus, item.status),
                rank=item.rank,
                challenge_id=item.challenge_id,
                time_lost_seconds=nanoseconds(item.time_lost) / NANOSECONDS,
                share_of_time=item.share_of_time,
            )
            for item in message.bottlenecks
        ),
    )


def segment_summary_to_proto(value: domain.SegmentSummary) -> pb.SegmentSummary:
    """Return one cluster as a message."""
    return pb.SegmentSummary(
        segment=enum_to_proto(value.segment, domain.Segment),
        rank=value.rank,
        users=value.users,
        proficiency=value.proficiency,
        centroid=value.centroid,
    )


def segment_summary_from_proto(message: pb.SegmentSummary) -> domain.SegmentSummary:
    """Return one cluster from its message."""
    return domain.SegmentSummary(
        segment=enum(domain.Segment, message.segment),
        rank=message.rank,
        users=message.users,
        proficiency=message.proficiency,
        centroid=dict(sorted(message.centroid.items())),
    )


def status_to_proto(value: domain.StoreStatus) -> pb.StoreStatus:
    """Return the accounting of a store as a message."""
    last = analysis_to_proto(value.last_analysis) if value.last_analysis else None
    return pb.StoreStatus(
        sources=[convert_accounts.source_to_proto(item) for item in value.sources],
        services=[convert_accounts.source_to_proto(item) for item in value.services],
        path=[convert_accounts.path_to_proto(item) for item in value.path],
        turned_away=[convert_accounts.turned_away_to_proto(item) for item in value.turned_away],
        rejected_by_reason=value.rejected_by_reason,
        watermark=time_to_proto(value.watermark),
        last_analysis=last,
        **{name: getattr(value, name) for name in _PLAIN_STATUS},
    )


def status_from_proto(message: pb.StoreStatus) -> domain.StoreStatus:
    """Return the accounting of a store from its message."""
    last = analysis_from_proto(message.last_analysis) if message.HasField("last_analysis") else None
    return domain.StoreStatus(
        sources=tuple(map(convert_accounts.source_from_proto, message.sources)),
        services=tuple(map(convert_accounts.source_from_proto, message.services)),
        path=tuple(map(convert_accounts.path_from_proto, message.path)),
        turned_away=tuple(map(convert_accounts.turned_away_from_proto, message.turned_away)),
        rejected_by_reason=dict(sorted(message.rejected_by_reason.items())),
        watermark=time_from_proto(message, "watermark"),
        last_analysis=last,
        **{name: getattr(message, name) for name in _PLAIN_STATUS},
    )


_PLAIN_STATUS = (
    "version",
    "engine_version",
    "schema_version",
    "store",
    "settled_days",
    "newest_settled_day",
    "attempts",
    "failures",
    "propagated",
    "without_user",
    "unmapped",
    "unknown_stage",
    "users",
)
"""Fields of StoreStatus that are the same on both sides."""
