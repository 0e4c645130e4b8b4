"""What the records of one resource and scope share, encoded once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from analyzer_service.ingest import identity, rowbinary, wire
from analyzer_service.ingest.attributes import Attribute, AttributeReader, as_map
from analyzer_service.ingest.findings import Findings
from analyzer_service.ingest.identity import Identity
from otel_instrumentation import semconv

_ATTRIBUTES_OF_RESOURCE: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_SCOPE_NAME: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_SCOPE_VERSION: Final = wire.tag(2, wire.LENGTH_DELIMITED)
_ATTRIBUTES_OF_SCOPE: Final = wire.tag(3, wire.LENGTH_DELIMITED)
_SERVICE_NAME: Final = semconv.SERVICE_NAME.encode()


@dataclass(frozen=True)
class Resource:
    """A resource's columns; ``has_user`` if its records inherit a pseudonym from it."""

    service: str
    service_name: bytes
    attributes: bytes
    schema_url: bytes
    has_user: bool


@dataclass(frozen=True)
class Scope:
    """A scope's columns."""

    name: bytes
    version: bytes
    attributes: bytes
    schema_url: bytes


@dataclass(frozen=True)
class Tools:
    """What reading one request needs besides its bytes."""

    attributes: AttributeReader
    identity: Identity
    findings: Findings
    latest_time: int
    """Nanoseconds since 1970 after which an event makes no signal."""


def read_resource(message: bytes, schema_url: bytes, tools: Tools) -> Resource:
    """Read a Resource; broken attributes are left out and said, so that its records survive."""
    encoded = _parts(message, _ATTRIBUTES_OF_RESOURCE, tools.findings)
    attributes = _readable(encoded, tools)
    service = next((one.text for one in attributes if one.key == _SERVICE_NAME), b"")
    settled = tools.identity.settle(attributes, tools.findings, inherited=False)
    return Resource(
        service=service.decode("utf-8", "replace"),
        service_name=rowbinary.string(service),
        attributes=as_map(settled),
        schema_url=rowbinary.string(tools.findings.text(schema_url)),
        has_user=identity.says_user(settled),
    )


def read_scope(message: bytes, schema_url: bytes, tools: Tools) -> Scope:
    """Read an InstrumentationScope; broken attributes are left out and said."""
    encoded = _parts(message, _ATTRIBUTES_OF_SCOPE, tools.findings)
    fields = dict(_fields(message))
    text = tools.findings.text
    return Scope(
        name=rowbinary.string(text(fields.get(_SCOPE_NAME, b""))),
        version=rowbinary.string(text(fields.get(_SCOPE_VERSION, b""))),
        attributes=as_map(identity.scrub(_readable(encoded, tools))),
        schema_url=rowbinary.string(text(schema_url)),
    )


def _readable(encoded: Iterable[bytes], tools: Tools) -> list[Attribute]:
    attributes: list[Attribute] = []
    for raw in encoded:
        try:
            attributes += tools.attributes.read((raw,), tools.findings)
        except wire.WireError as broken:
            tools.findings.warn(f"an attribute of a resource or scope was left out: {broken}")
    return attributes


def _parts(message: bytes, key: int, findings: Findings) -> list[bytes]:
    try:
        fields = wire.split(message)
    except wire.WireError as broken:
        findings.warn(f"a resource or scope was read only in part: {broken}")
        fields = broken.fields
    return [value for tag, value in fields if tag == key]


def _fields(message: bytes) -> list[wire.Field]:
    try:
        return wire.split(message)
    except wire.WireError as broken:
        return broken.fields
