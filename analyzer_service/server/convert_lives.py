"""The lives of challenges to messages and back."""

from __future__ import annotations

from analyzer_service import domain, lives
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.server.convert import signal_from_proto, signal_to_proto
from analyzer_service.server.wire import (
    enum,
    enum_filter,
    enum_to_proto,
    instant,
    time_from_proto,
    time_to_proto,
)


def life_to_proto(value: lives.Life) -> pb.Life:
    """Return a life as a message; what it leans to stays inside."""
    return pb.Life(
        place_id=value.place_id,
        signal=signal_to_proto(value.signal),
        kind=enum_to_proto(value.kind, domain.ChallengeKind),
        state=enum_to_proto(value.state, lives.LifeState),
        since_time=time_to_proto(value.since),
        cause=value.cause,
        first_seen_time=time_to_proto(value.first_seen),
        last_seen_time=time_to_proto(value.last_seen),
        runs=value.runs,
        challenge_id=value.challenge_id,
        confirmed=value.confirmed,
        intervention=review_to_proto(value.intervention) if value.intervention else None,
        comparison=comparison_to_proto(value.comparison) if value.comparison else None,
    )


def life_from_proto(message: pb.Life) -> lives.Life:
    """Return a life from its message."""
    return lives.Life(
        place_id=message.place_id,
        signal=signal_from_proto(message.signal),
        kind=enum(domain.ChallengeKind, message.kind),
        state=enum(lives.LifeState, message.state),
        since=instant(message, "since_time"),
        cause=message.cause,
        first_seen=instant(message, "first_seen_time"),
        last_seen=instant(message, "last_seen_time"),
        runs=message.runs,
        challenge_id=message.challenge_id,
        confirmed=message.confirmed,
        intervention=(
            review_from_proto(message.intervention) if message.HasField("intervention") else None
        ),
        comparison=(
            comparison_from_proto(message.comparison) if message.HasField("comparison") else None
        ),
    )


def review_to_proto(value: lives.Review) -> pb.Review:
    """Return what a person said as a message."""
    return pb.Review(
        review_id=value.review_id,
        place_id=value.place_id,
        kind=enum_to_proto(value.kind, lives.ReviewKind),
        review_time=time_to_proto(value.review_time),
        reviewer=value.reviewer,
        comment=value.comment,
        effective_time=time_to_proto(value.effective_time),
        segments=[enum_to_proto(segment, domain.Segment) for segment in value.segments],
    )


def review_from_proto(message: pb.Review) -> lives.Review:
    """Return what a person said from its message."""
    return lives.Review(
        review_id=message.review_id,
        place_id=message.place_id,
        kind=enum(lives.ReviewKind, message.kind),
        review_time=instant(message, "review_time"),
        reviewer=message.reviewer,
        comment=message.comment,
        effective_time=time_from_proto(message, "effective_time"),
        segments=tuple(enum(domain.Segment, segment) for segment in message.segments),
    )


def comparison_to_proto(value: lives.Comparison) -> pb.Comparison:
    """Return a comparison as a message."""
    return pb.Comparison(
        effect=enum_to_proto(value.effect, lives.Effect),
        change=value.change,
        low=value.low,
        high=value.high,
        touched_before=value.touched_before,
        touched_after=value.touched_after,
        untouched_before=value.untouched_before,
        untouched_after=value.untouched_after,
    )


def comparison_from_proto(message: pb.Comparison) -> lives.Comparison:
    """Return a comparison from its message."""
    others = message.HasField("untouched_before")
    return lives.Comparison(
        effect=enum(lives.Effect, message.effect),
        change=message.change,
        low=message.low,
        high=message.high,
        touched_before=message.touched_before,
        touched_after=message.touched_after,
        untouched_before=message.untouched_before if others else None,
        untouched_after=message.untouched_after if others else None,
    )


def event_to_proto(value: lives.Sighting | lives.Review) -> pb.LifeEvent:
    """Return one entry of a story as a message."""
    if isinstance(value, lives.Review):
        return pb.LifeEvent(review=review_to_proto(value))
    return pb.LifeEvent(
        sighting=pb.Sighting(
            analysis_id=value.analysis_id,
            window_end_time=time_to_proto(value.window_end),
            kind=enum_to_proto(value.kind, domain.ChallengeKind),
            grade=enum_to_proto(value.grade, domain.Grade),
            challenge_id=value.challenge_id,
            comparison=comparison_to_proto(value.comparison) if value.comparison else None,
        )
    )


def event_from_proto(message: pb.LifeEvent) -> lives.Sighting | lives.Review:
    """Return one entry of a story from its message."""
    if message.HasField("review"):
        return review_from_proto(message.review)
    seen = message.sighting
    return lives.Sighting(
        analysis_id=seen.analysis_id,
        window_end=instant(seen, "window_end_time"),
        kind=enum_filter(domain.ChallengeKind, seen.kind, "kind"),
        grade=enum_filter(domain.Grade, seen.grade, "grade"),
        challenge_id=seen.challenge_id,
        comparison=comparison_from_proto(seen.comparison) if seen.HasField("comparison") else None,
    )


def draft_to_proto(
    challenge_id: str, analysis_id: str, draft: lives.ReviewDraft
) -> pb.ReviewChallengeRequest:
    """Return what a person is about to say as a request."""
    return pb.ReviewChallengeRequest(
        challenge_id=challenge_id,
        analysis_id=analysis_id,
        kind=enum_to_proto(draft.kind, lives.ReviewKind),
        reviewer=draft.reviewer,
        comment=draft.comment,
        effective_time=time_to_proto(draft.effective_time),
        segments=[enum_to_proto(segment, domain.Segment) for segment in draft.segments],
    )


def draft_from_proto(message: pb.ReviewChallengeRequest) -> lives.ReviewDraft:
    """Return what a person is about to say from the request."""
    return lives.ReviewDraft(
        kind=enum(lives.ReviewKind, message.kind),
        reviewer=message.reviewer,
        comment=message.comment,
        effective_time=time_from_proto(message, "effective_time"),
        segments=tuple(enum(domain.Segment, segment) for segment in message.segments),
    )
