"""Request bodies: read and inflated within limits."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable
from typing import Final

DRAINED_BYTES: Final = 128 * 1024 * 1024
"""How much of a body that is too large is read and thrown away, so that its sender reads the
answer instead of a broken connection."""

_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's parameter for each compression that is understood."""


class BodyTooLargeError(ValueError):
    """The body is above the limit."""

    @classmethod
    def above(cls, limit: int) -> BodyTooLargeError:
        """Return the error that names the limit in bytes and the cure."""
        return cls(
            f"the request is larger than the limit of {limit} bytes after decompression: "
            "send smaller batches"
        )


class UnsupportedEncodingError(ValueError):
    """The Content-Encoding is unknown, or the body is not in it."""


async def read_body(stream: AsyncIterable[bytes], limit: int) -> bytes:
    """Return a body of at most so many bytes.

    Raises:
        BodyTooLargeError: It is larger.
    """
    body = bytearray()
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > DRAINED_BYTES:
            break
        if size <= limit:
            body += chunk
        else:
            body.clear()
    if size > limit:
        raise BodyTooLargeError.above(limit)
    return bytes(body)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its compression, which may not grow it above the limit.

    Raises:
        BodyTooLargeError: It is larger than the limit.
        UnsupportedEncodingError: The compression is unknown, or the body is not compressed so.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncodingError("Content-Encoding must be gzip, deflate or none")
    inflated = bytearray()
    while body:
        # A gzip file may have several members, one after the other.
        decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            inflated += decoder.decompress(body, limit + 1 - len(inflated))
        except zlib.error as error:
            raise UnsupportedEncodingError(f"the body is not {encoding}: {error}") from None
        if len(inflated) > limit:
            raise BodyTooLargeError.above(limit)
        if not decoder.eof:
            raise UnsupportedEncodingError(f"the body is not {encoding}: it ends too early")
        body = decoder.unused_data
    return bytes(inflated)
