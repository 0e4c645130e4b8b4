"""Attribute values as the text the Collector would store (pdata's ``Value.AsString``).

Strings as they are, bool ``true``/``false``, integers in decimal, doubles as ECMAScript writes
them, bytes in base64, arrays and maps as JSON with sorted keys and without HTML escapes (pdata
since April 2026), nothing as the empty string. One difference: where pdata loses a whole array
because it holds NaN or an infinity, which JSON does not know, we write ``"NaN"`` in its place.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final

from analyzer_service.ingest import wire
from analyzer_service.ingest.findings import Findings

MAX_NESTING: Final = 32
"""Levels of arrays and maps kept (design.md section 8); nothing real nests deeper."""

CUT_MARK: Final = '"…"'
"""Stands for what was nested deeper."""

PLAIN_FROM: Final = 1e-6
PLAIN_BELOW: Final = 1e21
"""Doubles between these are written without exponent, as in ECMAScript and Go's JSON."""

STRING: Final = wire.tag(1, wire.LENGTH_DELIMITED)
_BOOL: Final = wire.tag(2, wire.VARINT)
_INT: Final = wire.tag(3, wire.VARINT)
_DOUBLE: Final = wire.tag(4, wire.FIXED64)
_ARRAY: Final = wire.tag(5, wire.LENGTH_DELIMITED)
_MAP: Final = wire.tag(6, wire.LENGTH_DELIMITED)
_BYTES: Final = wire.tag(7, wire.LENGTH_DELIMITED)
_KINDS: Final = frozenset((STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _MAP, _BYTES))

_ELEMENT: Final = wire.tag(1, wire.LENGTH_DELIMITED)
KEY: Final = wire.tag(1, wire.LENGTH_DELIMITED)
VALUE: Final = wire.tag(2, wire.LENGTH_DELIMITED)

_CONTINUATION_MASK: Final = 0b1100_0000
_CONTINUATION: Final = 0b1000_0000
"""A byte of UTF-8 that begins no character."""

_DOUBLE_FORMAT: Final = struct.Struct("<d")
_SIGN_BIT: Final = 1 << 63


def as_text(value: bytes, findings: Findings, *, longest: int | None = None) -> bytes:
    """Return an encoded AnyValue as text in UTF-8.

    Args:
        value: The encoded value.
        findings: Hears what was repaired or cut.
        longest: Bytes after which a string is cut, before a character and never within one; None
            keeps it whole. Values of other kinds are kept whole.

    Raises:
        WireError: The value is broken.
    """
    kind, content = _content(value)
    if kind == STRING:
        if longest is not None and len(content) > longest:
            findings.warn(f"a text of more than {longest} bytes was cut there")
            content = _cut(content, longest)
        return findings.text(content)
    if kind == _BYTES:
        return base64.b64encode(content)
    if kind == _DOUBLE:
        return _top_level_double(_double(content)).encode()
    if kind == 0:
        return b""
    if kind == _INT:
        return b"%d" % signed(content)
    return _json(kind, content, 0, findings).encode()


def _cut(text: bytes, longest: int) -> bytes:
    while longest and text[longest] & _CONTINUATION_MASK == _CONTINUATION:
        longest -= 1
    return text[:longest]


def _content(value: bytes) -> wire.Field:
    """Return the kind and content of an AnyValue: its last known field, (0, b"") without one."""
    known = [pair for pair in wire.split(value) if pair[0] in _KINDS]
    return known[-1] if known else (0, b"")


def _json(kind: int, content: Any, depth: int, findings: Findings) -> str:
    if kind in (_ARRAY, _MAP):
        return _nested(kind, content, depth + 1, findings)
    if kind == STRING:
        return json_string(findings.text(content).decode())
    return _JSON_SCALARS[kind](content) if kind else "null"


def _nested(kind: int, content: bytes, depth: int, findings: Findings) -> str:
    if depth > MAX_NESTING:
        findings.warn(f"a value is nested deeper than {MAX_NESTING} levels: it was cut there")
        return CUT_MARK
    elements = [value for key, value in wire.split(content) if key == _ELEMENT]
    if kind == _ARRAY:
        return "[" + ",".join(_any(element, depth, findings) for element in elements) + "]"
    members: dict[bytes, str] = {}
    for element in elements:
        pair = dict(wire.split(element))
        name = findings.text(pair.get(KEY, b""))
        members[name] = _any(pair.get(VALUE, b""), depth, findings)
    texts = (f"{json_string(name.decode())}:{members[name]}" for name in sorted(members))
    return "{" + ",".join(texts) + "}"


def _any(value: bytes, depth: int, findings: Findings) -> str:
    kind, content = _content(value)
    return _json(kind, content, depth, findings)


def json_string(text: str) -> str:
    """Return a JSON string the way Go's encoder writes it without HTML escapes."""
    escaped = encode_basestring(text)
    if escaped.isascii():
        return escaped
    return escaped.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def signed(value: int) -> int:
    """Return a varint's 64 bits as the signed number they stand for."""
    return value - (_SIGN_BIT << 1) if value >= _SIGN_BIT else value


def double_text(value: float) -> str:
    """Return a finite double as ECMAScript and Go's JSON write it."""
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    if PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        return format(Decimal(text), "f").removesuffix(".0")
    return text.replace("e-0", "e-")


def _top_level_double(value: float) -> str:
    # pdata's own words for what JSON cannot say.
    if math.isfinite(value):
        return double_text(value)
    return f"json: unsupported value: {_not_finite(value)}"


def _json_double(content: bytes) -> str:
    value = _double(content)
    return double_text(value) if math.isfinite(value) else f'"{_not_finite(value)}"'


def _json_bytes(content: bytes) -> str:
    # Go writes an empty byte slice inside a structure as null.
    return f'"{base64.b64encode(content).decode()}"' if content else "null"


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _double(content: bytes) -> float:
    return float(_DOUBLE_FORMAT.unpack(content)[0])


_JSON_SCALARS: Final[Mapping[int, Callable[[Any], str]]] = {
    _BOOL: lambda content: "true" if content else "false",
    _INT: lambda content: str(signed(content)),
    _DOUBLE: _json_double,
    _BYTES: _json_bytes,
}
