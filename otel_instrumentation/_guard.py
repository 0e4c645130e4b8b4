"""Telemetry never raises into the program it observes.

Every public entry of the library catches what its own code throws and hands it to
:func:`swallow`, which logs it once per place and goes on. With ``OTEL_MLP_RAISE=true`` the
error is raised instead, so that tests see it. Exceptions of the host program are never
touched: the library catches around its own statements only.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Final

ENV_RAISE: Final = "OTEL_MLP_RAISE"
"""``true`` raises the library's own errors instead of logging them."""

logger: Final = logging.getLogger("otel_instrumentation")

_said: set[str] = set()
_raise_depth = 0


def swallow(place: str, error: Exception) -> None:
    """Logs an error of the library's own code, once per place, or raises it in tests.

    Args:
        place: Where it happened; the key under which it is logged once.
        error: What was caught.

    Raises:
        Exception: The error itself, where ``OTEL_MLP_RAISE`` is ``true``.
    """
    if raises():
        raise error
    if place in _said:
        return
    # Noted before logging: a log handler may lead back into the same failing place.
    _said.add(place)
    logger.error(
        "Telemetry failed in %s; the program goes on, further failures there stay silent",
        place,
        exc_info=error,
    )


def warn_once(place: str, message: str, *values: object) -> None:
    """Logs a warning the first time its place is reached.

    Args:
        place: The key under which it is logged once.
        message: A %-style message.
        values: What the message is filled with.
    """
    if place in _said:
        return
    _said.add(place)
    logger.warning(message, *values)


def raises() -> bool:
    """Says whether the library's own errors are raised."""
    return _raise_depth > 0 or os.environ.get(ENV_RAISE, "").strip().lower() == "true"


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raises the library's own errors inside the block, whatever the environment says."""
    global _raise_depth  # noqa: PLW0603 - one process-wide switch, only tests turn it
    _raise_depth += 1
    try:
        yield
    finally:
        _raise_depth -= 1


def forget_said() -> None:
    """Lets everything that is logged once be logged again."""
    _said.clear()
