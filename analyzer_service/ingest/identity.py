"""Who a record is about: a pseudonym in, everything that names a person out (design.md 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from analyzer_service.ingest.attributes import (
    ANY_CASE_PSEUDONYM,
    USER_IN_ROUTE,
    Attribute,
    AttributeReader,
    Mark,
    mask_route,
)
from analyzer_service.ingest.findings import Findings, quoted
from otel_instrumentation import semconv
from otel_instrumentation.privacy import pseudonym

CACHED_USERS: Final = 100_000
"""Pseudonyms kept; hashing again is cheap, so the store of them is merely dropped when full."""

_RAW: Final = frozenset((Mark.USER_ID, Mark.ENDUSER_ID, Mark.HEADER, Mark.PERSONAL))
"""Marks of attributes that name a person: never stored."""

_MASKED: Final = frozenset((Mark.ROUTE, Mark.URL))
"""Marks of attributes that name a person on the way to something: stored without the name."""

_FROM_RECORD: Final = (Mark.USER_ID, Mark.ENDUSER_ID)
_FROM_REQUEST: Final = (Mark.HEADER, Mark.ROUTE)


class Identity:
    """Derives pseudonyms and removes raw identities."""

    def __init__(self, reader: AttributeReader, salt: str) -> None:
        self._reader = reader
        self._salt = salt
        self._users: dict[bytes, Attribute] = {}

    def settle(
        self, attributes: list[Attribute], findings: Findings, *, inherited: bool
    ) -> list[Attribute]:
        """Return a record's or resource's attributes with the pseudonym and without identities.

        Args:
            attributes: All attributes; marks say which matter.
            findings: Hears about hashes and stages that cannot be used.
            inherited: The record's resource already says whose it is, which outweighs what a
                header or a route of the record suggests, but not the record's own id.
        """
        marked = [attribute for attribute in attributes if attribute[2]]
        if not marked or (len(marked) == 1 and marked[0][2] == Mark.PSEUDONYM):
            return attributes
        user = self._user(sorted(marked, key=self._rank), inherited=inherited)
        self._complain(marked, findings, found=user is not None)
        dropped = _RAW | {Mark.PSEUDONYM, Mark.OTHER_HASH}
        kept = [
            self._reader.attribute(attribute.key, mask_route(attribute.text))
            if attribute.mark in _MASKED
            else attribute
            for attribute in attributes
            if attribute.mark not in dropped
        ]
        if user is not None:
            kept.append(user)
        return kept

    def _user(self, marked: Sequence[Attribute], *, inherited: bool) -> Attribute | None:
        for attribute in marked:
            if attribute.mark == Mark.PSEUDONYM:
                return attribute
            if attribute.mark == Mark.OTHER_HASH and ANY_CASE_PSEUDONYM.fullmatch(attribute.text):
                return self._reader.attribute(attribute.key, attribute.text.lower())
        accepted = _FROM_RECORD if inherited else _FROM_RECORD + _FROM_REQUEST
        for attribute in marked:
            if attribute.mark in accepted and (name := _name(attribute)):
                return self._pseudonym(name)
        return None

    def _rank(self, attribute: Attribute) -> tuple[int, int]:
        """Order attributes as they are believed: by mark, headers and routes as configured."""
        return attribute.mark, self._reader.rank(attribute.key)

    def _pseudonym(self, name: bytes) -> Attribute:
        known = self._users.get(name)
        if known is None:
            hashed = pseudonym(name.decode(), self._salt)
            known = self._reader.attribute(semconv.USER_HASH.encode(), hashed.encode())
            if len(self._users) >= CACHED_USERS:
                self._users.clear()
            self._users[name] = known
        return known

    def _complain(self, marked: Sequence[Attribute], findings: Findings, *, found: bool) -> None:
        for attribute in marked:
            if attribute.mark == Mark.UNKNOWN_STAGE:
                known = ", ".join(semconv.STAGES)
                findings.warn(
                    f"{semconv.STAGE} {quoted(attribute.text)} is not a stage the analysis knows: "
                    f"the record is stored; use one of {known}"
                )
            elif attribute.mark == Mark.OTHER_HASH and not found:
                # The value is not quoted: it may be the very name a hash should hide.
                findings.warn(
                    f"{semconv.USER_HASH} is not 32 hexadecimal digits and was left out: send the "
                    f"pseudonym, or {semconv.USER_ID} and it is derived here"
                )


def scrub(attributes: Iterable[Attribute]) -> list[Attribute]:
    """Return attributes of events, links and scopes without those that name a person."""
    return [attribute for attribute in attributes if attribute[2] not in _RAW]


def says_user(attributes: Iterable[Attribute]) -> bool:
    """Say whether settled attributes carry a pseudonym."""
    return any(attribute[2] == Mark.PSEUDONYM for attribute in attributes)


def _name(attribute: Attribute) -> bytes:
    if attribute.mark == Mark.ROUTE:
        found = USER_IN_ROUTE.search(attribute.text)
        return found[1] if found else b""
    if attribute.mark == Mark.HEADER:
        return _header_value(attribute.text)
    return attribute.text


def _header_value(text: bytes) -> bytes:
    """Return the first value of a captured header, which instrumentations record as an array."""
    if not text.startswith(b"["):
        return text
    try:
        listed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    first = next(iter(listed), "")
    return first.encode() if isinstance(first, str) else b""
