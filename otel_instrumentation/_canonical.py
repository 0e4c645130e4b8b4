"""Normalised bytes of arguments: equal arguments give equal bytes, everywhere.

Each value is written as a tag, the length of its content, and the content, so that no two
different values share their bytes. Objects of unknown classes are written as the name of
their class: never as their text, which may leak or hold an address.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import numbers
import pathlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

MAX_DEPTH: Final = 32
"""Deeper values are written as the name of their class; also ends values that hold themselves."""

MAX_VALUES: Final = 10_000
"""Arguments of more values are written as class and length: a digest must stay cheap."""


class _TooManyValuesError(Exception):
    """More than ``MAX_VALUES`` values were met."""


def encode(value: object) -> bytes:
    """Returns the normalised bytes of a value; never raises for what the value is."""
    try:
        return _Encoder().encode(value, 0)
    except _TooManyValuesError:
        return _tagged(b"large", f"{_class_name(value)}:{_length(value)}".encode())


class _Encoder:
    """Encodes one value and counts the values met on the way."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def encode(self, value: object, depth: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _TooManyValuesError
        scalar = _scalar(value)
        if scalar is not None:
            return scalar
        if depth >= MAX_DEPTH:
            return _opaque(value)
        try:
            return self._composite(value, depth + 1)
        except _TooManyValuesError:
            raise
        except Exception:
            return _opaque(value)

    def _composite(self, value: object, depth: int) -> bytes:
        if isinstance(value, Mapping):
            pairs = ((self.encode(key, depth), self.encode(value[key], depth)) for key in value)
            return _tagged(b"map", b"".join(key + item for key, item in sorted(pairs)))
        if isinstance(value, list | tuple):
            return _tagged(b"list", b"".join([self.encode(item, depth) for item in value]))
        if isinstance(value, set | frozenset):
            return _tagged(b"set", b"".join(sorted([self.encode(item, depth) for item in value])))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _tagged(b"data", _opaque(value) + self._composite(fields, depth))
        return _opaque(value)


def _length(value: Any) -> int:
    try:
        return len(value)
    except Exception:
        return 0


def _scalar(value: object) -> bytes | None:
    writer = _SCALARS.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, enum.Enum):
        return _tagged(b"enum", f"{_class_name(value)}.{value.name}".encode())
    for kind, writer in _SCALAR_BASES:
        if isinstance(value, kind):
            return writer(value)
    return None


def _integer(value: Any) -> bytes:
    return _tagged(b"int", f"{int(value):x}".encode())


def _real(value: Any) -> bytes:
    # The shortest text that reads back as the same number: the same on every Python.
    return _tagged(b"float", float.__repr__(float(value)).encode())


def _string(value: Any) -> bytes:
    # The base class's encoder: a subclass's own could say anything.
    return _tagged(b"str", str.encode(value, "utf-8", "surrogatepass"))


def _bytes(value: Any) -> bytes:
    return _tagged(b"bytes", bytes(value))


def _by_text(tag: bytes) -> Callable[[Any], bytes]:
    return lambda value: _tagged(tag, str(value).encode("utf-8", "surrogatepass"))


def _path(value: Any) -> bytes:
    return _tagged(b"path", value.as_posix().encode("utf-8", "surrogatepass"))


def _opaque(value: object) -> bytes:
    return _tagged(b"object", _class_name(value).encode())


def _class_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _tagged(tag: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(content), content)


_SCALARS: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: _tagged(b"none", b""),
    bool: lambda value: _tagged(b"bool", b"1" if value else b"0"),
    int: _integer,
    float: _real,
    str: _string,
    bytes: _bytes,
}

# Subclasses and registered classes: numpy's scalars are Integral and Real without our
# importing numpy. Decimal's text keeps its digits, which a float would not.
_SCALAR_BASES: Final[tuple[tuple[type, Callable[[Any], bytes]], ...]] = (
    (str, _string),
    (numbers.Integral, _integer),
    (decimal.Decimal, _by_text(b"decimal")),
    (fractions.Fraction, _by_text(b"fraction")),
    (numbers.Real, _real),
    (bytes, _bytes),
    (bytearray, _bytes),
    (dt.date, _by_text(b"date")),
    (dt.time, _by_text(b"time")),
    (dt.timedelta, _by_text(b"timedelta")),
    (uuid.UUID, _by_text(b"uuid")),
    (pathlib.PurePath, _path),
)
