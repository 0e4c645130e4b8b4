"""ClickHouse's RowBinary format: the few types of the raw tables, in and out.

A row is independent of its neighbours, so batches of many requests merge by joining bytes and a
refused batch falls apart by slicing a list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from analyzer_service.ingest import wire

EMPTY: Final = b"\x00"
"""The empty string, and the empty array or map."""


def string(value: bytes) -> bytes:
    """Encode a String."""
    size = len(value)
    if size < wire.SINGLE_BYTE:
        return wire.ONE_BYTE[size] + value
    return wire.varint(size) + value


def array(encoded: Sequence[bytes]) -> bytes:
    """Encode an Array of encoded elements; a Map is an Array of key-value pairs."""
    return wire.varint(len(encoded)) + b"".join(encoded)


class RowReader:
    """Reads one row back, to show people what could not be stored."""

    def __init__(self, row: bytes) -> None:
        self._row = row
        self._position = 0

    def record(self, columns: Iterable[tuple[str, str]]) -> Mapping[str, object]:
        """Return the row as values by column name, given (name, type) pairs in row order."""
        return {name: self._value(kind) for name, kind in columns}

    def _value(self, kind: str) -> object:
        if kind.startswith("array:"):
            return [self._value(kind.removeprefix("array:")) for _ in range(self._length())]
        if kind == "map":
            return {self._text(): self._text() for _ in range(self._length())}
        if kind == "string":
            return self._text()
        if kind == "float64":
            return float(struct.unpack("<d", self._take(8))[0])
        return self._number(INTEGER_BYTES[kind])

    def _length(self) -> int:
        value, self._position = wire.read_varint(self._row, self._position)
        return value

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8", "replace")

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _take(self, size: int) -> bytes:
        start = self._position
        self._position += size
        return self._row[start : self._position]


INTEGER_BYTES: Final = {"int64": 8, "uint64": 8, "int32": 4, "uint8": 1}
