"""Where an OTLP receiver is, and a channel to it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import grpc

from analyzer_service.errors import InvalidInputError

DEFAULT_PORT: Final = 4317
"""The registered port of OTLP over gRPC."""

KEEPALIVE_MILLISECONDS: Final = 30_000
"""A connection that died without a word is noticed within this time; servers allow no less."""

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""Answers are short; more than this is no OTLP receiver."""

RECONNECT_MILLISECONDS: Final = 2_000
"""gRPC would wait up to two minutes between attempts; a restarted receiver is back sooner."""

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_MILLISECONDS // 3),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MILLISECONDS // 10),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MILLISECONDS),
    # Retrying is the sender's business; it counts and it knows when to give up.
    ("grpc.enable_retries", 0),
    # Two senders of one process must not share one connection's fate.
    ("grpc.use_local_subchannel_pool", 1),
)


def parse_endpoint(endpoint: str) -> tuple[str, bool]:
    """Return ``host:port`` and whether to use TLS.

    Raises:
        InvalidInputError: It is not HOST:PORT, http://HOST:PORT or https://HOST:PORT.
    """
    text = endpoint.strip()
    try:
        address = urlsplit(text if "://" in text else f"http://{text}")
        host, port = address.hostname, address.port
    except ValueError:  # a port that is no number, or an unfinished IPv6 address
        address, host, port = urlsplit(""), None, None
    plain = not (address.path.strip("/") or address.query or address.fragment or address.username)
    if not host or port == 0 or not plain or address.scheme not in {"http", "https"}:
        raise InvalidInputError(
            f"{endpoint!r} is not the address of an OTLP receiver.",
            hint="Write HOST:PORT, http://HOST:PORT or https://HOST:PORT, e.g. 127.0.0.1:4317.",
            field="endpoint",
        )
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port or DEFAULT_PORT}", address.scheme == "https"


def open_channel(endpoint: str) -> grpc.Channel:
    """Open a channel; it connects when first used.

    Raises:
        InvalidInputError: The endpoint cannot be understood.
    """
    target, secure = parse_endpoint(endpoint)
    if secure:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
    return grpc.insecure_channel(target, options=_OPTIONS)
