"""Attributes, from the wire to entries of a map column, with a mark on those that matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import Final, NamedTuple

from analyzer_service.ingest import rowbinary, values, wire
from analyzer_service.ingest.findings import Findings
from otel_instrumentation import semconv

CACHED_ATTRIBUTES: Final = 50_000
"""Encoded attributes kept: most attributes repeat, and these take about 20 MB at most."""

CACHED_BYTES: Final = 256
"""Longer attributes (queries, stack traces) seldom repeat and are not kept."""

LONGEST_TEXT: Final = 65_536
"""Bytes of a string attribute that are kept: a stack trace fits. Columns repeat a resource's
attributes in each row, so a megabyte there would be hundreds in the insert. The Collector's
configuration cuts at the same length."""

ROUTE_ATTRIBUTES: Final = (semconv.HTTP_ROUTE, semconv.URL_PATH, "http.target")
"""Where ``/user/<name>/`` may stand, in the order they are looked at."""

URL_ATTRIBUTES: Final = ("url.full", "http.url")
"""Where such a path may stand too; it is masked there, but nobody's pseudonym comes from it."""

USER_IN_ROUTE: Final = re.compile(rb"/user/([^/?#{}<:]+)/")
"""A user's own part of a hub, as notebook hubs lay them out; not a template such as ``{name}``."""
_MASKED_ROUTE: Final = rb"/user/{user}/"
_HINT: Final = b"/user/"

PSEUDONYM: Final = re.compile(rb"[0-9a-f]{32}")
ANY_CASE_PSEUDONYM: Final = re.compile(rb"[0-9a-fA-F]{32}")


class Mark(IntEnum):
    """Why an attribute needs a second look; the order is the one identity is looked for in."""

    NONE = 0
    PSEUDONYM = 1
    OTHER_HASH = 2
    USER_ID = 3
    ENDUSER_ID = 4
    HEADER = 5
    ROUTE = 6
    PERSONAL = 7
    UNKNOWN_STAGE = 8
    URL = 9


class Attribute(NamedTuple):
    """One attribute: name, map entry in RowBinary, mark (0: nothing special), value as text."""

    key: bytes
    entry: bytes
    mark: int
    text: bytes


by_key = itemgetter(0)

_PATHS: Final = (Mark.ROUTE, Mark.URL)
_SHORTEST: Final = 6
"""Bytes of the shortest attribute: three tags and three sizes."""
_STAGES: Final = frozenset(stage.encode() for stage in semconv.STAGES)


class AttributeReader:
    """Turns encoded KeyValues into attributes; shared by all requests, safe between threads."""

    def __init__(self, identity_headers: Sequence[str] = ()) -> None:
        self._cache: dict[bytes, Attribute] = {}
        self._marks: dict[bytes, Mark] = {
            semconv.USER_HASH.encode(): Mark.PSEUDONYM,
            semconv.STAGE.encode(): Mark.UNKNOWN_STAGE,
            semconv.USER_ID.encode(): Mark.USER_ID,
            semconv.ENDUSER_ID.encode(): Mark.ENDUSER_ID,
            **{name.encode(): Mark.ROUTE for name in ROUTE_ATTRIBUTES},
            **{name.encode(): Mark.URL for name in URL_ATTRIBUTES},
            **dict.fromkeys(_header_names(identity_headers), Mark.HEADER),
            **{
                name.encode(): Mark.PERSONAL
                for name in semconv.RAW_IDENTITY_ATTRIBUTES
                if name not in (semconv.USER_ID, semconv.ENDUSER_ID)
            },
        }
        self._ranks = {key: place for place, key in enumerate(self._marks)}

    def rank(self, key: bytes) -> int:
        """Return the place of an attribute among those with its mark: headers as configured."""
        return self._ranks.get(key, len(self._ranks))

    def read(self, encoded: Iterable[bytes], findings: Findings) -> list[Attribute]:
        """Read attributes, in the order they came.

        Raises:
            WireError: One of them is broken.
        """
        cached = self._cache.get
        return [cached(raw) or self._read(raw, findings) for raw in encoded]

    def _read(self, raw: bytes, findings: Findings) -> Attribute:
        noted = findings.noted
        read = self._short_string(raw)
        if read is None:
            pair = dict(wire.split(raw))
            key = findings.text(pair.get(values.KEY, b""))
            # Whoever is named is hashed whole; such values are not kept anyway.
            longest = None if key in self._marks else LONGEST_TEXT
            value = values.as_text(pair.get(values.VALUE, b""), findings, longest=longest)
            read = self.attribute(key, value)
        # What was repaired or cut must be counted each time it comes.
        if findings.noted == noted and len(raw) <= CACHED_BYTES:
            if len(self._cache) >= CACHED_ATTRIBUTES:
                self._cache.clear()
            self._cache[raw] = read
        return read

    def _short_string(self, raw: bytes) -> Attribute | None:
        """Read the commonest form at a glance: a name and a string, both short and plain ASCII.

        On the wire it is ``0A`` size name ``12`` size ``0A`` size text, and the map entry is made
        of the same bytes without the tags.
        """
        total = len(raw)
        if total >= wire.SINGLE_BYTE or total < _SHORTEST or not raw.isascii():
            return None
        key_end = 2 + raw[1]
        if (
            key_end + 4 <= total
            and raw[0] == values.KEY
            and raw[key_end] == values.VALUE
            and raw[key_end + 1] == total - key_end - 2
            and raw[key_end + 2] == values.STRING
            and raw[key_end + 3] == total - key_end - 4
        ):
            key, text = raw[2:key_end], raw[key_end + 4 :]
            mark = self._mark(key, text) if key in self._marks else 0
            return Attribute(key, raw[1:key_end] + raw[key_end + 3 :], int(mark), text)
        return None

    def attribute(self, key: bytes, text: bytes) -> Attribute:
        """Return the attribute of a name and a value in text."""
        entry = rowbinary.string(key) + rowbinary.string(text)
        return Attribute(key, entry, int(self._mark(key, text)), text)

    def _mark(self, key: bytes, text: bytes) -> Mark:
        mark = self._marks.get(key, Mark.NONE)
        if mark == Mark.PSEUDONYM and not PSEUDONYM.fullmatch(text):
            return Mark.OTHER_HASH
        if mark == Mark.UNKNOWN_STAGE and text in _STAGES:
            return Mark.NONE
        if mark in _PATHS and not USER_IN_ROUTE.search(text):
            return Mark.NONE
        return mark


def mask_route(text: bytes) -> bytes:
    """Return a path, a URL or a span's name with ``{user}`` for the name in ``/user/<name>/``."""
    return USER_IN_ROUTE.sub(_MASKED_ROUTE, text) if _HINT in text else text


def _header_names(headers: Iterable[str]) -> Iterator[bytes]:
    """Name the attributes of captured headers; some instrumentations write underscores."""
    for header in headers:
        yield f"http.request.header.{header.lower()}".encode()
        yield f"http.request.header.{header.lower().replace('-', '_')}".encode()


def as_map(attributes: list[Attribute]) -> bytes:
    """Encode attributes as a map column, sorted by name as the exporter does."""
    attributes.sort(key=by_key)
    return rowbinary.array([attribute[1] for attribute in attributes])
