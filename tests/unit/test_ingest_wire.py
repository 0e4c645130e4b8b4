"""The reader of protobuf's wire format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.ingest import wire


def test_fields_come_in_order_with_unknown_ones():
    message = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x19" + bytes(range(8)) + b"\x25\x01\x02\x03\x04"
    assert wire.split(message) == [
        (wire.tag(1, wire.VARINT), 150),
        (wire.tag(2, wire.LENGTH_DELIMITED), b"hi"),
        (wire.tag(3, wire.FIXED64), bytes(range(8))),
        (wire.tag(4, wire.FIXED32), b"\x01\x02\x03\x04"),
    ]


def test_numbers_of_two_byte_tags():
    assert wire.split(b"\x85\x01\x01\x02\x03\x04") == [
        (wire.tag(16, wire.FIXED32), b"\x01\x02\x03\x04")
    ]


@pytest.mark.parametrize("message", [b"\x0a", b"\x08", b"\x88", b"\x08\x80", b"\x0a\x80"])
def test_a_message_that_ends_in_a_number_is_broken(message):
    with pytest.raises(wire.WireError, match="ends inside a field"):
        wire.split(message)


@pytest.mark.parametrize("message", [b"\x0a\x05abc", b"\x19\x01", b"\x25\x01"])
def test_a_message_that_ends_in_a_value_keeps_what_there_is(message):
    with pytest.raises(wire.WireError) as caught:
        wire.split(b"\x08\x01" + message)
    assert caught.value.fields == [(8, 1)]
    assert caught.value.cut is not None
    assert caught.value.cut[0] == message[0]
    assert message.endswith(caught.value.cut[1])


@pytest.mark.parametrize("kind", [3, 4, 6, 7])
def test_groups_and_unknown_kinds_are_broken(kind):
    with pytest.raises(wire.WireError, match=f"kind {kind}"):
        wire.split(bytes((8 | kind,)) + b"\x01")


def test_a_number_that_does_not_end_is_broken():
    with pytest.raises(wire.WireError, match="64 bits"):
        wire.split(b"\x08" + b"\xff" * 11)


@given(st.integers(0, wire.UINT64_MASK))
def test_varint_round_trip(number):
    encoded = wire.varint(number)
    assert wire.read_varint(encoded, 0) == (number, len(encoded))


@given(st.binary(max_size=200))
def test_any_bytes_are_split_or_refused(message):
    try:
        fields = wire.split(message)
    except wire.WireError as broken:
        fields = broken.fields
    assert all(isinstance(key, int) for key, _ in fields)
