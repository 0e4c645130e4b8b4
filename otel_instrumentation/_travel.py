"""Whom the work is for, told to other processes: as baggage, and to hosts of the platform only.

Baggage goes out with every request, to whoever is called. Here the last moment is used, in
which an instrumentation puts the context into the headers of a request: what is carried is put
in for hosts inside, and taken out for all others. The host is what the client's span says about
itself. Only the pseudonym, the session, the team and the stage travel, and only where there is a
pseudonym; never a name.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Span, SpanKind

from otel_instrumentation import _carried, _guard, _settings

INSIDE_SUFFIXES: Final = (".local", ".internal", ".intranet", ".lan", ".localhost", ".svc")
"""Ends of host names that the public name service does not know: they are inside a network."""

_ADDRESS_ATTRIBUTES: Final = ("server.address", "net.peer.name", "net.peer.ip", "http.host")
_URL_ATTRIBUTES: Final = ("url.full", "http.url")


class TrustedHostsPropagator(TextMapPropagator):
    """Wraps the process's propagator; reading what others sent is left to it.

    Args:
        inner: The propagator that was in force.
    """

    def __init__(self, inner: TextMapPropagator) -> None:
        self.inner = inner

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Reads what a caller sent."""
        return self.inner.extract(carrier, context, getter=getter)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Writes what a host may know."""
        self.inner.inject(carrier, _context_for_callee(context), setter=setter)

    @property
    def fields(self) -> set[str]:
        """The headers the wrapped propagator writes."""
        return self.inner.fields


def install() -> None:
    """Puts the propagator in force, around the one that is."""
    present = propagate.get_global_textmap()
    if not isinstance(present, TrustedHostsPropagator):
        propagate.set_global_textmap(TrustedHostsPropagator(present))


def is_trusted(host: str) -> bool:
    """Says whether a host may learn whom the work is for.

    Inside are addresses that are private or loopback, names without a dot, and names under
    :data:`INSIDE_SUFFIXES`; others are named by ``OTEL_MLP_TRUSTED_HOSTS``.
    """
    host = host.lower().rstrip(".")
    if any(fnmatch.fnmatchcase(host, pattern) for pattern in _settings.current().trusted_hosts):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host or host.endswith(INSIDE_SUFFIXES)
    return address.is_private or address.is_loopback or address.is_link_local


def _context_for_callee(context: Context | None) -> Context:
    context = otel_context.get_current() if context is None else context
    try:
        return _carried.outgoing(context, trusted=_callee_is_trusted(context))
    except Exception as error:
        _guard.swallow("baggage", error)
        # Rather nothing than too much.
        return _carried.without_baggage(context)


def _callee_is_trusted(context: Context) -> bool:
    span = trace.get_current_span(context)
    if not span.is_recording():
        # A span that was sampled away does not say whom it calls. Outside of spans, and while
        # passing on what came in, it is the program itself that asks.
        made_here = span.get_span_context()
        return not made_here.is_valid or made_here.is_remote
    if getattr(span, "kind", None) is not SpanKind.CLIENT:
        return True
    host = _host_of(span)
    # Clients that do not say whom they call are those of databases, brokers and gRPC.
    return host is None or is_trusted(host)


def _host_of(span: Span) -> str | None:
    attributes: Any = getattr(span, "attributes", None) or {}
    for name in _URL_ATTRIBUTES:
        if isinstance(url := attributes.get(name), str) and (host := urlsplit(url).hostname):
            return host
    for name in _ADDRESS_ATTRIBUTES:
        if isinstance(address := attributes.get(name), str) and address:
            return urlsplit(f"//{address}").hostname if address.count(":") == 1 else address
    return None
