"""What the environment says to this library.

OpenTelemetry's own variables are the SDK's business. Ours:

============================  ====================================================================
``OTEL_MLP_USER_SALT``        Secret from which pseudonyms and action digests are made. The same
                              in every component and receiver, or one person becomes several users.
                              Without it ``user.id`` is sent and the receiver derives the
                              pseudonym.
``OTEL_MLP_STAGE``            Stage of everything this process does, unless it says otherwise.
``OTEL_MLP_COMPONENT``        Component of everything this process does, unless it says otherwise.
``OTEL_MLP_TEAM``             Team of everything this process does, unless it says otherwise.
``OTEL_MLP_TRUSTED_HOSTS``    Hosts besides those inside the platform that may learn user,
                              session, team and stage: ``api.example.org``, ``*.example.org`` or
                              ``*``.
``OTEL_MLP_SPOOL_FOLDER``     Folder in which telemetry waits while no receiver takes it. None by
                              default.
``OTEL_MLP_SPOOL_MAX_BYTES``  How much may wait there, of all processes together.
``OTEL_MLP_SPOOL_MAX_AGE``    How long it may wait, in milliseconds.
``OTEL_MLP_RAISE``            ``true`` raises the library's own errors (for tests).
============================  ====================================================================

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
ENV_TRUSTED_HOSTS: Final = "OTEL_MLP_TRUSTED_HOSTS"
ENV_SPOOL_FOLDER: Final = "OTEL_MLP_SPOOL_FOLDER"
ENV_SPOOL_MAX_BYTES: Final = "OTEL_MLP_SPOOL_MAX_BYTES"
ENV_SPOOL_MAX_AGE: Final = "OTEL_MLP_SPOOL_MAX_AGE"

SPOOL_MAX_BYTES: Final = 256 * 1024 * 1024
"""About seven minutes of 2,000 events a second, or months of a person's work."""

SPOOL_MIN_BYTES: Final = 64 * 1024
"""Less does not hold one batch."""

SPOOL_MAX_AGE_MILLIS: Final = 3 * 24 * 3600 * 1000
"""A long weekend."""

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
        trusted_hosts: Patterns of hosts that may learn whom the work is for.
        spool_folder: Folder in which telemetry waits, empty for none.
        spool_max_bytes: How much may wait in it.
        spool_max_age_seconds: How long it may wait.
    """

    user_salt: str = ""
    stage: str = ""
    component: str = ""
    team: str = ""
    trusted_hosts: tuple[str, ...] = ()
    spool_folder: str = ""
    spool_max_bytes: int = SPOOL_MAX_BYTES
    spool_max_age_seconds: float = SPOOL_MAX_AGE_MILLIS / 1000


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
        trusted_hosts=tuple(_list(ENV_TRUSTED_HOSTS)),
        spool_folder=os.environ.get(ENV_SPOOL_FOLDER, "").strip(),
        spool_max_bytes=_number(ENV_SPOOL_MAX_BYTES, SPOOL_MAX_BYTES, SPOOL_MIN_BYTES),
        spool_max_age_seconds=_number(ENV_SPOOL_MAX_AGE, SPOOL_MAX_AGE_MILLIS, 1) / 1000,
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


def _list(variable: str) -> list[str]:
    parts = os.environ.get(variable, "").lower().split(",")
    return [part.strip() for part in parts if part.strip()]


def _number(variable: str, otherwise: int, smallest: int) -> int:
    value = os.environ.get(variable, "").strip()
    if not value:
        return otherwise
    if value.isdecimal() and value.isascii() and int(value) >= smallest:
        return int(value)
    _guard.warn_once(
        variable, "%s is ignored: it must be a whole number, %d or more", variable, smallest
    )
    return otherwise


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
