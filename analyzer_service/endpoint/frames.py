"""ClickHouse's own compression: blocks, each with a checksum, a method and two sizes.

It is what ``compress=1`` asks for and ``decompress=1`` announces. A block is 16 bytes of
CityHash128 over the rest; one byte of method; the compressed size with these nine bytes and the
plain size, four bytes each; the data.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from typing import Any, Final

from analyzer_service.endpoint.cityhash import city_hash_128
from analyzer_service.endpoint.encodings import zstd_decompress
from analyzer_service.endpoint.errors import EndpointError, TooLargeError

lz4_block: Any = importlib.import_module("lz4.block")
"""Comes with clickhouse-connect; it has no types."""

NONE, LZ4, ZSTD = 0x02, 0x82, 0x90

BLOCK_BYTES: Final = 1 << 20
"""Plain bytes of a block at most when writing; ClickHouse's own default."""

_HEAD = struct.Struct("<16sBII")
_CHECKSUM: Final = 16
_SIZES: Final = 9
"""Bytes of method and sizes, which the compressed size counts."""


def compress_frames(data: bytes) -> bytes:
    """Return data as LZ4 blocks."""
    return b"".join(_block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))


def decompress_frames(data: bytes, limit: int) -> bytes:
    """Return the data of a sequence of blocks.

    Raises:
        EndpointError: a block is damaged or cut off, its method unknown, or all is above the limit.
    """
    # The sizes stand in the heads: what is too large is not decompressed to find that out.
    if sum(size for _, _, size, _, _ in _heads(data)) > limit:
        raise TooLargeError(limit)
    plain = bytearray()
    for method, size, packed in _blocks(data):
        plain += _plain(method, size, packed)
    return bytes(plain)


def _block(data: bytes) -> bytes:
    packed: bytes = lz4_block.compress(data, store_size=False)
    rest = struct.pack("<BII", LZ4, len(packed) + _SIZES, len(data)) + packed
    return city_hash_128(rest) + rest


def _heads(data: bytes) -> Iterator[tuple[bytes, int, int, int, int]]:
    """Yield each block's checksum, method, plain size, and where the rest begins and ends."""
    end = 0
    while end < len(data):
        if len(data) - end < _HEAD.size:
            raise EndpointError("CANNOT_DECOMPRESS", "A compressed block is cut off")
        checksum, method, packed_size, size = _HEAD.unpack_from(data, end)
        start, end = end + _CHECKSUM, end + _CHECKSUM + packed_size
        if packed_size < _SIZES or end > len(data):
            raise EndpointError("CANNOT_DECOMPRESS", "A compressed block is cut off")
        yield checksum, method, size, start, end


def _blocks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    for checksum, method, size, start, end in _heads(data):
        if city_hash_128(data[start:end]) != checksum:
            raise EndpointError(
                "CHECKSUM_DOESNT_MATCH", "The checksum of a compressed block does not match"
            )
        yield method, size, data[start + _SIZES : end]


def _plain(method: int, size: int, packed: bytes) -> bytes:
    plain: bytes
    try:
        if method == LZ4:
            plain = lz4_block.decompress(packed, uncompressed_size=size)
        elif method == ZSTD:
            plain = zstd_decompress(packed, size)
        elif method == NONE:
            plain = packed
        else:
            raise EndpointError(
                "UNKNOWN_COMPRESSION_METHOD", f"The compression method {method:#x} is not known"
            )
    except (lz4_block.LZ4BlockError, ValueError):
        plain = b""
    if len(plain) != size:
        raise EndpointError("CANNOT_DECOMPRESS", "A compressed block does not decompress")
    return plain
