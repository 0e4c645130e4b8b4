"""Reading protobuf's wire format field by field, so that one broken record costs one record.

The generated classes decode a request whole or not at all: one string that is not UTF-8 anywhere
in it loses everything. Here each message is cut into its fields, one level at a time; what is
broken inside a record stays inside it. It is also the faster way into rows, because most bytes
(times, names, attribute values) go to the store as they came (docs/adr/0003-ingest.md).
"""

from __future__ import annotations

from typing import Any, Final

VARINT: Final = 0
FIXED64: Final = 1
LENGTH_DELIMITED: Final = 2
FIXED32: Final = 5

SINGLE_BYTE: Final = 0x80
"""Varints below this are one byte long."""

VARINT_BYTES: Final = 10
"""A varint of 64 bits is never longer."""

UINT64_MASK: Final = (1 << 64) - 1

Field = tuple[int, Any]
"""A field's tag (number and wire type) and its value: an int for varints, bytes for all others.

Who asks for a tag therefore knows the type; a field sent with another wire type has another tag
and is ignored like any unknown field, as protobuf says.
"""


class WireError(ValueError):
    """The bytes are not a protobuf message.

    Attributes:
        fields: What was read before the fault.
        cut: The field in which the message ended too early, as far as it went.
    """

    def __init__(self, message: str, fields: list[Field], cut: Field | None = None) -> None:
        """Keep what was readable beside the message."""
        super().__init__(message)
        self.fields = fields
        self.cut = cut


def tag(number: int, wire_type: int) -> int:
    """Return the tag under which a field stands on the wire."""
    return number << 3 | wire_type


def split(message: bytes) -> list[Field]:
    """Cut a message into its fields, in their order, unknown ones included.

    Raises:
        WireError: The message ends inside a field, or holds what is no field.
    """
    fields: list[Field] = []
    append = fields.append
    position, end = 0, len(message)
    try:
        while position < end:
            key = message[position]
            position += 1
            if key >= SINGLE_BYTE:
                key, position = read_varint(message, position - 1)
            kind = key & 7
            if kind == LENGTH_DELIMITED:
                size = message[position]
                position += 1
                if size >= SINGLE_BYTE:
                    size, position = read_varint(message, position - 1)
                append((key, message[position : position + size]))
                position += size
            elif kind == VARINT:
                value, position = read_varint(message, position)
                append((key, value))
            else:
                size = _fixed_size(key, fields)
                append((key, message[position : position + size]))
                position += size
    except IndexError:
        raise WireError("it ends inside a field", fields) from None
    except _VarintError:
        raise WireError("it holds a number of more than 64 bits", fields) from None
    if position != end:
        raise WireError("it ends inside a field", fields[:-1], fields[-1])
    return fields


def _fixed_size(key: int, fields: list[Field]) -> int:
    if key & 7 == FIXED64:
        return 8
    if key & 7 == FIXED32:
        return 4
    raise WireError(f"it holds a field of unknown kind {key & 7}", fields)


class _VarintError(ValueError):
    """A varint does not end."""


def read_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    value = message[position]
    position += 1
    if value < SINGLE_BYTE:
        return value, position
    value &= 0x7F
    for shift in range(7, 7 * VARINT_BYTES, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < SINGLE_BYTE:
            return value & UINT64_MASK, position
    raise _VarintError


def varint(value: int) -> bytes:
    """Return a number that is not negative in protobuf's (and RowBinary's) variable length."""
    if value < SINGLE_BYTE:
        return ONE_BYTE[value]
    encoded = bytearray()
    while value >= SINGLE_BYTE:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


ONE_BYTE: Final = tuple(bytes((value,)) for value in range(SINGLE_BYTE))
"""The varints of one byte, ready made."""
