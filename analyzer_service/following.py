"""Challenges over time: their lives, what people say of them, and whether what was done helped."""

from __future__ import annotations

import uuid
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

import numpy as np

from analyzer_service.analysis.challenges import place_id
from analyzer_service.analysis.comparison import Exposure, compare
from analyzer_service.analysis.life import live
from analyzer_service.clock import Clock
from analyzer_service.domain import RATED_SEGMENTS, Segment, SignalId, Window
from analyzer_service.errors import InvalidInputError
from analyzer_service.lives import Comparison, Life, Review, ReviewDraft, ReviewKind, Sighting
from analyzer_service.store.lives import (
    ExposureRow,
    LifeStore,
    PastRun,
    PlaceReview,
    Reported,
)

BEFORE: Final = timedelta(days=28)
"""The time before an intervention that counts: one default window."""

LOOK: Final = timedelta(days=7)
"""The time after grows by whole weeks, one look each: weekdays stay balanced, and runs within a
week are one look and not seven."""

LOOKS: Final = 4
"""Looks at one intervention; after as long as the time before, the answer stands."""

REVIEWER_CHARACTERS: Final = 200
COMMENT_CHARACTERS: Final = 4000
"""A paragraph or two; what is longer belongs in a ticket that the comment names."""

Event = Sighting | Review


class Following:
    """Tells lives from a store."""

    def __init__(self, lives: LifeStore, clock: Clock) -> None:
        """Read and add reviews through ``lives``, stamped by ``clock``."""
        self._lives = lives
        self._clock = clock

    # --- people -----------------------------------------------------------------------------
    def review(self, signal: SignalId, draft: ReviewDraft) -> Review:
        """Keep what a person says of a place.

        Raises:
            InvalidInputError: Names the field that is missing, too long or out of place.
        """
        _check(draft)
        review = Review(
            review_id=f"rv-{uuid.uuid4().hex[:16]}",
            place_id=place_id(signal),
            kind=draft.kind,
            review_time=self._clock.now(),
            reviewer=draft.reviewer.strip(),
            comment=draft.comment.strip(),
            effective_time=draft.effective_time,
            segments=tuple(dict.fromkeys(draft.segments)),
        )
        self._lives.add_review(signal, review)
        return review

    # --- stories ----------------------------------------------------------------------------
    def lives(self, analysis_id: str, *, until: datetime | None = None) -> dict[str, Life]:
        """Return every life as of an analysis, by place.

        Args:
            analysis_id: The last run of the story.
            until: The last moment whose reviews count; None: now.
        """
        told = self.stories(analysis_id, until=until)
        lives = {place: live(signal, events) for place, (signal, events) in told.items()}
        return {place: life for place, life in lives.items() if life is not None}

    def stories(
        self, analysis_id: str, *, until: datetime | None = None
    ) -> dict[str, tuple[SignalId, tuple[Event, ...]]]:
        """Return what runs and people said of each place up to an analysis, in order."""
        runs = self._lives.runs(analysis_id)
        reviews = self._lives.reviews(until=until or self._clock.now())
        comparisons = self._lives.comparisons(runs)
        signals, reported, said = _by_place(self._lives.reported(runs), reviews)
        return {
            place: (signal, _story(place, runs, reported[place], said[place], comparisons))
            for place, signal in sorted(signals.items())
        }

    def story(self, analysis_id: str, challenge_id: str) -> tuple[Life, tuple[Event, ...]] | None:
        """Return one life and its events, by place or by what a run called the challenge."""
        for place, (signal, events) in self.stories(analysis_id).items():
            names = {event.challenge_id for event in events if isinstance(event, Sighting)}
            if challenge_id in {place, *names} and challenge_id:
                life = live(signal, events)
                return None if life is None else (life, events)
        return None

    # --- interventions ----------------------------------------------------------------------
    def compare(self, analysis_id: str, window: Window) -> int:
        """Compare before and after each newest intervention that an analysis reaches.

        Returns:
            How many were compared.
        """
        newest: dict[str, PlaceReview] = {}
        for entry in self._lives.reviews(until=self._clock.now()):
            if entry.review.kind is ReviewKind.INTERVENE:
                newest[entry.review.place_id] = entry
        compared = 0
        for place, entry in sorted(newest.items()):
            found = self._comparison(analysis_id, window, entry)
            if found is not None:
                self._lives.add_comparison(analysis_id, place, entry.review.review_id, found)
                compared += 1
        return compared

    def _comparison(
        self, analysis_id: str, window: Window, entry: PlaceReview
    ) -> Comparison | None:
        effective = entry.review.effective_time
        if effective is None:
            return None
        day = datetime.combine(effective.astimezone(UTC).date(), time(), UTC)
        after = day + timedelta(days=1)
        look = min((window.end - after) // LOOK, LOOKS)
        if look < 1:
            return None
        rows = self._lives.exposure(
            entry.signal,
            analysis_id,
            first_day=(day - BEFORE).date(),
            effective_day=day.date(),
            end_day=(after + look * LOOK).date(),
        )
        whom = set(entry.review.segments) or set(RATED_SEGMENTS)
        touched = _exposure([row for row in rows if row[0] in whom])
        others = [row for row in rows if row[0] not in whom]
        return compare(touched, _exposure(others) if others else None, look=look)


def _by_place(
    reported: Sequence[Reported], reviews: Sequence[PlaceReview]
) -> tuple[
    dict[str, SignalId],
    Mapping[str, Mapping[str, Reported]],
    Mapping[str, Sequence[Review]],
]:
    """Return by place its signal, what runs reported of it (by run), and what people said."""
    signals: dict[str, SignalId] = {}
    by_run: dict[str, dict[str, Reported]] = defaultdict(dict)
    said: dict[str, list[Review]] = defaultdict(list)
    for one in reported:
        place = place_id(one.signal)
        signals[place] = one.signal
        known = by_run[place].get(one.analysis_id)
        if known is None or one.probability > known.probability:
            by_run[place][one.analysis_id] = one
    for entry in reviews:
        signals.setdefault(entry.review.place_id, entry.signal)
        said[entry.review.place_id].append(entry.review)
    return signals, by_run, said


def _story(
    place: str,
    runs: Sequence[PastRun],
    reported: Mapping[str, Reported],
    reviews: Sequence[Review],
    comparisons: Mapping[tuple[str, str, str], Comparison],
) -> tuple[Event, ...]:
    """Weave runs and reviews: a review comes before the first run made after it."""
    events: list[Event] = []
    waiting = deque(reviews)
    intervention = ""
    for run in runs:
        while waiting and waiting[0].review_time < run.created_time:
            review = waiting.popleft()
            intervention = review.review_id if _intervenes(review) else intervention
            events.append(review)
        said = reported.get(run.analysis_id)
        events.append(
            Sighting(
                analysis_id=run.analysis_id,
                window_end=run.window_end,
                kind=said.kind if said else None,
                grade=said.grade if said else None,
                challenge_id=said.challenge_id if said else "",
                comparison=comparisons.get((run.analysis_id, place, intervention)),
            )
        )
    return (*events, *waiting)


def _intervenes(review: Review) -> bool:
    return review.kind is ReviewKind.INTERVENE


def _exposure(rows: Sequence[ExposureRow]) -> Exposure:
    columns = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 4).T
    return Exposure(*columns)


def _check(draft: ReviewDraft) -> None:
    for field, text, longest in (
        ("reviewer", draft.reviewer, REVIEWER_CHARACTERS),
        ("comment", draft.comment, COMMENT_CHARACTERS),
    ):
        if len(text) > longest:
            raise InvalidInputError(
                f"{field} has {len(text)} characters.", field=field, hint=f"At most {longest}."
            )
    if not draft.reviewer.strip():
        raise InvalidInputError(
            "A review has no reviewer.", field="reviewer", hint="Say who says so."
        )
    if draft.kind in {ReviewKind.DISMISS, ReviewKind.COMMENT} and not draft.comment.strip():
        raise InvalidInputError(
            f"A review of kind {draft.kind} says nothing.",
            field="comment",
            hint="Give the reason: whoever meets this challenge again needs it.",
        )
    if (draft.kind is ReviewKind.INTERVENE) != (draft.effective_time is not None):
        raise InvalidInputError(
            "An intervention has a time from when on users met it, and nothing else has.",
            field="effective_time",
            hint="Give it for `intervene` only.",
        )
    if draft.segments and draft.kind is not ReviewKind.INTERVENE:
        raise InvalidInputError(
            f"A review of kind {draft.kind} touches no segments.",
            field="segments",
            hint="Give segments for `intervene` only.",
        )
    if Segment.UNRATED in draft.segments:
        raise InvalidInputError(
            "Unrated users are in no comparison.",
            field="segments",
            hint=f"Use some of {', '.join(RATED_SEGMENTS)}; none means everybody.",
        )
