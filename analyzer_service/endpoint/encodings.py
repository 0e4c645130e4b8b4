"""HTTP's own compression, by Content-Encoding and Accept-Encoding."""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from analyzer_service.endpoint.errors import EndpointError, TooLargeError

zstd: Any = importlib.import_module(
    "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
)
"""The standard library's module, or its backport, which clickhouse-connect brings along."""

lz4_frame: Any = importlib.import_module("lz4.frame")
"""Comes with clickhouse-connect; it has no types."""

WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's parameter for the encodings it knows."""

ANSWERS: Final = ("zstd", "lz4", "gzip", "deflate")
"""Encodings an answer can have; which one is the client's choice."""

SPEED_LEVEL: Final = 1
"""Level of zlib: answers mostly stay on one machine, where time counts and bytes do not."""


class Encoder(Protocol):
    """Compresses a stream."""

    def compress(self, data: bytes, /) -> bytes:
        """Take more data; return what is ready."""

    def flush(self) -> bytes:
        """Return the rest."""


class _Lz4Encoder:
    """LZ4 frames, begun with the first data."""

    def __init__(self) -> None:
        self._compressor = lz4_frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes, /) -> bytes:
        head = b"" if self._begun else self._compressor.begin()
        self._begun = True
        return bytes(head + self._compressor.compress(data))

    def flush(self) -> bytes:
        head = b"" if self._begun else self._compressor.begin()
        return bytes(head + self._compressor.flush())


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "gzip": lambda: zlib.compressobj(SPEED_LEVEL, wbits=WINDOW_BITS["gzip"]),
    "deflate": lambda: zlib.compressobj(SPEED_LEVEL, wbits=WINDOW_BITS["deflate"]),
    "zstd": zstd.ZstdCompressor,
    "lz4": _Lz4Encoder,
}


def chosen_encoding(accept_encoding: str) -> str:
    """Return the first encoding a client names that answers can have, empty for none."""
    for item in accept_encoding.split(","):
        name, _, quality = item.strip().partition(";")
        refused = quality.replace(" ", "").startswith("q=0") and quality.strip("q=0. ") == ""
        if name.strip().lower() in ANSWERS and not refused:
            return name.strip().lower()
    return ""


def encoder(encoding: str) -> Encoder:
    """Return an encoder for one of ``ANSWERS``."""
    return _ENCODERS[encoding]()


def decode(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its Content-Encoding.

    Raises:
        EndpointError: the encoding is unknown, the body is not in it, or it is above the limit.
    """
    encoding = encoding.strip().lower()
    try:
        if encoding in ("", "identity"):
            return body
        if encoding in WINDOW_BITS:
            return _decoded(body, lambda: zlib.decompressobj(WINDOW_BITS[encoding]), limit)
        if encoding == "lz4":
            return _decoded(body, lz4_frame.LZ4FrameDecompressor, limit)
        if encoding == "zstd":
            return _decoded(body, zstd.ZstdDecompressor, limit)
    except (zlib.error, zstd.ZstdError, RuntimeError, EOFError):
        raise EndpointError("CANNOT_DECOMPRESS", f"The body is not {encoding}") from None
    raise EndpointError(
        "UNKNOWN_COMPRESSION_METHOD",
        f"Content-Encoding {encoding[:40]!r} is not known: send gzip, deflate, lz4, zstd or none",
    )


def zstd_decompress(data: bytes, limit: int) -> bytes:
    """Return one zstd frame's data.

    Raises:
        ValueError: it is damaged or longer than the limit.
    """
    try:
        return _decoded(data, zstd.ZstdDecompressor, limit)
    except (zstd.ZstdError, EOFError, EndpointError):
        raise ValueError("not zstd") from None


def _decoded(body: bytes, decoder: Callable[[], Any], limit: int) -> bytes:
    """Decompress all members of a body; each may be followed by another."""
    plain = bytearray()
    while body:
        member = decoder()
        plain += member.decompress(body, limit + 1 - len(plain))
        if len(plain) > limit:
            raise TooLargeError(limit)
        if not member.eof:
            raise EOFError
        body = member.unused_data or b""
    return bytes(plain)
