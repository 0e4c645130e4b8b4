"""OTLP/JSON, turned into OTLP's wire format so that one reader serves both.

OTLP differs from protobuf's JSON mapping in its trace and span ids, which are hexadecimal.
Otherwise: names in camelCase (or as in the proto files), 64-bit integers as strings or numbers,
enum values by number or name, unknown names ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from analyzer_service.ingest import wire
from analyzer_service.ingest.findings import Findings, RejectedRecordError, quoted
from analyzer_service.ingest.payload import MALFORMED, UndecodableError
from analyzer_service.ingest.values import MAX_NESTING
from otel_instrumentation import semconv

HEXADECIMAL: Final = frozenset(("trace_id", "span_id", "parent_span_id"))
"""Byte fields that OTLP writes in hexadecimal digits; all others are base64."""

RECORDS: Final = frozenset(("spans", "log_records"))
"""Lists of which one member that cannot be read is rejected alone."""

RESOURCES: Final = frozenset(("ResourceSpans", "ResourceLogs"))
"""Messages that say whose the records in them are."""

_ANY_VALUE: Final = "opentelemetry.proto.common.v1.AnyValue"


def to_wire(body: bytes, request: Descriptor, findings: Findings) -> bytes:
    """Return an export request in protobuf's wire format.

    Args:
        body: The request in JSON.
        request: Which kind of request it is.
        findings: Hears of records that cannot be read and strings that were repaired.

    Raises:
        UndecodableError: It is no JSON object, or its frame cannot be read.
    """
    document = _parse(body, findings)
    if not isinstance(document, dict):
        raise UndecodableError("the body is not a JSON object: send an OTLP export request")
    try:
        return _Encoder(findings).message(request, document, 0)
    except FieldError as error:
        raise UndecodableError(str(error)) from None


class FieldError(ValueError):
    """A field has a value that its type does not allow; the message names both."""


def _parse(body: bytes, findings: Findings) -> object:
    text = findings.text(body)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as strict:
        try:
            # The standard library reads what orjson will not: lone surrogates, NaN, huge numbers.
            return json.loads(text)
        except (ValueError, RecursionError):
            raise UndecodableError(
                f"the body is not valid JSON: {strict}; send it whole and in UTF-8"
            ) from None


class _Encoder:
    """Writes JSON values as protobuf fields."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._service = ""

    def message(self, descriptor: Descriptor, value: object, nesting: int) -> bytes:
        if not isinstance(value, dict):
            raise FieldError(f"{descriptor.name} must be an object, not {_kind(value)}")
        if descriptor.full_name == _ANY_VALUE:
            nesting += 1
            if nesting > MAX_NESTING + 2:
                # One level more than is kept, so that the reader sees that something was cut.
                return b""
        if descriptor.name in RESOURCES:
            self._service = _service_of(value)
        parts: list[bytes] = []
        fields = _fields_by_name(descriptor)
        for name, member in value.items():
            field = fields.get(name)
            if field is not None and member is not None:
                parts += self._field(field, member, nesting)
        return b"".join(parts)

    def _field(self, field: FieldDescriptor, value: object, nesting: int) -> list[bytes]:
        if not field.is_repeated:
            return [self._member(field, value, nesting)]
        if not isinstance(value, list):
            raise FieldError(f"{field.json_name} must be a list, not {_shown(field, value)}")
        if field.name not in RECORDS:
            return [self._member(field, member, nesting) for member in value]
        return [self._record(field, member) for member in value]

    def _record(self, field: FieldDescriptor, value: object) -> bytes:
        try:
            return self._member(field, value, 0)
        except FieldError as error:
            refused = RejectedRecordError(MALFORMED, str(error))
            self._findings.reject(refused, _described(value), self._service)
            return b""

    def _member(self, field: FieldDescriptor, value: object, nesting: int) -> bytes:
        if field.message_type is not None:
            content = self.message(field.message_type, value, nesting)
            return _delimited(field.number, content)
        if field.type == FieldDescriptor.TYPE_STRING:
            return _delimited(field.number, self._text(field, value))
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _delimited(field.number, _binary(field, value))
        wire_type, encode = _SCALARS[field.type]
        return wire.varint(wire.tag(field.number, wire_type)) + encode(field, value)

    def _text(self, field: FieldDescriptor, value: object) -> bytes:
        if not isinstance(value, str):
            raise FieldError(f"{field.json_name} must be a string, not {_shown(field, value)}")
        try:
            return value.encode()
        except UnicodeEncodeError:
            return self._findings.text(value.encode("utf-8", "surrogatepass"))


@cache
def _fields_by_name(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    names = {field.name: field for field in descriptor.fields}
    return names | {field.json_name: field for field in descriptor.fields}


def _delimited(number: int, content: bytes) -> bytes:
    key = wire.varint(wire.tag(number, wire.LENGTH_DELIMITED))
    return b"".join((key, wire.varint(len(content)), content))


def _binary(field: FieldDescriptor, value: object) -> bytes:
    if not isinstance(value, str):
        raise FieldError(f"{field.json_name} must be a string, not {_shown(field, value)}")
    try:
        if field.name in HEXADECIMAL:
            return bytes.fromhex(value)
        # Both alphabets are read, with or without padding, as protobuf's JSON mapping asks.
        return base64.b64decode(value.replace("-", "+").replace("_", "/") + "==")
    except (ValueError, binascii.Error):
        form = "hexadecimal digits" if field.name in HEXADECIMAL else "base64"
        raise FieldError(f"{field.json_name} must be {form}, not {_shown(field, value)}") from None


def _integer(field: FieldDescriptor, value: object, bits: int) -> int:
    number = _as_integer(value)
    if number is None or not -(1 << (bits - 1)) <= number < 1 << bits:
        raise FieldError(f"{field.json_name} must be a whole number, not {_shown(field, value)}")
    return number


def _as_integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return None


def _varint(field: FieldDescriptor, value: object) -> bytes:
    return wire.varint(_integer(field, value, 64) & wire.UINT64_MASK)


def _boolean(field: FieldDescriptor, value: object) -> bytes:
    if not isinstance(value, bool):
        raise FieldError(f"{field.json_name} must be true or false, not {_shown(field, value)}")
    return wire.varint(int(value))


def _enumeration(field: FieldDescriptor, value: object) -> bytes:
    if isinstance(value, str) and field.enum_type is not None:
        named = field.enum_type.values_by_name.get(value)
        if named is not None:
            return wire.varint(named.number)
    return wire.varint(_integer(field, value, 64) & wire.UINT64_MASK)


def _fixed64(field: FieldDescriptor, value: object) -> bytes:
    number = _integer(field, value, 64)
    if number < 0:
        raise FieldError(f"{field.json_name} must not be negative, but is {number}")
    return number.to_bytes(8, "little")


def _sfixed64(field: FieldDescriptor, value: object) -> bytes:
    return (_integer(field, value, 64) & wire.UINT64_MASK).to_bytes(8, "little")


def _fixed32(field: FieldDescriptor, value: object) -> bytes:
    return (_integer(field, value, 32) & 0xFFFFFFFF).to_bytes(4, "little")


def _double(field: FieldDescriptor, value: object) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FieldError(f"{field.json_name} must be a number, not {_shown(field, value)}")
    try:
        return struct.pack("<d", float(value))
    except OverflowError:
        return struct.pack("<d", math.inf)
    except ValueError:
        raise FieldError(
            f"{field.json_name} must be a number, not {_shown(field, value)}"
        ) from None


_SCALARS: Final[Mapping[int, tuple[int, Callable[[FieldDescriptor, object], bytes]]]] = {
    FieldDescriptor.TYPE_INT32: (wire.VARINT, _varint),
    FieldDescriptor.TYPE_INT64: (wire.VARINT, _varint),
    FieldDescriptor.TYPE_UINT32: (wire.VARINT, _varint),
    FieldDescriptor.TYPE_UINT64: (wire.VARINT, _varint),
    FieldDescriptor.TYPE_BOOL: (wire.VARINT, _boolean),
    FieldDescriptor.TYPE_ENUM: (wire.VARINT, _enumeration),
    FieldDescriptor.TYPE_FIXED64: (wire.FIXED64, _fixed64),
    FieldDescriptor.TYPE_SFIXED64: (wire.FIXED64, _sfixed64),
    FieldDescriptor.TYPE_FIXED32: (wire.FIXED32, _fixed32),
    FieldDescriptor.TYPE_DOUBLE: (wire.FIXED64, _double),
}


def _described(value: object) -> str:
    """Return what identifies a record that cannot be read, without its attributes."""
    wanted = ("traceId", "spanId", "name", "eventName", "startTimeUnixNano", "timeUnixNano")
    known: dict[str, Any] = value if isinstance(value, dict) else {}
    return json.dumps({name: str(known[name])[:64] for name in wanted if name in known})


def _service_of(value: Mapping[str, Any]) -> str:
    """Return the service a resource names, whatever else is wrong with it."""
    resource = value.get("resource")
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    for one in attributes if isinstance(attributes, list) else ():
        if isinstance(one, dict) and one.get("key") == semconv.SERVICE_NAME:
            named = one.get("value")
            return str(named.get("stringValue", "")) if isinstance(named, dict) else ""
    return ""


def _shown(field: FieldDescriptor, value: object) -> str:
    """Quote a value; of an attribute's only say the kind, because it may name a person."""
    owner = field.containing_type
    if owner is not None and owner.full_name == _ANY_VALUE:
        return _kind(value)
    return quoted(str(value).encode("utf-8", "replace"))


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")


_KINDS: Final[Mapping[type, str]] = {
    str: "a string",
    bool: "true or false",
    int: "such a number",
    float: "such a number",
    list: "a list",
    dict: "an object",
}
