"""Who works, in which session, at which stage: carried along and stamped on everything.

``user``, ``session``, ``stage``, ``component`` and ``team`` are blocks (``with`` or ``async
with``); what holds inside them is stamped on every span and log record made there, also by
other instrumentations. ``attach`` and ``detach`` do the same without a block, for the start
and end of a request; ``set_process_context`` speaks for the whole process, as in a notebook
kernel that belongs to one person.

Everything rides on OpenTelemetry's context: asyncio tasks and ``asyncio.to_thread`` inherit
it. A new thread does not: wrap what it runs in ``propagate``, or install
``opentelemetry-instrumentation-threading``, which does that for ``Thread``, ``Timer`` and
``ThreadPoolExecutor`` alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, Self, TypedDict, TypeVar, Unpack

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_instrumentation import _carried, _guard, _settings, privacy, semconv
from otel_instrumentation._text import name_of

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ContextValues(TypedDict, total=False):
    """What can be carried; None and empty texts add nothing.

    Attributes:
        user: Id of the user as the platform knows it; becomes the pseudonym where the salt is
            configured, else the receiver makes it.
        pseudonym: The pseudonym itself, where only that is known; goes before ``user``.
        roles: Roles of the user on the platform.
        session: Id of the session.
        stage: Stage of the model's life, one of ``semconv.STAGES`` or the platform's own.
        component: Component of the platform.
        team: Team of the user.
    """

    user: str | None
    pseudonym: str | None
    roles: Sequence[str] | None
    session: str | None
    stage: str | None
    component: str | None
    team: str | None


class Scope:
    """A block in which values are carried; usable with ``with`` and ``async with``."""

    __slots__ = ("_tokens", "_values")

    def __init__(self, **values: Unpack[ContextValues]) -> None:
        self._values = values
        self._tokens: list[Token[Context] | None] = []

    def __enter__(self) -> Self:
        self._tokens.append(attach(**self._values))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        detach(self._tokens.pop() if self._tokens else None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


def scope(**values: Unpack[ContextValues]) -> Scope:
    """Carries several values in one block, such as user and session of a request."""
    return Scope(**values)


def user(
    user_id: str | None = None,
    *,
    pseudonym: str | None = None,
    roles: Sequence[str] | None = None,
) -> Scope:
    """Says who works in a block, by id or, where only that is known, by pseudonym."""
    return Scope(user=user_id, pseudonym=pseudonym, roles=roles)


def session(session_id: str) -> Scope:
    """Says to which session a block belongs."""
    return Scope(session=session_id)


def stage(name: str) -> Scope:
    """Says at which stage of the model's life a block works."""
    return Scope(stage=name)


def component(name: str) -> Scope:
    """Says in which component of the platform a block works."""
    return Scope(component=name)


def team(name: str) -> Scope:
    """Says for which team a block works."""
    return Scope(team=name)


def attach(**values: Unpack[ContextValues]) -> Token[Context] | None:
    """Carries values from here on, until ``detach``: for the start of a request.

    Returns:
        A token for ``detach``; None where nothing could be attached.
    """
    try:
        context = otel_context.get_current()
        return otel_context.attach(_carried.derive(context, attributes_of(values)))
    except Exception as error:
        _guard.swallow("attach", error)
        return None


def detach(token: Token[Context] | None) -> None:
    """Ends what ``attach`` began; None is ignored."""
    try:
        if token is not None:
            otel_context.detach(token)
    except Exception as error:
        _guard.swallow("detach", error)


def set_process_context(**values: Unpack[ContextValues]) -> None:
    """Says what holds for the whole process, in every thread, unless something nearer does.

    Values not given stay as they are. The pseudonym, session and team also enter the baggage
    of the calling context, so that requests made from it tell the next process.
    """
    try:
        changes = attributes_of(values)
        _carried.set_process_attributes(_carried.overlay(_carried.process_attributes(), changes))
        otel_context.attach(_carried.derive(otel_context.get_current(), changes))
    except Exception as error:
        _guard.swallow("set_process_context", error)


def propagate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Wraps a function so that it runs, in whatever thread, in the context of this call.

    ``pool.submit(propagate(work), item)`` and ``Thread(target=propagate(work))`` keep the
    user, the session and the current span. One wrapped function may run in many threads at
    once. Not needed with ``opentelemetry-instrumentation-threading`` in use.
    """
    context = otel_context.get_current()

    @functools.wraps(function)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        token = _enter_context(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return run


def attributes_of(values: ContextValues) -> dict[str, Any]:
    """Turns carried values into the attributes they are stamped as."""
    attributes: dict[str, Any] = _identity_of(values)
    for key, name in _NAMES.items():
        text = name_of(values.get(key))
        if text:
            attributes[name] = text
    unknown = values.keys() - _KNOWN
    if unknown:
        _guard.warn_once("context values", "Unknown context values ignored: %s", sorted(unknown))
    return attributes


_NAMES = {
    "session": semconv.SESSION_ID,
    "stage": semconv.STAGE,
    "component": semconv.COMPONENT,
    "team": semconv.TEAM,
}
_KNOWN = ContextValues.__annotations__.keys()


def _identity_of(values: ContextValues) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    user_hash = values.get("pseudonym")
    if user_hash and not privacy.is_pseudonym(user_hash):
        _guard.warn_once("pseudonym", "A pseudonym is 32 lower-case hex digits; others are ignored")
        user_hash = None
    if not user_hash:
        attributes.update(identify(values.get("user")))
    else:
        attributes[semconv.USER_HASH] = user_hash
    roles = values.get("roles")
    if roles and attributes:
        attributes[semconv.USER_ROLES] = tuple(name_of(role) for role in roles)
    return attributes


def identify(user_id: object) -> dict[str, str]:
    """Returns the attribute that names a user: the pseudonym, without a salt the id itself."""
    if user_id is None or user_id == "":
        return {}
    text = user_id if isinstance(user_id, str) else str(user_id)
    salt = _settings.current().user_salt
    if salt:
        return {semconv.USER_HASH: privacy.pseudonym(text, salt)}
    _guard.warn_once(
        "no salt",
        "%s is not set: user ids leave this process as they are and the receiver makes the"
        " pseudonyms",
        _settings.ENV_USER_SALT,
    )
    return {semconv.USER_ID: name_of(text)}


def _enter_context(context: Context) -> Token[Context] | None:
    try:
        return otel_context.attach(context)
    except Exception as error:
        _guard.swallow("propagate", error)
        return None
