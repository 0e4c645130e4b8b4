"""What the endpoint needs to know to start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from analyzer_service.store.gate import QueryLimits

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
"""Names a client on the same machine calls the endpoint by."""

Authenticate = Callable[[str, str], str | None]
"""Turns a user name and a password into ``reader``, ``writer`` or ``operator``, or None."""

READER, WRITER, OPERATOR = "reader", "writer", "operator"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where the endpoint listens and what it lets through."""

    address: str = "127.0.0.1:8123"
    """host:port; port 0 takes any free one. 8123 is ClickHouse's own."""
    allowed_hosts: Sequence[str] = LOCAL_HOSTS
    """Names the Host header may have, without port; ``*`` is any."""
    limits: QueryLimits = field(default_factory=QueryLimits)
    """Of one query."""
    max_body_bytes: int = 256 * 1024 * 1024
    """Of one request after decompression: four of an exporter's largest usual batches (65,536 spans
    of a kilobyte)."""
    max_insert_bytes: int = 1024 * 1024 * 1024
    """Of one INSERT of a writer after decompression, one such at a time. An exporter repeats the
    attributes of a resource in every row: a request of a megabyte can become hundreds."""
    engine_threads: int | None = None
    """Threads one query may use; None leaves it to the engine."""
