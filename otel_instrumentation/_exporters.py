"""Exporters named by OpenTelemetry's own environment variables.

Built only when ``configure()`` runs: importing the library loads neither gRPC nor protobuf.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from otel_instrumentation import _guard

DEFAULT_PROTOCOL: Final = "grpc"
"""As in OpenTelemetry's own Python distribution."""

_OTLP: Final = "otlp"
_NONE: Final = "none"
_BY_PROTOCOL: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}

TRACES: Final = "traces"
LOGS: Final = "logs"
METRICS: Final = "metrics"


class NamedExporter(NamedTuple):
    """An exporter the environment names.

    Attributes:
        name: ``otlp`` or the name it is registered under.
        build: Makes one; a forked process needs another than its parent.
    """

    name: str
    build: Callable[[], Any]

    @property
    def is_otlp(self) -> bool:
        """Whether it speaks OTLP over the network."""
        return self.name in {_OTLP, *_BY_PROTOCOL.values()}


def exporters(signal: str) -> list[NamedExporter]:
    """Finds the exporters of a signal.

    ``OTEL_<SIGNAL>_EXPORTER`` names them, comma-separated: ``otlp`` (the default), ``console``,
    ``none``, or any exporter that an installed package registers. One that cannot be loaded is
    named in a warning and left out.

    Args:
        signal: ``traces``, ``logs`` or ``metrics``.
    """
    names = _environment(f"OTEL_{signal.upper()}_EXPORTER") or _OTLP
    found = [_load(signal, name.strip().lower()) for name in names.split(",")]
    return [exporter for exporter in found if exporter is not None]


def of_class(signal: str, kind: type) -> NamedExporter:
    """Names an exporter that somebody else has built, by its class."""
    otlp = kind.__module__.startswith("opentelemetry.exporter.otlp.proto.")
    return NamedExporter(_OTLP if otlp else f"{kind.__name__} of {signal}", kind)


def _load(signal: str, name: str) -> NamedExporter | None:
    if name in {"", _NONE}:
        return None
    registered = _BY_PROTOCOL[_protocol(signal)] if name == _OTLP else name
    group = f"opentelemetry_{signal}_exporter"
    try:
        for entry in importlib.metadata.entry_points(group=group, name=registered):
            return NamedExporter(name, entry.load())
    except Exception as error:
        _guard.swallow(f"exporter {name} for {signal}", error)
        return None
    _guard.warn_once(
        f"exporter {name} for {signal}",
        "OTEL_%s_EXPORTER names %r, which no installed package provides; it is left out",
        signal.upper(),
        name,
    )
    return None


def _protocol(signal: str) -> str:
    variables = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    for variable in variables:
        protocol = _environment(variable)
        if protocol in _BY_PROTOCOL:
            return protocol
        if protocol:
            # Whatever else speaks HTTP is reachable at an HTTP port, not at gRPC's.
            instead = "http/protobuf" if protocol.startswith("http") else DEFAULT_PROTOCOL
            _guard.warn_once(variable, "%s does not know %r; using %s", variable, protocol, instead)
            return instead
    return DEFAULT_PROTOCOL


def _environment(variable: str) -> str:
    return os.environ.get(variable, "").strip()
