"""The signal map's values to messages and back."""

from __future__ import annotations

from analyzer_service import signal_map as sm
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.server.wire import enum, enum_to_proto, instant, time_to_proto


def rule_to_proto(value: sm.MapRule) -> pb.MapRule:
    """Return a rule as a message."""
    return pb.MapRule(
        rule_id=value.rule_id,
        priority=value.priority,
        origin=enum_to_proto(value.origin, sm.RuleOrigin),
        **{name: getattr(value, name) for name in _RULE_TEXTS},
    )


def rule_from_proto(message: pb.MapRule) -> sm.MapRule:
    """Return a rule from its message."""
    return sm.MapRule(
        rule_id=message.rule_id,
        priority=message.priority,
        origin=enum(sm.RuleOrigin, message.origin),
        **{name: getattr(message, name) for name in _RULE_TEXTS},
    )


def listing_to_proto(value: sm.MapListing) -> pb.GetSignalMapResponse:
    """Return the map in force as a message."""
    return pb.GetSignalMapResponse(
        version=value.version,
        rules=[rule_to_proto(rule) for rule in value.rules],
        removed=value.removed,
        shadows=_shadows_to_proto(value.shadows),
    )


def listing_from_proto(message: pb.GetSignalMapResponse) -> sm.MapListing:
    """Return the map in force from its message."""
    return sm.MapListing(
        version=message.version,
        rules=tuple(rule_from_proto(rule) for rule in message.rules),
        removed=tuple(message.removed),
        shadows=_shadows_from_proto(message.shadows),
    )


def name_to_proto(value: sm.SignalName) -> pb.SignalName:
    """Return a name as a message."""
    return pb.SignalName(service=value.service, name=value.name, route=value.route)


def name_from_proto(message: pb.SignalName) -> sm.SignalName:
    """Return a name from its message."""
    return sm.SignalName(service=message.service, name=message.name, route=message.route)


def verdict_to_proto(value: sm.MapVerdict) -> pb.MapVerdict:
    """Return what the map makes of a name as a message."""
    return pb.MapVerdict(
        name=name_to_proto(value.name),
        winner=value.winner,
        others=value.others,
        stage=value.stage,
        component=value.component,
        action=value.action,
        action_kind=value.action_kind,
    )


def verdict_from_proto(message: pb.MapVerdict) -> sm.MapVerdict:
    """Return what the map makes of a name from its message."""
    return sm.MapVerdict(
        name=name_from_proto(message.name),
        winner=message.winner,
        others=tuple(message.others),
        stage=message.stage,
        component=message.component,
        action=message.action,
        action_kind=message.action_kind,
    )


def change_to_proto(value: sm.MapChange) -> pb.MapChange:
    """Return a change of the map as a message."""
    return pb.MapChange(
        version=value.version,
        applied=value.applied,
        added=value.added,
        replaced=value.replaced,
        removed=value.removed,
        shadows=_shadows_to_proto(value.shadows),
    )


def change_from_proto(message: pb.MapChange) -> sm.MapChange:
    """Return a change of the map from its message."""
    return sm.MapChange(
        version=message.version,
        applied=message.applied,
        added=tuple(message.added),
        replaced=tuple(message.replaced),
        removed=tuple(message.removed),
        shadows=_shadows_from_proto(message.shadows),
    )


def derivation_to_proto(value: sm.Derivation) -> pb.Derivation:
    """Return how far signals are derived again as a message."""
    return pb.Derivation(
        window=pb.Window(
            start_time=time_to_proto(value.window_start), end_time=time_to_proto(value.window_end)
        ),
        changed=value.changed,
        done=value.done,
        **{name: getattr(value, name) for name in _DERIVATION_COUNTS},
    )


def derivation_from_proto(message: pb.Derivation) -> sm.Derivation:
    """Return how far signals are derived again from its message."""
    return sm.Derivation(
        window_start=instant(message.window, "start_time"),
        window_end=instant(message.window, "end_time"),
        changed=dict(sorted(message.changed.items())),
        done=message.done,
        **{name: getattr(message, name) for name in _DERIVATION_COUNTS},
    )


def unmapped_to_proto(value: sm.UnmappedName) -> pb.UnmappedName:
    """Return a name without a stage as a message."""
    return pb.UnmappedName(
        name=name_to_proto(value.name),
        source=value.source,
        records=value.records,
        with_user=value.with_user,
        first_time=time_to_proto(value.first_time),
        last_time=time_to_proto(value.last_time),
    )


def unmapped_from_proto(message: pb.UnmappedName) -> sm.UnmappedName:
    """Return a name without a stage from its message."""
    return sm.UnmappedName(
        name=name_from_proto(message.name),
        source=message.source,
        records=message.records,
        with_user=message.with_user,
        first_time=instant(message, "first_time"),
        last_time=instant(message, "last_time"),
    )


def _shadows_to_proto(values: tuple[sm.Shadow, ...]) -> list[pb.MapShadow]:
    return [pb.MapShadow(rule_id=one.rule_id, taken_by=one.taken_by) for one in values]


def _shadows_from_proto(messages: object) -> tuple[sm.Shadow, ...]:
    return tuple(sm.Shadow(one.rule_id, one.taken_by) for one in messages)  # type: ignore[attr-defined]


_RULE_TEXTS = (
    "pattern", "stage", "component", "action", "action_kind", "source", "example",
    "counter_example",
)  # fmt: skip
_DERIVATION_COUNTS = ("version", "examined", "derived", "steps", "total_steps", "days_settled")
"""Fields that are the same on both sides."""
