"""What the environment says to this library.

OpenTelemetry's own variables are the SDK's business. Ours:

========================  =====================================================================
``OTEL_MLP_USER_SALT``    Secret from which pseudonyms and action digests are made. The same in
                          every component and receiver, or one person becomes several users.
                          Without it ``user.id`` is sent and the receiver derives the pseudonym.
``OTEL_MLP_STAGE``        Stage of everything this process does, unless it says otherwise.
``OTEL_MLP_COMPONENT``    Component of everything this process does, unless it says otherwise.
``OTEL_MLP_TEAM``         Team of everything this process does, unless it says otherwise.
``OTEL_MLP_RAISE``        ``true`` raises the library's own errors (for tests).
========================  =====================================================================

An empty variable is an unset one. A value that cannot be used is named in a warning and left
out; the program goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from otel_instrumentation import _guard

ENV_USER_SALT: Final = "OTEL_MLP_USER_SALT"
ENV_STAGE: Final = "OTEL_MLP_STAGE"
ENV_COMPONENT: Final = "OTEL_MLP_COMPONENT"
ENV_TEAM: Final = "OTEL_MLP_TEAM"

MAX_NAME_LENGTH: Final = 128
"""Longest stage, component or team from outside: these are names, and grouping keys downstream."""

MIN_SALT_LENGTH: Final = 16
"""Shorter salts are warned about: user ids are guessable, so the salt must not be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The library's own settings.

    Attributes:
        user_salt: Secret of the operator, empty where none is configured.
        stage: Default stage of the process, empty for none.
        component: Default component of the process, empty for none.
        team: Default team of the process, empty for none.
    """

    user_salt: str = ""
    stage: str = ""
    component: str = ""
    team: str = ""


def from_environment() -> Settings:
    """Reads the settings from the environment; warns about values it leaves out."""
    salt = os.environ.get(ENV_USER_SALT, "")
    if 0 < len(salt) < MIN_SALT_LENGTH:
        _guard.warn_once(
            ENV_USER_SALT,
            "%s is shorter than %d characters: pseudonyms made with it can be guessed back",
            ENV_USER_SALT,
            MIN_SALT_LENGTH,
        )
    _check_raise()
    return Settings(
        user_salt=salt,
        stage=_name(ENV_STAGE),
        component=_name(ENV_COMPONENT),
        team=_name(ENV_TEAM),
    )


def is_name(text: str) -> bool:
    """Says whether a text can serve as the name of a stage, component or team."""
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()


@contextlib.contextmanager
def empty_is_unset() -> Iterator[None]:
    """Hides OpenTelemetry's empty variables inside the block.

    The specification says that empty is unset. The SDK's exporters take an empty endpoint for
    an address and an empty timeout for a number, and send nothing.
    """
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("OTEL_") and not value.strip()
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        for name, value in hidden.items():
            os.environ.setdefault(name, value)


def _name(variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value or is_name(value):
        return value
    _guard.warn_once(
        variable,
        "%s is ignored: it must be a printable name of at most %d characters",
        variable,
        MAX_NAME_LENGTH,
    )
    return ""


def _check_raise() -> None:
    value = os.environ.get(_guard.ENV_RAISE, "").strip().lower()
    if value not in {"", "true", "false"}:
        _guard.warn_once(
            _guard.ENV_RAISE, "%s is ignored: only 'true' switches it on", _guard.ENV_RAISE
        )


_current: Settings | None = None


def current() -> Settings:
    """Returns the settings in force; reads the environment the first time."""
    return _current if _current is not None else use(from_environment())


def use(settings: Settings | None) -> Settings:
    """Puts settings in force.

    Args:
        settings: The settings, or None to read the environment again.

    Returns:
        The settings now in force.
    """
    global _current  # noqa: PLW0603 - the one place that holds the process's settings
    _current = settings if settings is not None else from_environment()
    return _current
