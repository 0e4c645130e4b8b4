"""What the composition root decides about the receiver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from otel_instrumentation import semconv

DEFAULT_GRPC_ADDRESS: Final = "127.0.0.1:4317"
DEFAULT_HTTP_ADDRESS: Final = "127.0.0.1:4318"
"""OTLP's own ports, on loopback: ingest has no authentication (design.md section 7)."""

DEFAULT_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Some 40,000 spans of ten attributes. SDKs send 512 records at a time and Collectors 8,192; larger
bodies would make every other sender wait for one decoder."""

DEFAULT_ALLOWED_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a request may ask; a page that rebinds its own name to loopback has another."""


@dataclass(frozen=True)
class IngestSettings:
    """Settings of the receiver.

    Attributes:
        grpc_address: ``host:port`` of OTLP/gRPC; port 0 takes a free one.
        http_address: ``host:port`` of OTLP/HTTP; port 0 takes a free one.
        salt: The operator's secret from which pseudonyms are derived.
        identity_headers: Captured request headers that name the user, without the
            ``http.request.header.`` under which instrumentations record them.
        max_body_bytes: Largest request, after decompression.
        allowed_hosts: Names that a Host header may carry, without port; ``*`` allows any.
        cors_origins: Origins whose pages may send, such as ``https://hub.example.org``.
    """

    grpc_address: str = DEFAULT_GRPC_ADDRESS
    http_address: str = DEFAULT_HTTP_ADDRESS
    salt: str = field(default="", repr=False)
    identity_headers: tuple[str, ...] = semconv.IDENTITY_HEADERS
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    allowed_hosts: tuple[str, ...] = DEFAULT_ALLOWED_HOSTS
    cors_origins: tuple[str, ...] = ()
