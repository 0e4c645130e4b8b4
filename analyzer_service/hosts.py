"""Which names a request over HTTP may call this service by.

A web page whose own name is made to resolve to a loopback address reaches the service as if it were
its own site; its Host header still carries that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ANY: Final = "*"
"""Lets in any name."""


def is_known_host(header: str, hosts: Sequence[str]) -> bool:
    """Say whether a Host header, with or without port, names one of the hosts."""
    return ANY in hosts or host_name(header) in {name.lower() for name in hosts}


def host_name(header: str) -> str:
    """Return a Host header's name without its port, in lower case."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdigit() else header).lower()
