"""The pieces of the HTTP side that need no server."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import Headers

from analyzer_service.hosts import host_name
from analyzer_service.ingest.http_access import Access
from analyzer_service.ingest.http_body import (
    BodyTooLargeError,
    UnsupportedEncodingError,
    inflate,
    read_body,
)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:4318", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:4318", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
    ],
)
def test_host_name(header, name):
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "origin", "let_in"),
    [
        ("localhost:4318", None, True),
        ("localhost.evil.org", None, False),
        ("", None, False),
        ("localhost", "https://hub", True),
        ("localhost", "https://hub.evil", False),
        ("localhost", "null", False),
        ("localhost", "http://localhost:4318", False),
    ],
)
def test_who_is_let_in(host, origin, let_in):
    access = Access(("localhost",), ("https://hub",))
    headers = Headers({"host": host} | ({} if origin is None else {"origin": origin}))
    assert (access.refusal(headers) == "") is let_in


def test_a_star_lets_in_any():
    access = Access(("*",), ("*",))
    assert access.refusal(Headers({"host": "a.b", "origin": "https://x"})) == ""


def test_inflate():
    text = b"telemetry " * 50
    assert inflate(text, "", 10) == text
    assert inflate(text, "identity", 10) == text
    assert inflate(gzip.compress(text), "gzip", 500) == text
    assert inflate(zlib.compress(text), "deflate", 500) == text
    two_members = gzip.compress(text[:100]) + gzip.compress(text[100:])
    assert inflate(two_members, "gzip", 500) == text
    assert inflate(b"", "gzip", 500) == b""


@pytest.mark.parametrize("body", [gzip.compress(bytes(501)), gzip.compress(bytes(251)) * 2])
def test_a_bomb_is_not_inflated(body):
    with pytest.raises(BodyTooLargeError, match="500 bytes"):
        inflate(body, "gzip", 500)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"x", "gzip"), (gzip.compress(b"x" * 99)[:-1], "gzip"), (b"x", "br"), (b"x", "deflate")],
)
def test_what_is_not_compressed_so(body, encoding):
    with pytest.raises(UnsupportedEncodingError):
        inflate(body, encoding, 500)


def test_a_body_in_chunks():
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"12"

    assert asyncio.run(read_body(chunks(), 10)) == b"1212121212"
    with pytest.raises(BodyTooLargeError, match="9 bytes"):
        asyncio.run(read_body(chunks(), 9))
