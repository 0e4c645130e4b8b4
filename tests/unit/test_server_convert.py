from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service import accounts, domain
from analyzer_service.api.v1 import analyzer_pb2 as pb
from analyzer_service.errors import InvalidInputError
from analyzer_service.server import convert, wire

TIMES = st.integers(-(2**31) * 10**6, 2**33 * 10**6).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
COUNTS = st.integers(0, 2**53)
NANOSECONDS = st.integers(0, 10**16)
SECONDS = NANOSECONDS.map(lambda value: value / 10**9)
NUMBERS = st.floats(allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FEATURES = st.dictionaries(TEXT, NUMBERS, max_size=4)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, NUMBERS)
st.register_type_strategy(datetime, TIMES)

ANALYSES = st.builds(
    domain.Analysis,
    window=st.none() | st.builds(domain.Window),
    known_at=st.none() | TIMES,
    rated=COUNTS,
    unrated=COUNTS,
    segment_sizes=st.dictionaries(st.sampled_from(domain.Segment), COUNTS),
    challenges=COUNTS,
)
REQUESTS = st.builds(
    domain.AnalysisRequest,
    rule_set=TEXT.filter(bool),
    preset=TEXT.filter(bool),
    rule_set_yaml=TEXT,
    window_start=st.none() | TIMES,
    window_end=st.none() | TIMES,
)
CHALLENGES = st.builds(
    domain.Challenge,
    rank=st.integers(0, 2**31 - 1),
    users_affected=COUNTS,
    time_lost_seconds=SECONDS,
    evidence=st.dictionaries(TEXT, JSON, max_size=4),
    example_trace_ids=st.lists(TEXT, max_size=3).map(tuple),
)
SIGNALS = st.builds(domain.ChallengeSignal, duration_ns=NANOSECONDS)
USERS = st.builds(
    domain.UserReport,
    segment=st.builds(domain.UserSegment, features=FEATURES),
    bottlenecks=st.lists(
        st.builds(domain.Bottleneck, rank=st.integers(0, 2**31 - 1), time_lost_seconds=SECONDS),
        max_size=3,
    ).map(tuple),
)
SEGMENTS = st.builds(domain.SegmentSummary, rank=st.integers(0, 9), users=COUNTS, centroid=FEATURES)
SOURCES = st.builds(
    accounts.SourceStatus,
    service_name=TEXT,
    rejected_by_reason=st.dictionaries(TEXT, COUNTS, max_size=2),
    **{
        item.name: COUNTS
        for item in fields(accounts.SourceStatus)
        if item.name not in {"source", "service_name", "rejected_by_reason"}
    },
)
STATUSES = st.builds(
    domain.StoreStatus,
    schema_version=COUNTS,
    sources=st.lists(SOURCES, max_size=2).map(tuple),
    services=st.lists(SOURCES, max_size=2).map(tuple),
    path=st.lists(st.builds(accounts.PathStatus, records=COUNTS), max_size=2).map(tuple),
    turned_away=st.lists(
        st.builds(accounts.TurnedAwayStatus, requests=COUNTS, records=COUNTS), max_size=2
    ).map(tuple),
    rejected_by_reason=st.dictionaries(TEXT, COUNTS, max_size=3),
    watermark=st.none() | TIMES,
    last_analysis=st.none() | ANALYSES,
    **dict.fromkeys(
        (
            "settled_days",
            "attempts",
            "failures",
            "propagated",
            "without_user",
            "unmapped",
            "unknown_stage",
            "users",
        ),
        COUNTS,
    ),
)


def over_the_wire(message: Message) -> Any:
    copy = type(message)()
    copy.ParseFromString(message.SerializeToString())
    return copy


@given(ANALYSES)
def test_analysis_survives(value: domain.Analysis) -> None:
    assert convert.analysis_from_proto(over_the_wire(convert.analysis_to_proto(value))) == value


@given(REQUESTS)
def test_request_survives(value: domain.AnalysisRequest) -> None:
    message = over_the_wire(convert.analysis_request_to_proto(value))
    assert convert.analysis_request_from_proto(message, domain.AnalysisRequest()) == value


@given(CHALLENGES)
def test_challenge_survives(value: domain.Challenge) -> None:
    assert convert.challenge_from_proto(over_the_wire(convert.challenge_to_proto(value))) == value


@given(SIGNALS)
def test_signal_survives(value: domain.ChallengeSignal) -> None:
    message = over_the_wire(convert.challenge_signal_to_proto(value))
    assert convert.challenge_signal_from_proto(message) == value


@given(USERS)
def test_user_survives(value: domain.UserReport) -> None:
    message = over_the_wire(convert.user_report_to_proto(value))
    assert convert.user_report_from_proto(message) == value


@given(SEGMENTS)
def test_segment_survives(value: domain.SegmentSummary) -> None:
    message = over_the_wire(convert.segment_summary_to_proto(value))
    assert convert.segment_summary_from_proto(message) == value


@given(STATUSES)
def test_status_survives(value: domain.StoreStatus) -> None:
    assert convert.status_from_proto(over_the_wire(convert.status_to_proto(value))) == value


def test_an_open_request_takes_the_defaults() -> None:
    defaults = domain.AnalysisRequest(rule_set="paper", preset="paper")
    assert convert.analysis_request_from_proto(pb.RunAnalysisRequest(), defaults) == defaults


@pytest.mark.parametrize("kind", list(wire._ENUMS))
def test_every_member_of_an_enum_has_a_number_and_back(kind: Any) -> None:
    wrapper, prefix = wire._ENUMS[kind]
    numbers = [wire.enum_to_proto(member, kind) for member in kind]
    assert [wire.enum_filter(kind, number, "f") for number in numbers] == list(kind)
    assert sorted([0, *numbers]) == sorted(wrapper.values())
    assert wire.enum_filter(kind, 0, "f") is None
    assert all(name.startswith(prefix) for name in wrapper.keys())  # noqa: SIM118


def test_a_number_of_no_enum_is_refused_with_the_field() -> None:
    with pytest.raises(InvalidInputError, match="kind has no value 99") as caught:
        wire.enum_filter(domain.ChallengeKind, 99, "kind")
    assert caught.value.field == "kind"


def test_an_instant_beyond_the_calendar_is_refused_with_the_field() -> None:
    message = pb.RunAnalysisRequest()
    message.window_end_time.seconds = 10**15
    with pytest.raises(InvalidInputError) as caught:
        convert.analysis_request_from_proto(message, domain.AnalysisRequest())
    assert caught.value.field == "window_end_time"
