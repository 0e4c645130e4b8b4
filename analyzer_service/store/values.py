"""How instants and pseudonyms cross between Python and the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment: datetime) -> str:
    """Write an aware instant as a bound DateTime64(3, 'UTC') parameter wants it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def as_utc(moment: datetime) -> datetime:
    """Read an instant of the engine; all its time columns are UTC, with or without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def user_key(user: str) -> bytes:
    """Return the 16 bytes a pseudonym of 32 hex digits is stored as."""
    return bytes.fromhex(user)
