"""Reviews, comparisons and past results: the events that lives are folded from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from analyzer_service.domain import ChallengeKind, Grade, Segment, SignalId, SignalKind
from analyzer_service.lives import Comparison, Effect, Review, ReviewKind
from analyzer_service.store.connect import Store
from analyzer_service.store.statements import queries
from analyzer_service.store.values import EPOCH, as_utc, instant

ExposureRow = tuple[Segment, int, int, int, int]
"""(segment, attempts before, failures before, attempts after, failures after) of one user."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run of a story."""

    analysis_id: str
    window_end: datetime
    created_time: datetime


@dataclass(frozen=True, slots=True)
class Reported:
    """One challenge of one run."""

    analysis_id: str
    challenge_id: str
    signal: SignalId
    kind: ChallengeKind
    grade: Grade
    probability: float


@dataclass(frozen=True, slots=True)
class PlaceReview:
    """A review, and what its place is about."""

    signal: SignalId
    review: Review


class LifeStore:
    """What lives need from a store; reviews and comparisons are only ever added."""

    def __init__(self, store: Store) -> None:
        """Read from and add to an open store."""
        self._store = store

    def runs(self, analysis_id: str) -> tuple[PastRun, ...]:
        """Return the runs that tell one story with an analysis, itself the last, in order."""
        rows = self._store.query(queries["life_runs"], {"analysis_id": analysis_id})
        return tuple(PastRun(run, as_utc(end), as_utc(made)) for run, end, made in rows)

    def reported(self, runs: Sequence[PastRun]) -> tuple[Reported, ...]:
        """Return the challenges of some runs."""
        rows = self._store.query(
            queries["life_sightings"], {"analysis_ids": [run.analysis_id for run in runs]}
        )
        return tuple(
            Reported(
                analysis_id=run,
                challenge_id=challenge,
                signal=SignalId(SignalKind(signal_kind), stage, component, signal),
                kind=ChallengeKind(kind),
                grade=Grade(grade),
                probability=probability,
            )
            for run, challenge, signal_kind, stage, component, signal, kind, grade, probability
            in rows
        )  # fmt: skip

    def reviews(self, *, until: datetime, place_id: str = "") -> tuple[PlaceReview, ...]:
        """Return what people said until a moment, in order; of one place or of all."""
        rows = self._store.query(
            queries["life_reviews"], {"place_id": place_id, "until": instant(until)}
        )
        return tuple(_review(row) for row in rows)

    def add_review(self, signal: SignalId, review: Review) -> None:
        """Keep what a person said."""
        self._store.insert_rows(
            "challenge_reviews",
            [
                "review_id", "place_id", "signal_kind", "stage", "component", "signal", "kind",
                "review_time", "reviewer", "comment", "effective_time", "segments",
            ],
            [
                [
                    review.review_id,
                    review.place_id,
                    signal.kind.value,
                    signal.stage,
                    signal.component,
                    signal.signal,
                    review.kind.value,
                    review.review_time,
                    review.reviewer,
                    review.comment,
                    review.effective_time or EPOCH,
                    [segment.value for segment in review.segments],
                ]
            ],
        )  # fmt: skip

    def comparisons(self, runs: Sequence[PastRun]) -> dict[tuple[str, str, str], Comparison]:
        """Return what runs found of interventions, by (analysis, place, review)."""
        rows = self._store.query(
            queries["life_comparisons"], {"analysis_ids": [run.analysis_id for run in runs]}
        )
        return {(row[0], row[1], row[2]): _comparison(row[3:]) for row in rows}

    def add_comparison(
        self, analysis_id: str, place_id: str, review_id: str, found: Comparison
    ) -> None:
        """Keep what a run found of one intervention."""
        self._store.insert_rows(
            "challenge_comparisons",
            [
                "analysis_id", "place_id", "review_id", "effect", "change", "low", "high",
                "touched_before", "touched_after", "untouched_before", "untouched_after",
            ],
            [
                [
                    analysis_id,
                    place_id,
                    review_id,
                    found.effect.value,
                    found.change,
                    found.low,
                    found.high,
                    found.touched_before,
                    found.touched_after,
                    math.nan if found.untouched_before is None else found.untouched_before,
                    math.nan if found.untouched_after is None else found.untouched_after,
                ]
            ],
        )  # fmt: skip

    def exposure(
        self,
        signal: SignalId,
        analysis_id: str,
        *,
        first_day: date,
        effective_day: date,
        end_day: date,
    ) -> list[ExposureRow]:
        """Return what each rated user did at a place before and after a day, ordered by user.

        Args:
            signal: The place.
            analysis_id: Whose segments count.
            first_day: Where the time before begins.
            effective_day: In neither time, as it may lie in both.
            end_day: The first day that no longer counts.
        """
        rows = self._store.query(
            queries["intervention_exposure"],
            {
                "signal_kind": signal.kind.value,
                "stage": signal.stage,
                "component": signal.component,
                "signal": signal.signal,
                "analysis_id": analysis_id,
                "first_day": first_day,
                "effective_day": effective_day,
                "end_day": end_day,
            },
        )
        return [(Segment(row[0]), *map(int, row[1:])) for row in rows]  # type: ignore[misc]


def _review(row: Sequence[Any]) -> PlaceReview:
    effective = as_utc(row[10])
    return PlaceReview(
        signal=SignalId(SignalKind(row[2]), row[3], row[4], row[5]),
        review=Review(
            review_id=row[0],
            place_id=row[1],
            kind=ReviewKind(row[6]),
            review_time=as_utc(row[7]),
            reviewer=row[8],
            comment=row[9],
            effective_time=None if effective == EPOCH else effective,
            segments=tuple(Segment(segment) for segment in row[11]),
        ),
    )


def _comparison(row: Sequence[Any]) -> Comparison:
    effect, change, low, high, before, after, other_before, other_after = row
    return Comparison(
        effect=Effect(effect),
        change=change,
        low=low,
        high=high,
        touched_before=before,
        touched_after=after,
        untouched_before=None if math.isnan(other_before) else other_before,
        untouched_after=None if math.isnan(other_after) else other_after,
    )
