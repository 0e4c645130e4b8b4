"""The accounting, to and from messages."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from analyzer_service.accounts import PathStatus, SourceStatus, TurnedAwayStatus
from analyzer_service.api.v1 import analyzer_pb2 as pb

# Each value and its message have the same fields under the same names.


def source_to_proto(value: SourceStatus) -> pb.SourceStatus:
    """Return what became of one kind of telemetry as a message."""
    return pb.SourceStatus(**_plain(value))


def source_from_proto(message: pb.SourceStatus) -> SourceStatus:
    """Return what became of one kind of telemetry from its message."""
    read = {item.name: getattr(message, item.name) for item in fields(SourceStatus)}
    return SourceStatus(
        **read | {"rejected_by_reason": dict(sorted(message.rejected_by_reason.items()))}
    )


def path_to_proto(value: PathStatus) -> pb.PathStatus:
    """Return what a hop said as a message."""
    return pb.PathStatus(**_plain(value))


def path_from_proto(message: pb.PathStatus) -> PathStatus:
    """Return what a hop said from its message."""
    return PathStatus(**{item.name: getattr(message, item.name) for item in fields(PathStatus)})


def turned_away_to_proto(value: TurnedAwayStatus) -> pb.TurnedAwayStatus:
    """Return what was turned away as a message."""
    return pb.TurnedAwayStatus(**_plain(value))


def turned_away_from_proto(message: pb.TurnedAwayStatus) -> TurnedAwayStatus:
    """Return what was turned away from its message."""
    return TurnedAwayStatus(
        **{item.name: getattr(message, item.name) for item in fields(TurnedAwayStatus)}
    )


def _plain(value: SourceStatus | PathStatus | TurnedAwayStatus) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in fields(value)}
