"""The small change between domain values and messages: enums, instants, lengths of time, JSON.

Enums go by name (``Segment.EXPERT`` is ``SEGMENT_EXPERT``); an unspecified one is None. Lengths of
time are whole nanoseconds, which is what the store rounds to, so the way there and back is exact.
JSON has one kind of number: a whole number comes back as an int.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from analyzer_service import domain, lives, signal_map
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.errors import InvalidInputError

NANOSECONDS = 10**9
E = TypeVar("E", bound=StrEnum)

_ENUMS: Mapping[type[StrEnum], tuple[Any, str]] = {
    domain.Segment: (pb.Segment, "SEGMENT_"),
    domain.ChallengeKind: (pb.ChallengeKind, "CHALLENGE_KIND_"),
    domain.SignalKind: (pb.SignalKind, "SIGNAL_KIND_"),
    domain.Grade: (pb.Grade, "GRADE_"),
    domain.AnalysisStatus: (pb.AnalysisStatus, "ANALYSIS_STATUS_"),
    domain.BottleneckStatus: (pb.BottleneckStatus, "BOTTLENECK_STATUS_"),
    lives.LifeState: (pb.LifeState, "LIFE_STATE_"),
    lives.ReviewKind: (pb.ReviewKind, "REVIEW_KIND_"),
    lives.Effect: (pb.Effect, "EFFECT_"),
    signal_map.RuleOrigin: (pb.MapRuleOrigin, "MAP_RULE_ORIGIN_"),
}


def enum_to_proto(value: StrEnum | None, kind: type[StrEnum]) -> Any:
    """Return the number of a value; None is unspecified."""
    wrapper, prefix = _ENUMS[kind]
    return wrapper.Value(prefix + (value.name if value is not None else "UNSPECIFIED"))


def enum_filter(kind: type[E], number: int, field: str) -> E | None:
    """Return the value a filter asks for; None for all.

    Raises:
        InvalidInputError: The number is none of this version's.
    """
    wrapper, prefix = _ENUMS[kind]
    if number not in wrapper.values():
        raise InvalidInputError(
            f"{field} has no value {number}.", hint=f"Use one of {wrapper.keys()}.", field=field
        )
    name = str(wrapper.Name(number)).removeprefix(prefix)
    return None if name == "UNSPECIFIED" else kind[name]


def enum(kind: type[E], number: int) -> E:
    """Return the value of a field that must be said."""
    value = enum_filter(kind, number, kind.__name__)
    if value is None:
        raise InvalidInputError(f"{kind.__name__} is not said.", field=kind.__name__)
    return value


def time_to_proto(value: datetime | None) -> Timestamp | None:
    """Return an instant as a message; None stays absent."""
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value)
    return message


def time_from_proto(message: Message, name: str) -> datetime | None:
    """Return the instant in a field, or None where it is absent.

    Raises:
        InvalidInputError: The instant is none between the years 1 and 9999.
    """
    if not message.HasField(name):
        return None
    value: Timestamp = getattr(message, name)
    try:
        return value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{name} is out of range.", hint="Use an instant of the years 1 to 9999.", field=name
        ) from error


def instant(message: Message, name: str) -> datetime:
    """Return the instant of a field that must be there."""
    value = time_from_proto(message, name)
    if value is None:
        raise InvalidInputError(f"{name} is missing.", field=name)
    return value


def duration(length_ns: int) -> Duration:
    """Return nanoseconds as a message."""
    sign = -1 if length_ns < 0 else 1
    whole, rest = divmod(abs(length_ns), NANOSECONDS)
    return Duration(seconds=sign * whole, nanos=sign * rest)


def seconds(value: float) -> Duration:
    """Return seconds as a message, rounded to nanoseconds."""
    whole = int(value)
    return duration(whole * NANOSECONDS + round((value - whole) * NANOSECONDS))


def nanoseconds(message: Duration) -> int:
    """Return a length of time as nanoseconds."""
    return message.seconds * NANOSECONDS + message.nanos


def json_value(value: Any) -> Any:
    """Return JSON with whole numbers as ints and keys in order, deep."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value
