"""CityHash128 as ClickHouse uses it (version 1.0.2): the checksum of its compressed frames.

The algorithm is Google's (Pike and Alakuijala, 2011); later versions of it give other values, which
is why no general library has it. Plain Python: a fortieth of a second per megabyte of
*compressed* data, which telemetry is a tenth of.
"""

# The sizes are those of the words the algorithm reads.
# ruff: noqa: PLR2004

from __future__ import annotations

import struct
from typing import Final

_MASK: Final = (1 << 64) - 1
_K0: Final = 0xC3A5C85C97CB3127
_K1: Final = 0xB492B66FBE98F273
_K2: Final = 0x9AE16A3B2F90404F
_K3: Final = 0xC949D7C7509E6557
_MULTIPLIER: Final = 0x9DDFEA08EB382D69

_WORD = struct.Struct("<Q")
_CHUNK = struct.Struct("<8Q")
_CHUNK_BYTES: Final = 128
"""The main loop takes two chunks of 64 bytes at a time."""

_State = tuple[int, int, int, int, int, int, int]
"""x, y, z, v and w of the reference, the last two of two words each."""


def city_hash_128(data: bytes) -> bytes:
    """Return the hash as it stands in a frame: 16 bytes, the low half first."""
    length = len(data)
    if length >= 16:
        low, high = _hash(data[16:], _word(data, 0) ^ _K3, _word(data, 8))
    elif length >= 8:
        low, high = _hash(
            b"", _word(data, 0) ^ (length * _K0 & _MASK), _word(data, length - 8) ^ _K1
        )
    else:
        low, high = _hash(data, _K0, _K1)
    return _WORD.pack(low) + _WORD.pack(high)


def _hash(data: bytes, low: int, high: int) -> tuple[int, int]:
    if len(data) < _CHUNK_BYTES:
        return _short(data, low, high)
    length = len(data)
    x, y, z = low, high, length * _K1 & _MASK
    v0 = _rotate(y ^ _K1, 49) * _K1 + _word(data, 0) & _MASK
    v1 = _rotate(v0, 42) * _K1 + _word(data, 8) & _MASK
    w0 = _rotate(y + z & _MASK, 35) * _K1 + x & _MASK
    w1 = _rotate(x + _word(data, 88) & _MASK, 53) * _K1 & _MASK
    whole = length // _CHUNK_BYTES * _CHUNK_BYTES
    x, y, z, v0, v1, w0, w1 = _chunks(data[:whole], (x, y, z, v0, v1, w0, w1))
    y = y + _rotate(w0, 37) * _K0 + z & _MASK
    x = x + _rotate(v0 + z & _MASK, 49) * _K0 & _MASK
    # What is left is hashed in steps of 32 bytes from the end, the last one overlapping.
    for done in range(32, length - whole + 32, 32):
        start = length - done
        y = _rotate(y - x & _MASK, 42) * _K0 + v1 & _MASK
        w0 = w0 + _word(data, start + 16) & _MASK
        x = _rotate(x, 49) * _K0 + w0 & _MASK
        w0 = w0 + v0 & _MASK
        v0, v1 = _weak(struct.unpack_from("<4Q", data, start), v0, v1)
    x, y = _mix(x, v0), _mix(y, w0)
    return (
        _mix(x + v1 & _MASK, w1) + y & _MASK,
        _mix(x + w1 & _MASK, y + v1 & _MASK),
    )


def _chunks(data: bytes, state: _State) -> _State:
    """Run the main loop; written out flat because it sees every byte."""
    mask, k1 = _MASK, _K1
    x, y, z, v0, v1, w0, w1 = state
    for d0, d1, d2, d3, d4, d5, d6, d7 in _CHUNK.iter_unpack(data):
        t = x + y + v0 + d2 & mask
        x = ((t >> 37 | t << 27) & mask) * k1 & mask ^ w1
        t = y + v1 + d6 & mask
        y = ((t >> 42 | t << 22) & mask) * k1 & mask ^ v0
        t = z ^ w0
        z = (t >> 33 | t << 31) & mask
        a = v1 * k1 + d0 & mask
        b = x + w0 + a + d3 & mask
        c = a
        a = a + d1 + d2 & mask
        b = (b >> 21 | b << 43) + (a >> 44 | a << 20 & mask)
        v0, v1 = a + d3 & mask, (b & mask) + c & mask
        a = z + w1 + d4 & mask
        b = y + a + d7 & mask
        c = a
        a = a + d5 + d6 & mask
        b = (b >> 21 | b << 43) + (a >> 44 | a << 20 & mask)
        w0, w1 = a + d7 & mask, (b & mask) + c & mask
        z, x = x, z
    return x, y, z, v0, v1, w0, w1


def _short(data: bytes, low: int, high: int) -> tuple[int, int]:
    """Hash fewer than 128 bytes (after Murmur)."""
    a, b, length = low, high, len(data)
    if length <= 16:
        a = _shift_mix(a * _K1 & _MASK) * _K1 & _MASK
        c = b * _K1 + _tiny(data) & _MASK
        d = _shift_mix(a + (_word(data, 0) if length >= 8 else c) & _MASK)
    else:
        c = _mix(_word(data, length - 8) + _K1 & _MASK, a)
        d = _mix(b + length & _MASK, c + _word(data, length - 16) & _MASK)
        a = a + d & _MASK
        for start in range(0, length - 16, 16):
            a = (a ^ _shift_mix(_word(data, start) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            b ^= a
            c = (c ^ _shift_mix(_word(data, start + 8) * _K1 & _MASK) * _K1 & _MASK) * _K1 & _MASK
            d ^= c
    a, b = _mix(a, c), _mix(d, b)
    return a ^ b, _mix(b, a)


def _tiny(data: bytes) -> int:
    """Hash up to 16 bytes."""
    length = len(data)
    if length > 8:
        first, last = _word(data, 0), _word(data, length - 8)
        return _mix(first, _rotate(last + length & _MASK, length)) ^ last
    if length >= 4:
        first, last = (
            struct.unpack_from("<I", data)[0],
            struct.unpack_from("<I", data, length - 4)[0],
        )
        return _mix(length + (first << 3) & _MASK, last)
    if length > 0:
        y = data[0] + (data[length >> 1] << 8)
        z = length + (data[-1] << 2)
        return _shift_mix((y * _K2 ^ z * _K3) & _MASK) * _K2 & _MASK
    return _K2


def _weak(words: tuple[int, ...], a: int, b: int) -> tuple[int, int]:
    w, x, y, z = words
    a = a + w & _MASK
    b = _rotate(b + a + z & _MASK, 21)
    c = a
    a = a + x + y & _MASK
    b = b + _rotate(a, 44) & _MASK
    return a + z & _MASK, b + c & _MASK


def _mix(u: int, v: int) -> int:
    a = (u ^ v) * _MULTIPLIER & _MASK
    a ^= a >> 47
    b = (v ^ a) * _MULTIPLIER & _MASK
    b ^= b >> 47
    return b * _MULTIPLIER & _MASK


def _word(data: bytes, offset: int) -> int:
    return int(_WORD.unpack_from(data, offset)[0])


def _rotate(value: int, bits: int) -> int:
    return (value >> bits | value << 64 - bits) & _MASK


def _shift_mix(value: int) -> int:
    return value ^ value >> 47
