"""Values of the signal map survive the way over the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service import signal_map as sm
from analyzer_service.server import convert_map as convert

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COUNTS = st.integers(0, 2**53)
TIMES = st.integers(-(2**31) * 10**6, 2**33 * 10**6).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
NUMBERS = st.lists(COUNTS, max_size=3).map(tuple)
SHADOWS = st.lists(st.builds(sm.Shadow, COUNTS, COUNTS), max_size=3).map(tuple)
NAMES = st.builds(sm.SignalName, TEXT, TEXT, TEXT)
RULES = st.builds(
    sm.MapRule, COUNTS, COUNTS, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT,
    st.sampled_from(sm.RuleOrigin),
)  # fmt: skip

WAYS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Message], Callable[[Any], Any]]] = {
    "rule": (RULES, convert.rule_to_proto, convert.rule_from_proto),
    "listing": (
        st.builds(sm.MapListing, COUNTS, st.lists(RULES, max_size=2).map(tuple), NUMBERS, SHADOWS),
        convert.listing_to_proto,
        convert.listing_from_proto,
    ),
    "verdict": (
        st.builds(sm.MapVerdict, NAMES, COUNTS, NUMBERS, TEXT, TEXT, TEXT, TEXT),
        convert.verdict_to_proto,
        convert.verdict_from_proto,
    ),
    "change": (
        st.builds(sm.MapChange, COUNTS, st.booleans(), NUMBERS, NUMBERS, NUMBERS, SHADOWS),
        convert.change_to_proto,
        convert.change_from_proto,
    ),
    "derivation": (
        st.builds(
            sm.Derivation, TIMES, TIMES, COUNTS, COUNTS, COUNTS,
            st.dictionaries(TEXT, COUNTS, max_size=3), COUNTS, COUNTS, COUNTS, st.booleans(),
        ),
        convert.derivation_to_proto,
        convert.derivation_from_proto,
    ),
    "unmapped": (
        st.builds(sm.UnmappedName, NAMES, TEXT, COUNTS, COUNTS, TIMES, TIMES),
        convert.unmapped_to_proto,
        convert.unmapped_from_proto,
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@given(data=st.data())
def test_there_and_back_is_the_same(way: tuple[Any, Any, Any], data: st.DataObject) -> None:
    strategy, to_proto, from_proto = way
    value = data.draw(strategy)
    message = to_proto(value)
    assert from_proto(type(message).FromString(message.SerializeToString())) == value
