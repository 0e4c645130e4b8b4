"""What is carried along: the attributes that every span and log record gets.

They come from three places, the nearest winning: what this process set in the current context
(a private key of OpenTelemetry's context, invisible to other processes), what a caller sent as
baggage, and what holds for the whole process. Whom a record is about is one statement: a
nearer user replaces hash, id and roles together, so that nobody gets another's roles.

Baggage leaves the process with outgoing requests. Only pseudonym, session, team and stage go
there, and only where there is a pseudonym; :mod:`otel_instrumentation._travel` decides to whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.util.types import AnyValue

from otel_instrumentation import _settings, privacy, semconv

Attributes = dict[str, AnyValue]
Place = tuple[tuple[str, str], ...]
"""Stage and component, as far as given: pairs of attribute and value."""

_MAX_PLACES: Final = 64
"""Places remembered per context: more than a process has, unless somebody puts ids there."""

IDENTITY: Final = (semconv.USER_HASH, semconv.USER_ID, semconv.USER_ROLES)
"""The attributes that together say whom a record is about."""

_WATCHED: Final = frozenset(
    (
        *IDENTITY,
        semconv.ENDUSER_ID,
        semconv.SESSION_ID,
        semconv.STAGE,
        semconv.COMPONENT,
        semconv.TEAM,
        semconv.SCHEMA_VERSION_ATTRIBUTE,
    )
)
"""A record without any of these takes the stamps as they are: the usual, quick case."""

IN_BAGGAGE: Final = (semconv.USER_HASH, semconv.SESSION_ID, semconv.TEAM, semconv.STAGE)

_KEY: Final = otel_context.create_key("otel-instrumentation-carried")

_ALWAYS: Final[Attributes] = {semconv.SCHEMA_VERSION_ATTRIBUTE: semconv.SCHEMA_VERSION}


class _Carried:
    """Attributes of one context; immutable.

    Remembers its union with the process's own and what was derived from it for the places
    operations work at: both are asked for again and again.
    """

    __slots__ = ("_over", "_places", "_union", "attributes")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self._over: Attributes | None = None
        self._union: Attributes = attributes
        self._places: dict[Place, _Carried] = {}

    def union(self) -> Attributes:
        process = _process
        if self._over is not process:
            # Two threads may both do this; they store the same.
            self._union = overlay(process, self.attributes)
            self._over = process
        return self._union

    def at(self, place: Place) -> _Carried:
        found = self._places.get(place)
        if found is None:
            found = _Carried(overlay(self.attributes, dict(place)))
            if len(self._places) < _MAX_PLACES:
                self._places[place] = found
        return found


_NOTHING: Final = _Carried({})
_process: Attributes = _ALWAYS


def overlay(base: Mapping[str, AnyValue], top: Mapping[str, AnyValue]) -> Attributes:
    """Lays attributes over others; a user in ``top`` replaces the one in ``base`` whole."""
    merged = dict(base)
    if semconv.USER_HASH in top or semconv.USER_ID in top:
        for name in IDENTITY:
            merged.pop(name, None)
    merged.update(top)
    return merged


def stamps(context: Context) -> Attributes:
    """Returns the attributes for a record made in a context; not to be changed."""
    carried = _in(context)
    received = baggage.get_all(context)
    if received:
        incoming = _incoming(received, carried.attributes)
        if incoming:
            return overlay(overlay(_process, incoming), carried.attributes)
    return carried.union()


def derive_place(context: Context, place: Place) -> Context:
    """Returns a context that carries a place on top of what the given one carries."""
    return otel_context.set_value(_KEY, _in(context).at(place), context)


def missing(own: Mapping[str, AnyValue], stamps: Mapping[str, AnyValue]) -> Mapping[str, AnyValue]:
    """Picks the stamps that a record with attributes of its own lacks.

    A record that names its user keeps it: nothing about the context's user is added, only the
    pseudonym of the user it names.
    """
    if _WATCHED.isdisjoint(own):
        return stamps
    added = {name: value for name, value in stamps.items() if name not in own}
    named = own.get(semconv.USER_ID) or own.get(semconv.ENDUSER_ID)
    if named or semconv.USER_HASH in own:
        for name in IDENTITY:
            added.pop(name, None)
        salt = _settings.current().user_salt
        if salt and semconv.USER_HASH not in own:
            added[semconv.USER_HASH] = privacy.pseudonym(str(named), salt)
    return added


def derive(context: Context, changes: Attributes) -> Context:
    """Returns a context that carries the changes on top of what the given one carries."""
    if not changes:
        return context
    carried = _Carried(overlay(_in(context).attributes, changes))
    derived = otel_context.set_value(_KEY, carried, context)
    if changes.keys().isdisjoint((*IN_BAGGAGE, semconv.USER_ID)):
        return derived
    return outgoing(derived, trusted=True)


def process_attributes() -> Attributes:
    """Returns what holds for the whole process; not to be changed."""
    return _process


def set_process_attributes(attributes: Attributes) -> None:
    """Replaces what holds for the whole process (the schema version is always among it)."""
    global _process  # noqa: PLW0603 - replaced whole, so that readers need no lock
    _process = {**_ALWAYS, **attributes}


def _in(context: Context) -> _Carried:
    return cast("_Carried", context.get(_KEY, _NOTHING))


def _incoming(received: Mapping[str, object], known: Attributes) -> Attributes:
    """Picks what is ours from a caller's baggage, as far as the context does not say it."""
    found: Attributes = {}
    user_hash = received.get(semconv.USER_HASH)
    if (
        user_hash is not None
        and semconv.USER_HASH not in known
        and semconv.USER_ID not in known
        and privacy.is_pseudonym(user_hash)
    ):
        found[semconv.USER_HASH] = cast("str", user_hash)
    for name in (semconv.SESSION_ID, semconv.TEAM, semconv.STAGE):
        value = received.get(name)
        if isinstance(value, str) and name not in known and _settings.is_name(value):
            found[name] = value
    if semconv.STAGE in _process:
        # A process that has a stage works at it, whoever calls.
        found.pop(semconv.STAGE, None)
    return found


def outgoing(context: Context, *, trusted: bool) -> Context:
    """Returns a context whose baggage says what a callee may know, and nothing else of ours."""
    attributes = stamps(context)
    known = trusted and semconv.USER_HASH in attributes
    for name in IN_BAGGAGE:
        value = attributes.get(name)
        if known and value is not None:
            if baggage.get_baggage(name, context) != value:
                context = baggage.set_baggage(name, value, context)
        elif baggage.get_baggage(name, context) is not None:
            # A caller's pseudonym must not travel on beside another user.
            context = baggage.remove_baggage(name, context)
    return context


def without_baggage(context: Context) -> Context:
    """Returns a context whose baggage says nothing of ours."""
    for name in IN_BAGGAGE:
        context = baggage.remove_baggage(name, context)
    return context
