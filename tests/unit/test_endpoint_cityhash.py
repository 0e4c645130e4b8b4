"""The checksum of compressed frames, against values of the reference implementation."""

from __future__ import annotations

import struct

import pytest

from analyzer_service.endpoint.cityhash import city_hash_128

# Lengths around every branch of the algorithm; from the Go implementation clickhouse-go uses.
EXPECTED = [
    (0, "3df09dfc64c09a2b3cb540c392e51e29"),
    (1, "910546f7921d0a08a56d00c83f8b9456"),
    (3, "e6e69b7e4d88c62c7a07cc18738d5ed9"),
    (4, "e66550703c41e6030088b4160b80e1b0"),
    (7, "24893d181b7aaadcbed4214a31475070"),
    (8, "44b6460a7be45c544b081b8765c05d74"),
    (9, "97d7faef820760851f39a6067a8de38b"),
    (15, "6235c01e7a899cce54834c9220ef990a"),
    (16, "1d0113fc50b8209c4e782348e6840746"),
    (17, "a4ca5fcebadcffc4102870b07c66da7e"),
    (24, "94eee3808d2716e91106baf526f979ba"),
    (31, "05623f11a9c4057e3e8a2ed02e4be9c8"),
    (32, "c9b15db43c1ee5b922c0714c7e166428"),
    (33, "5cc8db653019437681e62815aefc51fd"),
    (47, "0db35131ba618dded15128cd61eb9456"),
    (63, "f1670cb29b0d0ccab737e8c91f8eff96"),
    (64, "b687203bdad5d7513ee7c09103696ec4"),
    (100, "271bddeaaa9765318d05ab9eadcb85b1"),
    (127, "f7001b3faee898dd5294964d751468e6"),
    (128, "c516bc7bf817ad02828e88d1ffcc1606"),
    (143, "487172403c00d7e3c20ac614e38c917f"),
    (144, "17925ec9594fa52dd3069e5a907c380f"),
    (145, "afeaa32d226e9b5e25a42beb05af94be"),
    (150, "0fc67f4bac148e6494fcc6e70d592bfb"),
    (176, "a0b155d2c7663c7dfbfc6481188ac983"),
    (200, "d20e0f00108ed1f250bfc99a62a0716f"),
    (271, "1892310c538f47cd9538791e1cd2f878"),
    (272, "c0bdb6099004145a52f039c68c2f5b1a"),
    (300, "a461035d8f941f95019f2a56eb32261e"),
    (1000, "fb78ec390cc1e4f40bb6b50b6b630ecd"),
    (4096, "a78b80f9cbc4dd327b5c81555daecedf"),
    (65537, "8e083d5f085876d4973dab31ba535b30"),
]


def sample(length: int) -> bytes:
    return bytes(((i * i * 7 + i * 31 + 11) >> 2) & 0xFF for i in range(length))


@pytest.mark.parametrize(("length", "expected"), EXPECTED)
def test_values_of_the_reference(length: int, expected: str) -> None:
    low, high = struct.unpack("<QQ", city_hash_128(sample(length)))
    assert f"{low:016x}{high:016x}" == expected


def test_every_byte_counts() -> None:
    data = sample(300)
    hashes = {city_hash_128(data)}
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        hashes.add(city_hash_128(bytes(changed)))
    assert len(hashes) == len(data) + 1
