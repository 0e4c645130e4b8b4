"""The words about the life of a challenge: what people say of it, what was done, how it stands.

A *place* is where users get stuck, whatever kind of challenge it is called at the moment: an error
type at a component, or an action repeated. Runs come and go; a place and its life stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from analyzer_service.domain import ChallengeKind, Grade, Segment, SignalId


class LifeState(StrEnum):
    """How a challenge stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    INTERVENTION = "intervention"
    """Something is going to be done, or has been, and no run has seen the time after it yet."""
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    REGRESSED = "regressed"
    DISMISSED = "dismissed"


class ReviewKind(StrEnum):
    """What a person can say of a challenge."""

    CONFIRM = "confirm"
    """It is real; also acknowledges it."""
    ACKNOWLEDGE = "acknowledge"
    DISMISS = "dismiss"
    COMMENT = "comment"
    REOPEN = "reopen"
    INTERVENE = "intervene"
    """Something was done about it from a moment on."""


class Effect(StrEnum):
    """What a comparison of the time before with the time after an intervention says."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no_difference"
    NOT_ENOUGH_SEEN = "not_enough_seen"


@dataclass(frozen=True, slots=True)
class Review:
    """One thing a person said, never changed afterwards."""

    review_id: str
    place_id: str
    kind: ReviewKind
    review_time: datetime
    reviewer: str
    comment: str = ""
    effective_time: datetime | None = None
    """INTERVENE: from when on users met what was done."""
    segments: tuple[Segment, ...] = ()
    """INTERVENE: whom it touched; empty is everybody, and then nobody is left to compare with."""


@dataclass(frozen=True, slots=True)
class ReviewDraft:
    """What a person is about to say."""

    kind: ReviewKind
    reviewer: str
    comment: str = ""
    effective_time: datetime | None = None
    """INTERVENE, and only then: from when on users met what was done."""
    segments: tuple[Segment, ...] = ()
    """INTERVENE: whom it touched; empty is everybody."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rate of failing attempts before and after an intervention, against the untouched."""

    effect: Effect
    change: float
    """Change of failures per attempt among the touched, less that among the untouched."""
    low: float
    high: float
    """The 95% interval of the change."""
    touched_before: float
    touched_after: float
    untouched_before: float | None
    """None: nobody was left untouched, so the change is the touched users' own."""
    untouched_after: float | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one run said of one place; kind None: nothing, though the run looked everywhere."""

    analysis_id: str
    window_end: datetime
    kind: ChallengeKind | None
    grade: Grade | None
    challenge_id: str = ""
    comparison: Comparison | None = None
    """Where an intervention is being verified."""


@dataclass(frozen=True, slots=True)
class Leaning:
    """What the latest runs say differently from the life, and the first of them."""

    towards: ChallengeKind | None
    """None: that it is gone."""
    since: datetime


@dataclass(frozen=True, slots=True)
class Life:
    """One place over all runs and reviews."""

    place_id: str
    signal: SignalId
    kind: ChallengeKind
    state: LifeState
    since: datetime
    """When it came into this state."""
    cause: str
    """Why it is in this state, for people."""
    first_seen: datetime
    last_seen: datetime
    """Window ends of the first and the latest run that reported it."""
    runs: int
    """Runs that reported it."""
    challenge_id: str
    """What the latest run that reported it called it."""
    confirmed: bool = False
    """Whether a person confirmed it."""
    leaning: Leaning | None = None
    intervention: Review | None = None
    comparison: Comparison | None = None
