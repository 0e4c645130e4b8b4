"""What a scenario file may say: a platform, its people, and the truth planted among them.

A scenario is data. :func:`analyzer_service.simulate.scenario_file.load_scenario` reads one;
``docs/simulate.md`` describes the fields for those who write one.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from analyzer_service.domain import Segment

MAXIMUM_DAYS: Final = 366
"""A world is planned whole, one small counter per user and day; a year is more than any window."""

FIRST_START: Final = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
LAST_START: Final = datetime.fromisoformat("2200-01-01T00:00:00+00:00")
"""Event times before 2000 make no signal, and nanoseconds since 1970 end in 2262."""

HOURS_OF_A_DAY: Final = 24
DAYS_OF_A_WEEK: Final = 7

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=0.2)]
"""Failures that just happen stay rare: beyond a fifth they would be challenges nobody planted."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
RuleNumber = Literal[1, 2, 3, 4]


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"its first share {bounds[0]} is above its second {bounds[1]}; swap them")
    return bounds


ShareRange = Annotated[tuple[Share, Share], AfterValidator(_ordered)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rated(_Part):
    """How many frequent users each segment has."""

    expert: int = Field(ge=1, le=100_000)
    intermediate: int = Field(ge=1, le=100_000)
    beginner: int = Field(ge=1, le=100_000)


class Population(_Part):
    """Who there is."""

    rated: Rated
    infrequent: int = Field(ge=0, le=1_000_000)
    teams: int = Field(default=12, ge=1, le=1000)


class Rhythm(_Part):
    """When people work: relative weights, in UTC."""

    hours: tuple[Annotated[float, Field(ge=0)], ...]
    weekdays: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.hours) != HOURS_OF_A_DAY or sum(self.hours) <= 0:
            raise ValueError("hours needs 24 weights, not all of them zero")
        if len(self.weekdays) != DAYS_OF_A_WEEK:
            raise ValueError("weekdays needs 7 weights, Monday first")
        return self


class Trait(_Part):
    """A quantity that follows skill: ``base + slope * separation * z``, with a spread."""

    base: float
    slope: float
    spread: float = Field(default=0.0, ge=0)


class Skill(_Part):
    """How skill shows (worlds of known skill; z = 0 beginner, 1 intermediate, 2 expert)."""

    weekly_key_actions: Trait
    weekly_dispersion: float = Field(gt=0)
    breadth: Trait
    completion_seconds: Trait
    session_minutes: Trait
    key_share: Trait
    active_days: Trait
    skipped_week: Trait


class ActionSpec(_Part):
    """One key action of a component."""

    core: bool = False
    """Every rated user performs it at least once; planted problems need such an action."""
    seconds: float = Field(gt=0, le=3600)
    weight: float = Field(default=1.0, gt=0)
    calls: Name | None = None
    """The backend of the same stage that some of its traces reach."""


class ComponentSpec(_Part):
    """One component: a service with a user interface and key actions, or a backend."""

    service: Name
    backend: bool = False
    screens: tuple[Name, ...] = ()
    widgets: tuple[Name, ...] = ()
    actions: dict[Name, ActionSpec] = {}
    errors: dict[Name, Rate] = {}

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.backend and (self.actions or self.screens or self.widgets):
            raise ValueError("a backend has errors only; remove its actions, screens and widgets")
        if not self.backend and not (self.actions and self.screens and self.widgets):
            raise ValueError("a component needs actions, screens and widgets (or `backend: true`)")
        return self


class SegmentRanges(_Part):
    """A range of shares for every segment."""

    expert: ShareRange
    intermediate: ShareRange
    beginner: ShareRange


class NearMisses(_Part):
    """For the clauses a rule has, the range on the wrong side of its threshold."""

    expert: ShareRange
    intermediate: ShareRange | None = None
    beginner: ShareRange | None = None


class Planted(_Part):
    """A challenge: an error (rules 1 and 2) or an action repeated (rules 3 and 4)."""

    rule: RuleNumber
    action: str = Field(pattern=r"^[^/]+/[^/]+/[^/]+$")
    """stage/component/action."""
    at: Name | None = None
    """The backend in which the error starts; by default the action's own component."""
    error: Name | None = None
    limit: Literal["time", "memory", "quota", "idle"] | None = None
    about: str = ""
    affected: SegmentRanges | None = None
    """Instead of the scenario's ranges for the rule."""

    @property
    def path(self) -> tuple[str, str, str]:
        """Stage, component and name of the action."""
        stage, component, action = self.action.split("/")
        return stage, component, action


class Decoy(Planted):
    """A signal that misses exactly one clause of a rule, by little."""

    misses: Literal[Segment.EXPERT, Segment.INTERMEDIATE, Segment.BEGINNER]


class Scenario(_Part):
    """A whole world before a seed is drawn."""

    name: Name
    seed: int = Field(ge=0, lt=2**63)
    start: AwareDatetime
    days: int = Field(ge=14, le=MAXIMUM_DAYS)
    separation: float = Field(ge=0, le=5)
    salt: str = Field(min_length=1)
    population: Population
    rhythm: Rhythm
    skill: Skill
    affected: dict[RuleNumber, SegmentRanges]
    near_misses: dict[RuleNumber, NearMisses]
    stages: dict[Name, dict[Name, ComponentSpec]]
    challenges: tuple[Planted, ...]
    decoys: tuple[Decoy, ...] = ()

    @property
    def planted(self) -> tuple[Planted, ...]:
        """Challenges, then decoys."""
        return (*self.challenges, *self.decoys)


def check_start(start: datetime) -> str:
    """Return what is wrong with a first instant, empty if nothing is."""
    if start.utcoffset() is None:
        return "start has no time zone; write it as 2026-01-05T00:00:00Z"
    if start.utcoffset() or start.timetz().replace(tzinfo=None) != time():
        return "start is not midnight in UTC; windows are whole days, so write ...T00:00:00Z"
    if not FIRST_START <= start <= LAST_START:
        return f"start lies outside {FIRST_START:%Y} to {LAST_START:%Y}; choose a day in between"
    return ""
