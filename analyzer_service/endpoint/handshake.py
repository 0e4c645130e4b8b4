"""What clients ask before their first real query, answered as they need it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from analyzer_service.endpoint.options import INSERT_SETTINGS, QUERY_SETTINGS

SERVER_NAME: Final = "mlp-analyzer"

HELLO: Final = "SELECT displayName(), version(), revision(), timezone()"
"""clickhouse-go's first query on every connection, as the engine writes it."""

KNOWN_QUERIES: Final = {
    # clickhouse-connect looks up which settings it may send.
    "SELECT name, value, readonly FROM system.settings LIMIT 10000": (
        "SELECT name, value, toUInt8(0) AS readonly FROM system.settings WHERE name IN ("
        + ", ".join(f"'{name}'" for name in sorted(QUERY_SETTINGS | INSERT_SETTINGS))
        + ", 'enable_http_compression')"
    ),
    # ClickHouse's JDBC driver.
    "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1": (
        "SELECT 'default' AS user, timezone() AS timezone, version() AS version"
    ),
    # Schema browsers: there is one database.
    "SHOW DATABASES": "SELECT currentDatabase() AS name",
    "SELECT name FROM system.databases": "SELECT currentDatabase() AS name",
    "SELECT name FROM system.databases ORDER BY name": "SELECT currentDatabase() AS name",
    "SELECT name FROM system.databases ORDER BY name ASC": "SELECT currentDatabase() AS name",
}
"""Queries the gate would refuse, by the engine's own writing of them, and what answers them."""

BLOCK_INFO_REVISION: Final = 51903
"""From this revision on a block begins with its BlockInfo."""

SERIALIZATION_REVISION: Final = 54454
"""From this revision on each column says whether its serialization is a custom one."""

_SEVEN_BITS: Final = 0x7F
"""What one byte of a varint holds."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No overflow rows; the bucket is minus one, which is none."""


def hello_block(version: str, revision: int) -> bytes:
    """Return the answer to ``HELLO`` as one Native block for a client's protocol revision.

    The revision it names is 0: clickhouse-go reads everything after this block by that one, and
    for 0 the engine's plain Native needs no change.
    """
    columns = [
        ("displayName()", "String", _string(SERVER_NAME)),
        ("version()", "String", _string(version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", _string("UTC")),
    ]
    return native_block(columns, rows=1, revision=revision)


def native_block(columns: Sequence[tuple[str, str, bytes]], *, rows: int, revision: int) -> bytes:
    """Return a Native block of columns: name, type, encoded values."""
    block = bytearray(_BLOCK_INFO if revision >= BLOCK_INFO_REVISION else b"")
    block += _varint(len(columns)) + _varint(rows)
    for name, kind, values in columns:
        block += _string(name) + _string(kind)
        if revision >= SERIALIZATION_REVISION:
            block += b"\x00"
        block += values
    return bytes(block)


def _string(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > _SEVEN_BITS:
        encoded.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    return bytes(encoded + bytes([value]))
