"""What the columns of a job log mean: the model behind a mapping file (docs/replay.md).

One rule throughout: a plain value is meant as it is, ``{column: NAME}`` takes it from the log.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Outcome = Literal["ok", "error", "cancelled", "unknown"]
EpochUnit = Literal["s", "ms", "us", "ns"]
SpanUnit = Literal["h", "min", "s", "ms", "us", "ns"]
ResourceName = Literal[
    "gpu", "cpu", "memory", "nodes", "class", "gpu_used", "cpu_used", "memory_used"
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)


class Column(_Part):
    """A value taken from the log as it is."""

    column: str


class Value(_Part):
    """A value that is the same for every row, or taken from the log.

    Attributes:
        constant: The same for every row; in the file, just the plain value.
        column: Where to take it from.
        values: What the column's values are called in telemetry.
        otherwise: What all its other values are called; without it they stay as they are where
            ``values`` is empty, and break the row where it is not.
    """

    constant: str | None = None
    column: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    otherwise: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"constant": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.constant is None) == (self.column is None):
            raise ValueError("write a plain value, or {column: NAME}")
        return self


class TimeColumn(_Part):
    """When a row happened.

    Attributes:
        column: Where it stands; a timestamp column of a Parquet file needs no unit or format.
        marks: Whether it is when the job was submitted (it starts after its wait) or started.
        unit: Of numbers since 1970-01-01T00:00Z.
        format: Of texts, in the letters of ``strptime``; ``iso`` for ISO 8601.
        zone: IANA zone of texts that carry no offset.
    """

    column: str
    marks: Literal["submit", "start"]
    unit: EpochUnit | None = None
    format: str | None = None
    zone: str | None = None

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        try:
            ZoneInfo(zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("no such time zone; write one like UTC or Europe/Berlin") from None
        return zone

    @model_validator(mode="after")
    def _unit_or_format(self) -> Self:
        if self.unit is not None and self.format is not None:
            raise ValueError("give unit (numbers) or format (texts), not both")
        if self.format is not None and "%z" not in self.format and self.zone is None:
            raise ValueError("a format without %z needs the zone, e.g. zone: UTC")
        return self


class SpanColumn(_Part):
    """A span of time: how long a row took or waited."""

    column: str
    unit: SpanUnit = "s"


class OutcomeColumn(_Part):
    """How a row ended.

    Attributes:
        column: Where the log says it.
        values: What the log's words mean.
        otherwise: What all other words mean; without it they break the row.
    """

    column: str
    values: dict[str, Outcome] = Field(min_length=1)
    otherwise: Outcome | None = None


class Bound(_Part):
    """A number, or the column that holds it."""

    number: Decimal | None = None
    column: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"number": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.number is None) == (self.column is None):
            raise ValueError("write a number, or {column: NAME}")
        return self


class Condition(_Part):
    """One comparison of a column; exactly one of the comparisons is given."""

    column: str
    equals: str | None = None
    at_least: Bound | None = None
    more_than: Bound | None = None
    at_most: Bound | None = None
    less_than: Bound | None = None

    @model_validator(mode="after")
    def _one_comparison(self) -> Self:
        if len(self.model_fields_set - {"column"}) != 1:
            raise ValueError("give exactly one of equals, at_least, more_than, at_most, less_than")
        return self


class FailureRule(_Part):
    """Rows that failed whatever the outcome column calls them.

    Attributes:
        when: Comparisons that must all hold; in the file one may stand without a list.
        error_type: What the failure is called.
        limit: Which limit ended the job.
    """

    when: tuple[Condition, ...] = Field(min_length=1)
    error_type: str
    limit: Literal["time", "memory", "quota"] | None = None

    @field_validator("when", mode="before")
    @classmethod
    def _one_or_many(cls, given: Any) -> Any:
        return [given] if isinstance(given, dict) else given


class Mapping(_Part):
    """What the columns of a job log mean.

    Attributes:
        name: Identity of the events: the same row under the same name is the same event, however
            often and from wherever it is sent, also after the mapping was edited.
        user: Who; sent as ``user.id``, of which the receiver keeps only the pseudonym.
        time: When.
        duration: How long it ran.
        wait: How long it waited before.
        service: Name of the platform's service the log is of; without it, ``name``.
        stage: Stage of the model's life.
        component: Part of the platform.
        action: What was done; low cardinality.
        digest: Columns that together say "the same action again" of one user.
        outcome: How it ended; without it, ``unknown``.
        failures: Failures the log shows by other columns, the first that applies.
        error_type: What the remaining failures are called.
        resources: What was asked for and used.
        session: Session of the user.
        attributes: Anything else, by attribute name.
        delimiter: Between the fields of a CSV line.
        encoding: Of a CSV file.
    """

    name: str
    user: Column
    time: TimeColumn
    duration: SpanColumn
    wait: SpanColumn | None = None
    service: str | None = None
    stage: Value
    component: Value
    action: Value
    digest: tuple[str, ...] = ()
    outcome: OutcomeColumn | None = None
    failures: tuple[FailureRule, ...] = ()
    error_type: Value | None = None
    resources: dict[ResourceName, Value] = Field(default_factory=dict)
    session: Value | None = None
    attributes: dict[str, Value] = Field(default_factory=dict)
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError("no such encoding; write one like utf-8 or latin-1") from None
        return encoding

    def columns(self) -> dict[str, str]:
        """Return every column the mapping reads, with the first field that names it."""
        found: dict[str, str] = {}
        _collect(self.model_dump(exclude_none=True), "", found)
        for column in self.digest:
            found.setdefault(column, "digest")
        return found


def _collect(part: object, path: str, found: dict[str, str]) -> None:
    if isinstance(part, list | tuple):
        for item in part:
            _collect(item, path, found)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "column" and isinstance(value, str):
                found.setdefault(value, path)
            else:
                _collect(value, f"{path}.{key}".lstrip("."), found)
